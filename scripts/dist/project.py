"""What every script of this folder knows: where things are, and what is made for whom."""
import os
import pathlib
import re
from dataclasses import dataclass

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILT = ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / "dist"
DIST = ROOT / "dist"
TEMPLATES = ROOT / "bindings"
VERSION = re.search(r'^version = "(.+)"$', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)[1]


@dataclass(frozen=True)
class Target:
    triple: str
    system: str  # CMAKE_SYSTEM_NAME
    processors: str  # what CMAKE_SYSTEM_PROCESSOR may be called
    libraries: str  # what a program that takes the static library needs besides, for pkg-config

    @property
    def windows(self) -> bool:
        return self.system == "Windows"

    def archive(self, product: str = "floatlease") -> str:
        return f"{product}-{VERSION}-{self.triple}"

    def archive_file(self, product: str = "floatlease") -> str:
        return self.archive(product) + (".zip" if self.windows else ".tar.gz")


GLIBC = "-lpthread -ldl -lm -lrt"
TARGETS = {
    target.triple: target
    for target in [
        Target("x86_64-unknown-linux-gnu", "Linux", "x86_64;amd64", GLIBC),
        Target("aarch64-unknown-linux-gnu", "Linux", "aarch64;arm64", GLIBC),
        Target("x86_64-unknown-linux-musl", "Linux", "x86_64;amd64", "-lpthread"),
        Target("x86_64-pc-windows-gnu", "Windows", "AMD64;x86_64", ""),
        Target("aarch64-apple-darwin", "Darwin", "arm64;aarch64", ""),
        Target("x86_64-apple-darwin", "Darwin", "x86_64", ""),
    ]
}
