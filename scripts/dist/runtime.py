"""What a compiler for C links into all that is made for Windows, beside what Rust brings: told by the compiler."""

import pathlib
import re
import subprocess

from linked import Crate, NotLinkable
from project import ROOT

# Debian's, which links; see scripts/dist/build.py. For the other targets a C library is the system's own and not linked
# in, and what is unwound by comes from LLVM, which the standard library's license speaks of.
COMPILER = "x86_64-w64-mingw32-gcc"
VERSION_HEADER = pathlib.Path("/usr/share/mingw-w64/include/_mingw_mac.h")
TEXTS = ROOT / "scripts/dist/texts"

# Most of MinGW-w64's runtime is in the public domain; its texts have no name in the list of SPDX.
LICENSES = {
    "mingw-w64-runtime": "ZPL-2.1 AND LicenseRef-mingw-w64-runtime",
    "libgcc": "GPL-3.0-or-later WITH GCC-exception-3.1",
}
FILES = {"mingw-w64-runtime": "mingw-w64", "libgcc": "libgcc"}


def parts(target: str) -> list[Crate]:
    if not target.endswith("-windows-gnu"):
        return []
    versions = {"mingw-w64-runtime": mingw_version(), "libgcc": gcc_version()}
    return [Crate(name, version, LICENSES[name]) for name, version in versions.items()]


def texts(part: Crate) -> list[str]:
    """The texts of its license; none if it is no part of these."""
    if part.name not in FILES or part.checksum:
        return []
    return [(TEXTS / FILES[part.name]).read_text(encoding="utf-8").strip("\n")]


def mingw_version() -> str:
    if not VERSION_HEADER.exists():
        raise NotLinkable(f"{VERSION_HEADER} is missing: run scripts/dist/setup")
    header = VERSION_HEADER.read_text(encoding="utf-8")
    return ".".join(
        re.search(rf"#define __MINGW64_VERSION_{part} (\d+)", header)[1] for part in ["MAJOR", "MINOR", "BUGFIX"]
    )


def gcc_version() -> str:
    """The number alone: Debian's says "12-win32", after its model of threads."""
    said = subprocess.run([COMPILER, "-v"], text=True, capture_output=True, check=True).stderr
    return re.search(r"^gcc version (\d+(?:\.\d+)*)", said, re.MULTILINE)[1]
