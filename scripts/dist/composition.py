"""What the client for x86-64 Linux is made of: by crate, from the symbols of a build that has them, and by section."""

import ast
import pathlib
import re
import subprocess
from collections import Counter

import build
import linked
import targets

TARGET = targets.TARGETS["x86_64-unknown-linux-gnu"]

# Which crates count as one, by their names in symbols.
GROUPS = {
    "Rust's standard library": "std core alloc hashbrown compiler_builtins panic_unwind unwind std_detect "
    "rustc_demangle libc memchr cfg_if __rustc rust_eh_personality",
    "rustls and webpki": "rustls webpki rustls_webpki rustls_pki_types untrusted subtle zeroize once_cell",
    "ring": "ring getrandom",
    "webpki-roots": "webpki_roots",
    "ureq and http": "ureq ureq_proto http httparse utf8_zero percent_encoding bytes log",
    "serde_json": "serde serde_core serde_json itoa zmij",
    "HMAC, SHA-2, base64, chrono": "hmac sha2 digest block_buffer crypto_common hybrid_array typenum const_oid "
    "cpufeatures cmov ctutils base64 chrono num_traits",
    "floatlease": "floatlease",
}
OF = {crate: group for group, crates in GROUPS.items() for crate in crates.split()}
# C and assembly, which have no crates in their names: ring's, and LLVM's unwinder.
UNWINDER = re.compile(r"_Unwind_|unw_|libunwind|_LIBUNWIND|register_frame|__jit_debug|DwarfInstructions")
RING = re.compile(
    r"ring_core|ecp_|bn_|aes_|aesni|gcm_|ghash|chacha20|poly1305|vpaes|x25519|fiat_|LIMBS?_|limbs_|p256|p384"
    r"|sha\d|K256|K512|k25519|OPENSSL|mul4x|mul8x|sqrx?8x|mulx4x|ge_|fe_|kOne|kBottom|kZero|elem_"
)
SECTIONS = {
    "machine code": {".text", ".init", ".fini", ".plt", ".plt.got", ".iplt"},
    "constants": {".rodata", ".data.rel.ro", ".data", ".tdata", ".init_array", ".fini_array"},
    "tables for unwinding": {".eh_frame", ".eh_frame_hdr", ".gcc_except_table"},
    "relocations and names": {".rela.dyn", ".rela.plt", ".relr.dyn", ".dynsym", ".dynstr", ".gnu.hash", ".hash",
                              ".dynamic", ".got", ".got.plt", ".gnu.version", ".gnu.version_r"},
}  # fmt: skip


NAMELESS = "what has no name: texts, tables"
INTRODUCTION = """\
`{name}`, {bytes:,} bytes. A function that was made for a type of another crate counts where
it is written; what was inlined counts where it went. The constants of webpki-roots are counted in its source."""


def said(*command: object) -> str:
    return subprocess.run([str(word) for word in command], check=True, text=True, capture_output=True).stdout


def unstripped() -> pathlib.Path:
    build.compile_part(TARGET, targets.CLIENT, "-Cstrip=none")
    return build.DIST / "build" / TARGET.name / targets.CLIENT.profile / f"lib{targets.CLIENT.library}.so"


def group(symbol: str) -> str:
    """Whose a symbol is: that crate's whose function it is, also where it was made for another's type."""
    crate = re.search(r"([A-Za-z_]\w*)(?=::)", symbol) if "::" in symbol else None
    if crate and crate[1] in OF:
        return OF[crate[1]]
    if symbol in OF:
        return OF[symbol]
    if UNWINDER.search(symbol):
        return "LLVM's unwinder"
    if RING.search(symbol):
        return "ring"
    return "floatlease" if symbol.startswith("floatlease_") else NAMELESS


def by_crate(library: pathlib.Path) -> dict[str, Counter]:
    """Bytes of code and of constants, by group."""
    sums: dict[str, Counter] = {"code": Counter(), "constants": Counter()}
    seen = set()
    for line in said("nm", "-C", "--print-size", "--radix=d", library).splitlines():
        found = re.match(r"(\d+) (\d+) ([tTrRdDwW]) (.+)$", line)
        if found and found[1] not in seen:
            seen.add(found[1])
            kind = "constants" if found[3] in "rRdD" else "code"
            sums[kind][group(found[4])] += int(found[2])
    return sums


def by_section(library: pathlib.Path) -> Counter:
    sums: Counter = Counter()
    row = r"^\s*\[\s*\d+\] (\.\S+)\s+\S+\s+\S+ \S+ (\S+)"
    for name, size in re.findall(row, said("readelf", "-W", "-S", library), re.MULTILINE):
        kind = next((kind for kind, names in SECTIONS.items() if name in names), None)
        if kind:
            sums[kind] += int(size, 16)
    return sums


def roots() -> int:
    """Bytes of the certificates of webpki-roots: constants without names, so they are counted in its source."""
    crates = linked.linked(linked.LIBRARY, TARGET.name).crates.values()
    source = next(crate.folder for crate in crates if crate.name == "webpki-roots") / "src/lib.rs"
    texts = set(re.findall(r'b"(?:[^"\\]|\\.)*"', source.read_text(encoding="utf-8"), re.DOTALL))
    return sum(len(ast.literal_eval(text.replace("\n", "\\n"))) for text in texts)


def written() -> str:
    whole = unstripped()
    shipped = build.DIST / TARGET.name / "lib" / f"lib{targets.CLIENT.library}.so.1"
    crates, sections, total = by_crate(whole), by_section(shipped), shipped.stat().st_size
    crates["constants"]["webpki-roots"] += roots()
    crates["constants"][NAMELESS] += sections["constants"] - crates["constants"].total()
    lines = [
        INTRODUCTION.format(name=TARGET.name, bytes=total),
        "",
        "| crates | code | constants |",
        "| --- | ---: | ---: |",
    ]
    for name, _ in (crates["code"] + crates["constants"]).most_common():
        lines.append(f"| {name} | {crates['code'][name]:,} | {crates['constants'][name]:,} |")
    lines += ["", "| sections | bytes |", "| --- | ---: |"]
    lines += [f"| {name} | {size:,} |" for name, size in sections.most_common()]
    lines.append(f"| headers, padding | {total - sum(sections.values()):,} |")
    return "\n".join(lines)
