"""PyInstaller's hook for floatlease.sandbox, which only tests import."""

from __future__ import annotations

import logging

from PyInstaller.utils.hooks import collect_dynamic_libs

binaries: list[tuple[str, str]] = collect_dynamic_libs(
    "floatlease", search_patterns=["floatlease_sandbox.dll", "libfloatlease_sandbox.*"]
)
logging.getLogger(__name__).warning(
    "The program imports floatlease.sandbox, which grants a license to everybody: never ship it."
)
