"""Which crates are linked into what cargo builds, told by cargo itself."""

import functools
import json
import os
import pathlib
import re
import subprocess
from dataclasses import dataclass, field

from project import ROOT

TREE_LINE = re.compile(r"(\d+)(\S+) v(\S+)(?: \((.+?)\))?$")


class NotLinkable(Exception):
    """A sentence why this must not ship."""


@dataclass(frozen=True)
class Product:
    """What is built, as its build names it."""

    name: str
    kind: str  # of CycloneDX
    package: str
    features: str = ""
    program: str = ""  # its file's name, if it is one


LIBRARY = Product("floatlease", "library", "floatlease", "quiet")
SERVER = Product("floatlease-server", "application", "floatlease-server", program="floatlease-server")
COMMAND = Product("floatlease-cli", "application", "floatlease-cli", program="floatlease")
PROGRAMS = [SERVER, COMMAND]
SANDBOX = Product("floatlease-sandbox", "library", "floatlease-sandbox")


@dataclass(frozen=True)
class Crate:
    name: str
    version: str
    license: str
    checksum: str = ""  # SHA-256 of what the registry gave; none for our own and for Rust's
    folder: pathlib.Path = pathlib.Path()

    @property
    def ref(self) -> str:
        return f"{self.name}@{self.version}"


@dataclass
class Graph:
    root: Crate
    crates: dict[str, Crate] = field(default_factory=dict)  # by ref, without the root
    needs: dict[str, set[str]] = field(default_factory=dict)  # refs by ref


class Cargo:
    """A cargo and the workspace that it is asked about."""

    def __init__(self, manifest: pathlib.Path, program: str = "cargo", **environment: str) -> None:
        self.manifest = manifest
        self.program = program
        self.environment = os.environ | environment

    def ask(self, *arguments: str) -> str:
        command = [self.program, arguments[0], "--manifest-path", str(self.manifest), "--locked", *arguments[1:]]
        answer = subprocess.run(command, env=self.environment, cwd=ROOT, text=True, capture_output=True)
        if answer.returncode:
            raise NotLinkable(f"{' '.join(command)} failed: {answer.stderr.strip()}")
        return answer.stdout

    @functools.cached_property
    def folders(self) -> dict[tuple[str, str], tuple[pathlib.Path, str]]:
        """Folder and license of each package, of all targets."""
        packages = json.loads(self.ask("metadata", "--format-version", "1", "--all-features"))["packages"]
        return {
            (one["name"], one["version"]): (pathlib.Path(one["manifest_path"]).parent, one["license"] or "")
            for one in packages
        }

    @functools.cached_property
    def checksums(self) -> dict[tuple[str, str], str]:
        lock = (self.manifest.parent / "Cargo.lock").read_text(encoding="utf-8")
        entry = r'name = "(.+)"\nversion = "(.+)"\nsource = ".+"\nchecksum = "(.+)"'
        return {(name, version): checksum for name, version, checksum in re.findall(entry, lock)}

    def graph(self, package: str, features: str, target: str) -> Graph:
        """What is linked into `package`: neither what only builds run, nor macros."""
        asked = ["tree", "-p", package, "-F", features, "--target", target, "--prefix", "depth", "-f", "{p}"]
        lines = self.ask(*asked, "-e", "normal,no-proc-macro").splitlines()
        above: list[Crate] = []
        graph = None
        for line in lines:
            depth, name, version, _ = TREE_LINE.match(line.removesuffix(" (*)").strip()).groups()
            folder, license_ = self.folders[name, version]
            crate = Crate(name, version, license_, self.checksums.get((name, version), ""), folder)
            del above[int(depth) :]
            graph = graph or Graph(crate)
            if above:
                graph.crates[crate.ref] = crate
                graph.needs.setdefault(above[-1].ref, set()).add(crate.ref)
            above.append(crate)
        return graph


OURS = Cargo(ROOT / "Cargo.toml")


def linked(product: Product, target: str) -> Graph:
    return OURS.graph(product.package, product.features, target)
