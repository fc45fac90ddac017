"""Which licenses may be in what ships, as deny.toml says and cargo-deny holds, and where their texts are."""

import pathlib
import re
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
CONFIG = pathlib.Path(__file__).with_name("deny.toml")

TEXT = re.compile(r"(un)?licen[cs]e|copying|copyright|notice", re.IGNORECASE)


class NotAllowed(Exception):
    """What cargo-deny says of a license, or of a place that a crate comes from."""


def check(cargo_deny: pathlib.Path, config: pathlib.Path = CONFIG) -> None:
    """Raises NotAllowed unless everything that is built may ship."""
    command = [cargo_deny, "--locked", "--workspace", "--config", config, "check", "licenses", "bans", "sources"]
    done = subprocess.run(command, cwd=ROOT, text=True, capture_output=True)
    if done.returncode:
        raise NotAllowed(f"not everything that is built may ship, by {config}:\n{done.stdout}{done.stderr}")


def normal(expression: str) -> str:
    """The expression as SPDX writes it today."""
    return " ".join(expression.replace("/", " OR ").split())


def texts(folder: pathlib.Path) -> list[str]:
    """What stands in the license files of a crate's folder."""
    files = sorted(path for path in folder.iterdir() if path.is_file() and TEXT.match(path.name))
    return [path.read_text(encoding="utf-8", errors="replace").strip("\n") for path in files]
