"""Tells PyInstaller where the hooks of floatlease are; the entry point `pyinstaller40` names this module.

It is beside the package, not in it: PyInstaller imports it at each build, also where the library of floatlease can't
be loaded.
"""

from __future__ import annotations

from pathlib import Path


def hook_folders() -> list[str]:
    """Returns the folders with hooks: the package's own."""
    return [str(Path(__file__).with_name("floatlease"))]
