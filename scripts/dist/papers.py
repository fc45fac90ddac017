"""What goes with a product on paper: the list of its parts (CycloneDX) and the texts of their licenses.

Not by cargo-cyclonedx and cargo-about: both list macros and what no feature links, neither knows the standard library that
is linked in, nor MinGW-w64's runtime, and the first writes the time, a random number and this machine's folders.
"""

import hashlib
import json
import re
import uuid

import licenses
import runtime
import standard
from linked import Crate, Graph, NotLinkable, Product
from project import ROOT, VERSION

SCHEMA = "http://cyclonedx.org/schema/bom-1.5.schema.json"
RULE = "-" * 80


def purl(crate: Crate) -> str:
    return f"pkg:cargo/{crate.ref}" if crate.checksum else f"pkg:generic/{crate.ref}"


def component(crate: Crate) -> dict:
    described = {
        "type": "library",
        "bom-ref": crate.ref,
        "name": crate.name,
        "version": crate.version,
        "licenses": [{"expression": licenses.normal(crate.license)}],
        "purl": purl(crate),
    }
    if crate.checksum:
        described["hashes"] = [{"alg": "SHA-256", "content": crate.checksum}]
    return described


def all_of(graph: Graph, std: Graph, target: str) -> dict[str, Crate]:
    """Its crates, Rust's, and what the compiler for C adds, without the product itself."""
    added = {part.ref: part for part in runtime.parts(target)}
    return dict(sorted((graph.crates | std.crates | added | {std.root.ref: std.root}).items()))


def needs_of(graph: Graph, std: Graph, target: str) -> dict[str, set[str]]:
    merged = {ref: set(needed) for ref, needed in graph.needs.items()}
    merged.setdefault(graph.root.ref, set()).update([std.root.ref, *(part.ref for part in runtime.parts(target))])
    return merged | std.needs


def sbom(product: Product, graph: Graph, target: str, files: dict[str, bytes]) -> str:
    """CycloneDX 1.5. Of the same parts the same text: it has no time, and its serial number comes from its content."""
    std = standard.standard_library(target)
    needs = needs_of(graph, std, target)
    parts = all_of(graph, std, target)
    document = {
        "$schema": SCHEMA,
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "component": {
                "type": product.kind,
                "bom-ref": graph.root.ref,
                "name": product.name,
                "version": VERSION,
                "licenses": [{"expression": graph.root.license}],
                "purl": f"pkg:generic/{product.name}@{VERSION}",
                "properties": [{"name": "floatlease:target", "value": target}],
                "components": [
                    {
                        "type": "file",
                        "bom-ref": f"file:{name}",
                        "name": name,
                        "hashes": [{"alg": "SHA-256", "content": hashlib.sha256(content).hexdigest()}],
                    }
                    for name, content in sorted(files.items())
                ],
            }
        },
        "components": [component(crate) for crate in parts.values()],
        "dependencies": [
            {"ref": ref, "dependsOn": sorted(needs.get(ref, []))} for ref in sorted({graph.root.ref, *parts})
        ],
    }
    digest = hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
    document["serialNumber"] = uuid.uuid5(uuid.NAMESPACE_URL, f"urn:sha256:{digest}").urn
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def texts_of(crate: Crate) -> list[str]:
    if crate.name == "rust-std":
        return [standard.TEXT.read_text(encoding="utf-8").strip("\n")]
    if added := runtime.texts(crate):
        return added
    # Crates that leave it out of what they publish.
    kept = runtime.TEXTS / crate.name
    if kept.is_file():
        return [kept.read_text(encoding="utf-8").strip("\n")]
    # Of our own packages only the first has the file.
    return licenses.texts(crate.folder if crate.checksum else ROOT)


def notices(product: Product, graph: Graph, target: str) -> str:
    """The parts and their licenses, then each text once with those that it is for."""
    parts = all_of(graph, standard.standard_library(target), target)
    # Texts that differ in their line breaks alone are one.
    same: dict[str, tuple[str, list[str]]] = {}
    for crate in parts.values():
        texts = texts_of(crate)
        if not texts:
            raise NotLinkable(f"{crate.ref} is linked into {product.name} and has no text of its license with it")
        for text in texts:
            key = re.sub(r"\s+", " ", text)
            same.setdefault(key, (text, []))[1].append(crate.ref)
    lines = [f"{product.name} {VERSION} for {target} has in it:", ""]
    lines += [f"  {crate.ref:36} {licenses.normal(crate.license)}" for crate in parts.values()]
    lines += ["", "Their licenses:"]
    for text, refs in same.values():
        lines += ["", RULE, *wrapped(refs), RULE, "", text]
    return "\n".join(lines) + "\n"


def wrapped(refs: list[str]) -> list[str]:
    lines = [""]
    for ref in dict.fromkeys(refs):
        if len(lines[-1]) + len(ref) > len(RULE) - 2:
            lines.append("")
        lines[-1] += f"{', ' if lines[-1] else ''}{ref}"
    return lines
