"""The files that are linked and run, not the intention."""

import os
import pathlib
import re
import shutil

import build
import checks
import targets
from outside.stranger import Stranger, held
from project import CLIENT, ROOT, SANDBOX, Packed


def as_promised(stranger: Stranger, target: Packed) -> None:
    """What scripts/dist/libraries promises of what it made, asked again of what came out of the archives."""
    made = stranger.folder()
    for product in target.products:
        for place in ["lib", "bin"]:
            source, part = stranger.unpack(target, product) / place, "sandbox" if product == SANDBOX else place
            if source.exists():
                shutil.copytree(source, made / part, symlinks=True, ignore=text_files, dirs_exist_ok=True)
    mistakes = checks.mistakes(targets.TARGETS[target.triple], made)
    held(not mistakes, "\n".join(mistakes))


def text_files(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if name in {"cmake", "pkgconfig"}]


def import_libraries_name_all(stranger: Stranger, target: Packed) -> None:
    """The one for gcc and the one for Microsoft's linker: every function of the header, and the DLL."""
    for product, stem in [(CLIENT, "floatlease"), (SANDBOX, "floatlease_sandbox")]:
        for library in [f"lib{stem}.dll.a", f"{stem}.lib"]:
            path = stranger.unpack(target, product) / "lib" / library
            held(path.exists(), f"there is no lib/{library}")
            symbols = stranger.run(stranger.tool("llvm-nm"), "--defined-only", path)
            found = set(re.findall(r" (floatlease_\w+)$", symbols, re.MULTILINE))
            found -= {f"{stem}_dll_iname"}
            wanted = set(build.declared(f"{stem}.h"))
            held(found == wanted, f"{library} differs from the header by {sorted(found ^ wanted)}")
            held(f"{stem}.dll".encode() in path.read_bytes(), f"{library} does not name {stem}.dll")


def nothing_of_the_build(stranger: Stranger, target: Packed) -> None:
    """No file, of whatever kind, tells of a folder of this machine, of somebody's home, or of cargo's."""
    homes = {str(pathlib.Path.home()), os.environ.get("CARGO_HOME", ""), os.environ.get("RUSTUP_HOME", "")}
    texts = {str(ROOT), "/home/", "/root/", "/Users/", ".cargo/registry", *homes} - {"", "/"}
    for product in target.products:
        for path in stranger.unpack(target, product).rglob("*"):
            content = path.read_bytes() if path.is_file() else b""
            told = sorted(text for text in texts if text.encode() in content)
            held(not told, f"{path.name} tells of {told}")
