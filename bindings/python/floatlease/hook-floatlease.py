"""PyInstaller's hook for floatlease. It puts the native library into the program, and nothing of the sandbox."""

from __future__ import annotations

from PyInstaller.utils.hooks import collect_dynamic_libs, get_package_paths

binaries: list[tuple[str, str]] = collect_dynamic_libs(
    "floatlease", search_patterns=["floatlease.dll", "libfloatlease.*"]
)
if not binaries:
    raise SystemExit(
        f"The native library of floatlease is not in {get_package_paths('floatlease')[1]}, so the program would end at "
        "its first import. Install the floatlease wheel for this system, which brings it along, and run PyInstaller "
        "again."
    )
