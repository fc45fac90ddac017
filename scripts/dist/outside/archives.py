"""The archives themselves: what is in them, their papers, their checksums, and that they come out the same again."""

import hashlib
import json
import os
import pathlib
import tarfile

import linked
import papers
import sizes
from outside.stranger import Stranger, held
from project import CLIENT, DIST, ROOT, TARGETS, VERSION, Packed

# The endings of what is made of several archives, or for several targets.
PACKAGES = {".whl", ".nupkg", ".tgz"}
PAPERS = ["LICENSE", "README", "THIRD-PARTY-NOTICES", "sbom.cdx.json"]


def holds_what_it_should(stranger: Stranger, target: Packed) -> None:
    for product in target.products:
        top, stem = stranger.unpack(target, product), product.replace("-", "_")
        wanted = [*PAPERS, f"include/{stem}.h", f"include/{stem}.hpp", f"lib/pkgconfig/{product}.pc"]
        wanted += [f"lib/cmake/{product}/{product}Config.cmake", f"lib/cmake/{product}/{product}ConfigVersion.cmake"]
        if target.windows:
            wanted += [f"bin/{stem}.dll", f"lib/lib{stem}.dll.a", f"lib/{stem}.lib"]
        elif target.system == "Darwin":
            wanted += [f"lib/lib{stem}.dylib", f"lib/lib{stem}.1.dylib"]
        else:
            wanted += [f"lib/lib{stem}.so", f"lib/lib{stem}.so.1"]
        if product == CLIENT and target.system != "Darwin":
            ending = ".exe" if target.windows else ""
            wanted += [f"bin/{one.program}{ending}" for one in linked.PROGRAMS]
            pages = ["man/man1/floatlease.1", "man/man1/floatlease-lease.1", "bash-completion/completions/floatlease"]
            wanted += [] if target.windows else [f"share/{page}" for page in pages]
        missing = [path for path in wanted if not (top / path).exists()]
        held(not missing, f"{top.name} lacks {missing}")
    strangers = [path.name for path in stranger.unpack(target).rglob("*") if "sandbox" in path.name]
    held(not strangers, f"the client's archive holds {strangers}, which licenses whoever asks")


def tells_nothing_of_who_packed(stranger: Stranger, target: Packed) -> None:
    if target.windows:
        return
    for product in target.products:
        with tarfile.open(DIST / target.archive_file(product)) as tar:
            members = tar.getmembers()
        held(
            all(not (one.uid or one.gid or one.uname or one.gname or one.mtime) for one in members),
            "it tells who and when",
        )
        held(all(one.mode & 0o7022 == 0 or one.issym() for one in members), "others may write to what is unpacked")


def comes_out_the_same_again(stranger: Stranger, target: Packed) -> None:
    packed_again(stranger, "archive", [target.triple])


def packages_come_out_the_same_again(stranger: Stranger, target: Packed) -> None:
    """The wheels, NuGet and Unity packages, of all the targets that are in dist/."""
    there = [triple for triple, one in TARGETS.items() if (DIST / one.archive_file()).exists()]
    # First the archives, which leave the papers: they are gone if something was built anew since.
    for script in ["archive", "wheels", "nugets", "unity-packages"]:
        packed_again(stranger, script, there)


def packed_again(stranger: Stranger, script: str, triples: list[str]) -> None:
    into = stranger.folder()
    stranger.run(ROOT / "scripts/dist" / script, *triples, **os.environ | {"FLOATLEASE_DIST": str(into)})
    for file in into.iterdir():
        held(file.read_bytes() == (DIST / file.name).read_bytes(), f"{file.name} came out different")
    held(any(into.iterdir()), "nothing came out")


