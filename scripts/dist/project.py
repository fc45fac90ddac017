"""What is packed for whom, and where it goes."""

import os
import pathlib
from dataclasses import dataclass

import build
import targets

ROOT = build.ROOT
BUILT = build.DIST.resolve()
DIST = pathlib.Path(os.environ.get("FLOATLEASE_DIST", ROOT / "dist"))
TEMPLATES = ROOT / "bindings"
VERSION = build.version()
CLIENT, SANDBOX, COMMAND = "floatlease", "floatlease-sandbox", "floatlease-cli"


class NotMade(Exception):
    """A sentence about what is missing, and what makes it."""


@dataclass(frozen=True)
class Packed:
    """A target as those know it who unpack its archive."""

    triple: str
    system: str  # CMAKE_SYSTEM_NAME
    processors: str  # what CMAKE_SYSTEM_PROCESSOR may be called
    libraries: str = ""  # what a program that takes the static library needs besides
    libc: str = ""  # on Linux, whose C library it is for

    @property
    def windows(self) -> bool:
        return self.system == "Windows"

    @property
    def products(self) -> list[str]:
        """Those that have an archive."""
        return [part.package for part in targets.TARGETS[self.triple].parts if part.library]

    def archive(self, product: str = CLIENT) -> str:
        return f"{product}-{VERSION}-{self.triple}"

    def archive_file(self, product: str = CLIENT) -> str:
        return self.archive(product) + (".zip" if self.windows else ".tar.gz")


SYSTEMS = {"linux": "Linux", "windows": "Windows", "darwin": "Darwin"}
PROCESSORS = {"x86_64": "x86_64;amd64;AMD64", "aarch64": "aarch64;arm64;ARM64"}
LIBRARIES = {
    "linux-gnu": "-lpthread -ldl -lm -lrt",
    "windows-gnu": "-lws2_32 -lntdll -luserenv -lbcrypt -ladvapi32 -lcrypt32",
}
LIBCS = {"linux-gnu": "glibc", "linux-musl": "musl"}


def packed(triple: str) -> Packed:
    processor, _, system = triple.split("-", 2)
    return Packed(
        triple, SYSTEMS[system.split("-")[0]], PROCESSORS[processor], LIBRARIES.get(system, ""), LIBCS.get(system, "")
    )


# .NET's names of those that are in the NuGet packages.
RIDS = {
    "x86_64-unknown-linux-gnu": "linux-x64",
    "aarch64-unknown-linux-gnu": "linux-arm64",
    "x86_64-unknown-linux-musl": "linux-musl-x64",
    "x86_64-pc-windows-gnu": "win-x64",
}

# Python's names of those that a wheel is made for.
WHEELS = {
    # The second name says the same to a pip before 20.3, as RHEL 8's.
    "x86_64-unknown-linux-gnu": "manylinux_2_17_x86_64.manylinux2014_x86_64",
    "x86_64-pc-windows-gnu": "win_amd64",
}

# Unity's names of those that are in its packages.
UNITY = {"x86_64-unknown-linux-gnu": "linux-x86_64", "x86_64-pc-windows-gnu": "windows-x86_64"}

TARGETS = {triple: packed(triple) for triple in targets.TARGETS}


def library(triple: str, product: str) -> pathlib.Path:
    """The shared library of a target, where scripts/dist/libraries put it."""
    target, stem = TARGETS[triple], product.replace("-", "_")
    folder = "sandbox" if product == SANDBOX else "bin" if target.windows else "lib"
    path = BUILT / triple / folder / (f"{stem}.dll" if target.windows else f"lib{stem}.so")
    if not path.exists():
        raise NotMade(f"{path} is missing: run scripts/dist/libraries {triple}")
    return path


def program(triple: str) -> pathlib.Path:
    """The command of a target, where scripts/dist/libraries put it."""
    path = BUILT / triple / "bin" / ("floatlease.exe" if TARGETS[triple].windows else "floatlease")
    if not path.exists():
        raise NotMade(f"{path} is missing: run scripts/dist/libraries {triple}")
    return path


def paper(triple: str, product: str, name: str) -> pathlib.Path:
    """One of the papers about what was built for a target, where scripts/dist/archive left it."""
    path = BUILT / triple / "papers" / product / name
    if not path.exists():
        raise NotMade(f"{path} is missing: run scripts/dist/archive {triple}")
    return path


def wanted(among: dict[str, str], named: list[str]) -> list[str]:
    """Those of the named targets that are in a package: all that are, if none is named."""
    unknown = sorted(set(named) - set(TARGETS))
    if unknown:
        raise NotMade(f"{', '.join(unknown)}: not among {', '.join(TARGETS)}")
    return [triple for triple in among if triple in named or not named]
