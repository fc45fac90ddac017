"""The files that are linked and run, not the intention: names, needs, exports, hardening, age, paths."""
import os
import pathlib
import re

from checks.stranger import Stranger, held
from project import ROOT, Target

OLDEST_GLIBC = (2, 17)
# libm is the sandbox's and the server's need, for SQLite.
ELF_NEEDS = {"libc.so.6", "libpthread.so.0", "libdl.so.2", "librt.so.1", "libm.so.6", "libc.so"}
# What is part of Windows.
DLLS = r"(api-ms-win-[a-z0-9-]+|advapi32|bcrypt|bcryptprimitives|crypt32|kernel32|msvcrt|ntdll|secur32|userenv|ws2_32)\.dll"
MACH_NEEDS = r"/usr/lib/lib(System|iconv|objc)[.A-Z]*\.dylib|/System/Library/Frameworks/.+"


def declared(header: pathlib.Path) -> set[str]:
    """The functions that a header declares."""
    code = [line for line in header.read_text().splitlines() if not line.lstrip().startswith(("*", "/", "#"))]
    calls = [line.split("(")[0] for line in code if "(" in line]
    names = [re.split(r"[ *]", call)[-1] for call in calls]
    return {name for name in names if name.startswith("floatlease_")}


def same(found: set[str], wanted: set[str], what: str) -> None:
    held(len(wanted) >= 4, "the header was not understood")
    held(found == wanted, f"{what}: too many: {sorted(found - wanted)}, missing: {sorted(wanted - found)}")


def exports_are_the_headers(stranger: Stranger, target: Target) -> None:
    for product in ["floatlease", "floatlease-sandbox"]:
        top, stem = stranger.unpack(target, product), product.replace("-", "_")
        wanted = declared(top / f"include/{stem}.h")
        if target.windows:
            dll = top / f"bin/{stem}.dll"
            listed = stranger.run(stranger.tool("x86_64-w64-mingw32-objdump"), "-p", dll)
            table = listed.split("[Ordinal/Name Pointer] Table", 1)[1]
            found = set(re.findall(r"^\s+\[\s*\d+\](?: \+base\[\s*\d+\]\s+\S+)? (\S+)$", table, re.MULTILINE))
            same(found, wanted, dll.name)
            for library, prefix in [(f"lib{stem}.dll.a", ""), (f"{stem}.lib", "")]:
                symbols = stranger.run(stranger.tool("llvm-nm"), "--defined-only", "--just-symbol-name", top / "lib" / library)
                found = set(re.findall(r"^(floatlease_\w+)$", symbols, re.MULTILINE))
                same(found, wanted, library)
        elif target.system == "Darwin":
            listed = stranger.run(stranger.tool("llvm-nm"), "-gU", "--just-symbol-name", top / f"lib/lib{stem}.dylib")
            same({name.removeprefix("_") for name in listed.split()}, wanted, f"lib{stem}.dylib")
        else:
            library = top / f"lib/lib{stem}.so.1"
            listed = stranger.run(stranger.tool("nm"), "-D", "--defined-only", "--format=posix", library)
            same({line.split()[0] for line in listed.splitlines()}, wanted, library.name)


def elf_files(stranger: Stranger, target: Target) -> list[pathlib.Path]:
    tops = [stranger.unpack(target), stranger.unpack(target, "floatlease-sandbox")]
    found = [path for top in tops for path in [*top.glob("lib/*.so.1"), *top.glob("bin/*")]]
    held(len(found) >= 2, f"only {found} are there")
    return found