def the_ledger_has_them(stranger: Stranger, target: Packed) -> None:
    """Each file that ships has a line in docs/size.md, and no more bytes than it allows."""
    ceilings, beneath = sizes.ceilings(), [target.archive_file(product) for product in target.products]
    files = [DIST / name for name in beneath] + [path for path in DIST.iterdir() if path.suffix in PACKAGES]
    files += [path for path in sizes.there() if target.triple in path.parts]
    for path in files:
        name = sizes.name_of(path)
        held(name in ceilings, f"docs/size.md has no line for {name}: run make size")
        held(
            path.stat().st_size <= ceilings[name], f"{name} has more bytes than the {ceilings[name]:,} of docs/size.md"
        )


def checksums_are_right(stranger: Stranger, target: Packed) -> None:
    sums = DIST / "SHA256SUMS"
    held(sums.exists(), "dist/SHA256SUMS is missing: run make dist")
    listed = dict(reversed(line.split("  ", 1)) for line in sums.read_text(encoding="utf-8").splitlines())
    there = {str(path.relative_to(DIST)) for path in DIST.rglob("*") if path.is_file()} - {sums.name}
    held(set(listed) == there, f"dist/SHA256SUMS differs from what is there by {sorted(set(listed) ^ there)}")
    for name in listed:
        digest = hashlib.sha256((DIST / name).read_bytes()).hexdigest()
        held(digest == listed[name], f"{name} is not what dist/SHA256SUMS says")


def boms(stranger: Stranger, target: Packed) -> list[tuple[linked.Product, pathlib.Path]]:
    top = stranger.unpack(target)
    libraries = [product for product in [linked.LIBRARY, linked.SANDBOX] if product.name in target.products]
    found = [(product, stranger.unpack(target, product.name)) for product in libraries]
    beside = [(product, top / "share" / product.name) for product in linked.PROGRAMS]
    return [*found, *((product, folder) for product, folder in beside if folder.exists())]


def papers_are_right(stranger: Stranger, target: Packed) -> None:
    """The SBOM is CycloneDX, and names exactly what is linked, as do the notices; its hashes are the files'."""
    python = stranger.environment_tool("packaging", "python")
    for product, folder in boms(stranger, target):
        path = folder / "sbom.cdx.json"
        stranger.run(python, "-c", VALIDATE, path)
        bom = json.loads(path.read_text(encoding="utf-8"))
        named = {part["bom-ref"] for part in bom["components"]}
        graph = linked.OURS.graph(product.package, product.features, target.triple)
        crates = set(graph.crates)
        held(crates <= named, f"{path} lacks {sorted(crates - named)}")
        # The rest is Rust's own, and on Windows the C compiler's.
        rest = {ref.rpartition("@")[0] for ref in named - crates}
        held(not target.windows or {"mingw-w64-runtime", "libgcc"} <= rest, f"{path} lacks the C compiler's runtime")
        held("rust-std" in rest and len(rest) < 20, f"{path} names {sorted(rest)} besides the linked crates")
        notices = (folder / "THIRD-PARTY-NOTICES").read_text(encoding="utf-8")
        unnamed = [ref for ref in named if ref not in notices]
        held(not unnamed, f"{folder.name}/THIRD-PARTY-NOTICES lists not {unnamed}")
        whole = " ".join(notices.split())
        for crate in graph.crates.values():
            texts = papers.texts_of(crate)
            held(bool(texts) and all(" ".join(text.split()) in whole for text in texts), f"no license of {crate.ref}")
        held(bom["metadata"]["component"]["version"] == VERSION, "another version")
        for file in bom["metadata"]["component"]["components"]:
            content = (stranger_top(folder, product) / file["name"]).read_bytes()
            held(
                hashlib.sha256(content).hexdigest() == file["hashes"][0]["content"], f"{file['name']} has another hash"
            )


def stranger_top(folder: pathlib.Path, product: linked.Product) -> pathlib.Path:
    return folder.parents[1] if product in linked.PROGRAMS else folder


VALIDATE = """
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
wrong = JsonStrictValidator(SchemaVersion.V1_5).validate_str(open(sys.argv[1]).read())
sys.exit(f"{sys.argv[1]} is not CycloneDX 1.5: {wrong}" if wrong else 0)
"""
