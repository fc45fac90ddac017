"""The machines that programs are built for and run on; all but one are played by programs of this one."""

import os
import pathlib

import build
from outside.programs import Machine
from outside.stranger import Stranger, held
from project import ROOT, TARGETS, Packed

HERE = "x86_64-unknown-linux-gnu"

# Wine 8 lacks this one of Windows' libraries, which Rust's std imports.
BCRYPTPRIMITIVES = ROOT / "tests/windows/bcryptprimitives.c"


def cross(processor: str, system: str, compilers: tuple[str, str]) -> dict:
    """What tells CMake and pkg-config of a compiler for another machine."""
    return {
        "cmake": (
            f"-DCMAKE_SYSTEM_NAME={system}", f"-DCMAKE_SYSTEM_PROCESSOR={processor}",
            f"-DCMAKE_C_COMPILER={compilers[0]}", f"-DCMAKE_CXX_COMPILER={compilers[1]}",
        ),
        "compilers": (("cc", compilers[0]), ("c++", compilers[1])),
    }  # fmt: skip


def linux(stranger: Stranger, target: Packed) -> Machine:
    return Machine(target, stranger)


def arm64(stranger: Stranger, target: Packed) -> Machine:
    compilers = stranger.tool("aarch64-linux-gnu-gcc"), stranger.tool("aarch64-linux-gnu-g++")
    runner = (stranger.tool("qemu-aarch64"), "-L", "/usr/aarch64-linux-gnu")
    return Machine(target, stranger, **cross("aarch64", "Linux", compilers), runner=runner)


def zig(stranger: Stranger, target: str) -> tuple[str, str]:
    """Compilers for C and C++ that have the other system's headers and libraries with them."""
    python = (build.ENVIRONMENT / "python").absolute()
    held(python.exists(), "zig is missing: run scripts/dist/setup")
    compilers = []
    for name in ["cc", "c++"]:
        script = stranger.home / f"{target}-{name}"
        script.write_text(f'#!/bin/sh\nexec "{python}" -m ziglang {name} -target {target} "$@"\n')
        script.chmod(0o755)
        compilers.append(str(script))
    return tuple(compilers)


def macos(stranger: Stranger, target: Packed) -> Machine:
    """Nothing here runs its programs."""
    return Machine(target, stranger, **cross("arm64", "Darwin", zig(stranger, "aarch64-macos")))


def musl(stranger: Stranger, target: Packed) -> Machine:
    """It is run by the system's own musl."""
    loader = pathlib.Path("/lib/ld-musl-x86_64.so.1")
    held(loader.exists(), "musl is missing: run scripts/dist/setup")
    machine = Machine(target, stranger, **cross("x86_64", "Linux", zig(stranger, "x86_64-linux-musl")))
    # Of the static library; gcc knows by itself where its own unwinder is.
    machine.cmake += ("-DCMAKE_C_STANDARD_LIBRARIES=-lunwind",)
    return machine


def windows(stranger: Stranger, target: Packed) -> Machine:
    compilers = stranger.tool("x86_64-w64-mingw32-gcc-posix"), stranger.tool("x86_64-w64-mingw32-g++-posix")
    machine = Machine(target, stranger, **cross("AMD64", "Windows", compilers), suffix=".exe", server=TARGETS[HERE])
    # With the compiler's own libraries inside the program: Wine has none of them.
    machine.cmake += ("-DCMAKE_EXE_LINKER_FLAGS=-static",)
    machine.runner = wine(stranger)
    return machine


def wine(stranger: Stranger) -> tuple[str, ...]:
    """What runs a program of Windows; the first time it makes an empty Windows."""
    program = next((path for path in ["/usr/lib/wine/wine64", "/usr/bin/wine64"] if os.path.exists(path)), "")
    held(bool(program), "wine64 is missing: run scripts/dist/setup")
    prefix = stranger.home / "wine"
    stranger.environment |= {"WINEPREFIX": str(prefix), "WINEDEBUG": "-all", "WINEARCH": "win64"}
    if not prefix.exists():
        stranger.run(program, "wineboot", "-i")
        system = prefix / "drive_c/windows/system32/bcryptprimitives.dll"
        stranger.run(stranger.tool("x86_64-w64-mingw32-gcc"), "-shared", BCRYPTPRIMITIVES, "-o", system, "-ladvapi32")
    return (program,)