def named_hardened_and_needing_libc_alone(stranger: Stranger, target: Target) -> None:
    for path in elf_files(stranger, target):
        dynamic = stranger.run(stranger.tool("readelf"), "-W", "-d", path)
        segments = stranger.run("readelf", "-W", "-l", path)
        stack = next(line for line in segments.splitlines() if "GNU_STACK" in line)
        held("GNU_RELRO" in segments and "RWE" not in stack, f"{path.name} has a stack or tables that code can be put into")
        needs = set(re.findall(r"\(NEEDED\).*\[(.+)\]", dynamic))
        foreign = {name for name in needs if name not in ELF_NEEDS and not name.startswith("ld-linux")}
        held(not foreign, f"{path.name} needs {foreign}")
        held("RPATH" not in dynamic and "RUNPATH" not in dynamic, f"{path.name} looks for libraries in a folder of its own")
        held(".symtab" not in stranger.run("readelf", "-W", "-S", path), f"{path.name} is not stripped")
        if path.suffix == ".1":
            held(f"Library soname: [{path.name}]" in dynamic, f"{path.name} has another SONAME:\n{dynamic}")
            held("NODELETE" in dynamic, f"{path.name} could be unloaded under its own threads")
            held(bool(re.search(r"BIND_NOW|Flags:.*NOW", dynamic)), f"{path.name} is bound while it runs")


def not_newer_than_glibc_2_17(stranger: Stranger, target: Target) -> None:
    for path in elf_files(stranger, target):
        said = stranger.run(stranger.tool("readelf"), "-W", "-V", path)
        versions = {tuple(map(int, version.split("."))) for version in re.findall(r"GLIBC_([\d.]+)", said)}
        held(bool(versions), f"{path.name} names no glibc")
        held(max(versions) <= OLDEST_GLIBC, f"{path.name} needs glibc {'.'.join(map(str, max(versions)))}")


def windows_dlls_need_windows_alone(stranger: Stranger, target: Target) -> None:
    tops = [stranger.unpack(target), stranger.unpack(target, "floatlease-sandbox")]
    found = [path for top in tops for path in top.glob("bin/*") if path.suffix in {".dll", ".exe"}]
    held(len(found) >= 2, f"only {found} are there")
    for path in found:
        said = stranger.run(stranger.tool("x86_64-w64-mingw32-objdump"), "-p", path)
        foreign = [name for name in re.findall(r"DLL Name: (\S+)", said) if not re.fullmatch(DLLS, name.lower())]
        held(not foreign, f"{path.name} needs {foreign}")
        for flag in ["DYNAMIC_BASE", "NX_COMPAT", "HIGH_ENTROPY_VA"]:
            held(flag in said, f"{path.name} is not {flag}")


def macos_libraries_need_macos_alone(stranger: Stranger, target: Target) -> None:
    path = stranger.unpack(target) / "lib/libfloatlease.dylib"
    held(path.exists(), "there is no lib/libfloatlease.dylib")
    said = stranger.run(stranger.tool("llvm-objdump"), "--macho", "--dylibs-used", path)
    used = [line.split(" (")[0].strip() for line in said.splitlines()[1:]]
    held("@rpath/libfloatlease.dylib" in stranger.run("llvm-objdump", "--macho", "--dylib-id", path), "its name is not @rpath/…")
    foreign = [name for name in used if not re.fullmatch(MACH_NEEDS, name) and not name.startswith("@rpath/libfloatlease")]
    held(not foreign, f"{path.name} needs {foreign}")


def no_path_of_the_build(stranger: Stranger, target: Target) -> None:
    """Nor a text of somebody's home, in any file."""
    homes = {str(pathlib.Path.home()), os.environ.get("CARGO_HOME", ""), os.environ.get("RUSTUP_HOME", "")}
    texts = {str(ROOT), "/home/", "/root/", "/Users/", "C:\\Users", ".cargo/registry", "index.crates.io", *homes} - {"", "/"}
    for product in ["floatlease", "floatlease-sandbox"]:
        for path in stranger.unpack(target, product).rglob("*"):
            content = path.read_bytes() if path.is_file() else b""
            told = sorted(text for text in texts if text.encode() in content)
            held(not told, f"{path.name} tells of {told}")
