"""Somebody who has nothing but dist/: an empty folder outside of the sources, and an environment with nothing in it."""

import os
import pathlib
import shutil
import subprocess
import tarfile
import zipfile

from project import DIST, ROOT, Packed

MINUTES_AT_MOST = 10


class Failed(Exception):
    """A sentence about what is wrong."""


def held(true: bool, otherwise: str) -> None:
    if not true:
        raise Failed(otherwise)


class Stranger:
    def __init__(self, home: pathlib.Path) -> None:
        self.home = home
        self.environment = {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "HOME": str(home),
            "TMPDIR": str(home),
            "LANG": "C.UTF-8",
        }
        self.unpacked: dict[str, pathlib.Path] = {}
        self.folders = 0

    def tool(self, name: str) -> str:
        """A tool of the system; a missing one fails the check."""
        found = shutil.which(name, path=self.environment["PATH"]) or shutil.which(name)
        held(found is not None, f"{name} is missing: run scripts/dist/setup")
        return found

    def environment_tool(self, environment: str, name: str) -> str:
        """A Python program of an environment that scripts/setup makes."""
        path = ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / environment / "bin" / name
        held(path.exists(), f"{path} is missing: run scripts/dist/setup")
        return str(path)

    def run(self, *command: object, at: pathlib.Path | None = None, both: bool = False, **environment: str) -> str:
        """What a command says on its output; with `both`, what it tells on the way too."""
        words = [str(word) for word in command]
        where = {"cwd": at or self.home, "env": self.environment | environment, "stdin": subprocess.DEVNULL}
        try:
            done = subprocess.run(words, text=True, capture_output=True, timeout=60 * MINUTES_AT_MOST, **where)
        except subprocess.TimeoutExpired:
            raise Failed(f"{' '.join(words)} did not end within {MINUTES_AT_MOST} minutes") from None
        except OSError as why:
            raise Failed(f"{words[0]}: {why.strerror}") from None
        said = "\n".join((done.stdout + done.stderr).strip().splitlines()[-25:])
        held(done.returncode == 0, f"{' '.join(words)} ended with {done.returncode}:\n{said}")
        return done.stdout + done.stderr if both else done.stdout

    def folder(self) -> pathlib.Path:
        """A new empty one."""
        self.folders += 1
        folder = self.home / str(self.folders)
        folder.mkdir()
        return folder

    def unpack(self, target: Packed, product: str = "floatlease") -> pathlib.Path:
        """The top folder of a target's archive."""
        file = DIST / target.archive_file(product)
        if file.name not in self.unpacked:
            held(file.exists(), f"dist/ has no {file.name}: run make dist")
            into = self.folder()
            if target.windows:
                zipfile.ZipFile(file).extractall(into)
            else:
                tarfile.open(file).extractall(into, filter="fully_trusted")
            inside = list(into.iterdir())
            held(inside == [into / target.archive(product)], f"{file.name} holds {inside}, not one folder of its name")
            self.unpacked[file.name] = inside[0]
        return self.unpacked[file.name]
