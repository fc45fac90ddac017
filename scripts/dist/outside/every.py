"""Which checks there are for which target: the table."""

import shutil
from typing import Callable

from outside import archives, binaries, managers, nugets, page, programs, unity, wheels
from outside.machines import arm64, linux, macos, musl, windows
from outside.programs import Machine
from outside.stranger import Stranger, held
from project import Packed

Check = Callable[[Stranger, Packed], None]


Place = Callable[[Stranger, Packed], Machine]


def by_cmake(place: Place, *tried: programs.Program, library: str = "floatlease::floatlease") -> Check:
    def check(stranger: Stranger, target: Packed) -> None:
        machine = place(stranger, target)
        for program in tried:
            machine.runs(machine.by_cmake(program, library), program)

    return check


def by_pkg_config(place: Place, *tried: programs.Program) -> Check:
    def check(stranger: Stranger, target: Packed) -> None:
        machine = place(stranger, target)
        for program in tried:
            machine.runs(machine.by_pkg_config(program), program)

    return check


def linked_by_pkg_config(place: Place, program: programs.Program) -> Check:
    """Where nothing can be run."""

    def check(stranger: Stranger, target: Packed) -> None:
        place(stranger, target).by_pkg_config(program)

    return check


def refused(wanted: str, *arguments: str) -> Check:
    """CMake finds no package that was asked for like this."""

    def check(stranger: Stranger, target: Packed) -> None:
        folder = stranger.folder()
        (folder / "CMakeLists.txt").write_text(
            f"cmake_minimum_required(VERSION 3.16)\nproject(wish LANGUAGES NONE)\n{wanted}\n"
            "if(floatlease_FOUND)\n  message(FATAL_ERROR found)\nendif()\n"
        )
        prefix = f"-DCMAKE_PREFIX_PATH={stranger.unpack(target)}"
        stranger.run(stranger.tool("cmake"), "-S", folder, "-B", folder / "build", prefix, *arguments)

    return check


def serves_itself_under_wine(stranger: Stranger, target: Packed) -> None:
    """The other programs meet the server for Linux, as a product may; this one is started by Windows' own."""
    machine = windows(stranger, target)
    built = machine.by_cmake(programs.QUICKSTART)
    shutil.copy(stranger.unpack(target) / "bin/floatlease.dll", built.parent)
    server = stranger.unpack(target) / "bin/floatlease-server.exe"
    said = stranger.run(*machine.runner, server, "exec", "--", f"Z:{built}")
    held(programs.QUICKSTART.says in said, f"the quick start did not say {programs.QUICKSTART.says}:\n{said}")


STATIC = "floatlease::static"
RISC_V = "-DCMAKE_SYSTEM_NAME=Linux", "-DCMAKE_SYSTEM_PROCESSOR=riscv64"

EVERY: list[tuple[str, Check]] = [
    ("the checksums are right", archives.checksums_are_right),
    ("the archives hold what they should", archives.holds_what_it_should),
    ("they tell nothing of who packed them and when", archives.tells_nothing_of_who_packed),
    ("packed again they are the same bytes", archives.comes_out_the_same_again),
    ("SBOM and notices name exactly what is linked", archives.papers_are_right),
    ("no file tells of the build's machine", binaries.nothing_of_the_build),
    ("exports, needs, names, hardening, glibc", binaries.as_promised),
    ("the ledger has a line for each file, and none is larger", archives.the_ledger_has_them),
]

CHECKS: dict[str, list[tuple[str, Check]]] = {
    "x86_64-unknown-linux-gnu": [
        *EVERY,
        ("the C examples, by CMake", by_cmake(linux, *programs.C)),
        ("the C examples, by pkg-config", by_pkg_config(linux, *programs.C)),
        ("the C++ examples, by CMake", by_cmake(linux, *programs.CPP)),
        ("the C++ examples, by pkg-config", by_pkg_config(linux, *programs.CPP)),
        ("the static library, by CMake", by_cmake(linux, programs.QUICKSTART, library=STATIC)),
        ("Conan, shared", managers.conan()),
        ("Conan, static", managers.conan("-o", "*:shared=False")),
        ("vcpkg's port, by a stand-in for vcpkg", managers.vcpkg),
        ("the wheel holds what it should", wheels.holds_what_it_should),
        ("the wheel in a fresh Python, quick start and pytest plugin", wheels.lives_in_a_fresh_python),
        ("the NuGet package holds what it should", nugets.holds_what_it_should),
        ("the NuGet package on Mono", nugets.runs_on_mono),
        ("the NuGet package on .NET Core", nugets.runs_on_net_core),
        ("the Unity packages hold what they should", unity.holds_what_it_should),
        ("docs/installing.md, typed as it says", page.installs_as_it_says),
        ("the packages come out the same again", archives.packages_come_out_the_same_again),
        ("a newer version is not found", refused("find_package(floatlease 99)")),
        ("another processor's is not found", refused("find_package(floatlease)", *RISC_V)),
    ],
    "aarch64-unknown-linux-gnu": [
        *EVERY,
        ("C programs by CMake, under QEMU", by_cmake(arm64, programs.QUICKSTART, programs.FIRST_TEST)),
        ("C++ programs by CMake, under QEMU", by_cmake(arm64, *programs.CPP)),
        ("a C program by pkg-config, under QEMU", by_pkg_config(arm64, programs.QUICKSTART)),
        ("the NuGet package holds what it should", nugets.holds_what_it_should),
        ("the static library, under QEMU", by_cmake(arm64, programs.QUICKSTART, library=STATIC)),
    ],
    "x86_64-unknown-linux-musl": [
        *EVERY,
        ("C programs by CMake", by_cmake(musl, programs.QUICKSTART, programs.FIRST_TEST)),
        ("a C program by pkg-config", by_pkg_config(musl, programs.QUICKSTART)),
        ("the NuGet package holds what it should", nugets.holds_what_it_should),
        ("the static library", by_cmake(musl, programs.QUICKSTART, library=STATIC)),
    ],
    "aarch64-apple-darwin": [
        *EVERY,
        ("a C program links, by pkg-config", linked_by_pkg_config(macos, programs.QUICKSTART)),
    ],
    "x86_64-pc-windows-gnu": [
        *EVERY,
        ("the import libraries, gcc's and Microsoft's", binaries.import_libraries_name_all),
        ("C programs by CMake, under Wine", by_cmake(windows, programs.QUICKSTART, programs.FIRST_TEST)),
        ("C++ programs by CMake, under Wine", by_cmake(windows, *programs.CPP)),
        ("a C program by pkg-config, under Wine", by_pkg_config(windows, programs.QUICKSTART)),
        ("the wheel holds what it should", wheels.holds_what_it_should),
        ("the NuGet package holds what it should", nugets.holds_what_it_should),
        ("the Unity packages hold what they should", unity.holds_what_it_should),
        ("its own server, under Wine", serves_itself_under_wine),
        ("the static library, under Wine", by_cmake(windows, programs.QUICKSTART, library=STATIC)),
        ("vcpkg's port, by a stand-in for vcpkg", managers.vcpkg),
    ],
}
