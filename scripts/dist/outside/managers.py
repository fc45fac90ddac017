"""The recipes for Conan and vcpkg, run against the archives in dist/."""

import os
import pathlib

from outside.machines import linux, windows
from outside.programs import QUICKSTART
from outside.stranger import Stranger, held
from project import DIST, ROOT, VERSION, Packed

STAND_IN = ROOT / "scripts/dist/outside/vcpkg.cmake"
ARCHITECTURES = {"x86_64": "x64", "aarch64": "arm64"}


def recipes(stranger: Stranger) -> pathlib.Path:
    """The recipes as `make dist` makes them, but that the archives are found here."""
    into = stranger.folder()
    stranger.run(ROOT / "scripts/dist/recipes", "--url", DIST.as_uri(), "--into", into, **os.environ)
    return into


def conan(*options: str):
    def check(stranger: Stranger, target: Packed) -> None:
        program, home = stranger.environment_tool("packaging", "conan"), {"CONAN_HOME": str(stranger.folder())}
        stranger.run(program, "profile", "detect", **home)
        said = stranger.run(program, "create", recipes(stranger) / "conan", *options, both=True, **home)
        held(f"floatlease {VERSION}, ABI 1" in said, f"the test package did not run:\n{said}")

    return check


def vcpkg(stranger: Stranger, target: Packed) -> None:
    port, packages = recipes(stranger) / "vcpkg/ports/floatlease", stranger.folder() / "floatlease_x64-linux"
    text = "".join(path.read_text(encoding="utf-8") for path in port.iterdir())
    held("@" not in text.replace("\\@", ""), "a placeholder of the port was not filled")
    stranger.run(
        stranger.tool("cmake"), f"-DPORT={port}", f"-DCURRENT_PACKAGES_DIR={packages}",
        f"-DVCPKG_TARGET_ARCHITECTURE={ARCHITECTURES[target.triple.split('-')[0]]}",
        f"-DVCPKG_TARGET_IS_WINDOWS={'ON' if target.windows else 'OFF'}", "-P", STAND_IN,
    )  # fmt: skip
    installed = windows(stranger, target) if target.windows else linux(stranger, target)
    installed.installed = (packages,)
    for built in [installed.by_cmake(QUICKSTART), installed.by_pkg_config(QUICKSTART)]:
        installed.runs(built, QUICKSTART)
