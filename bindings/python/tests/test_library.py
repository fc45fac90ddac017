from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import floatlease
import pytest
from conftest import posix
from floatlease import _library

PACKAGE = Path(floatlease.__file__).parent
CLIENT, SANDBOX = Path(_library.load_client().path), Path(_library.load_sandbox().path)
SHOW = "import floatlease._session, floatlease.sandbox as s; print(floatlease._session.library.path, s.library.path)"


def load(package: Path, program: str = SHOW, **variables: str) -> tuple[int, str, str]:
    """Imports the package that lies there, in an environment of these variables alone."""
    environment = {"PYTHONPATH": str(package.parent), "PATH": os.environ["PATH"], **variables}
    here = package.parent
    done = subprocess.run([sys.executable, "-c", program], cwd=here, env=environment, capture_output=True, text=True)
    return done.returncode, done.stdout.strip(), done.stderr


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of the package without libraries."""
    ignored = shutil.ignore_patterns("*.so*", "*.dll", "__pycache__")
    return Path(shutil.copytree(PACKAGE, tmp_path / "floatlease", ignore=ignored))


@posix
def test_an_override_names_the_files(package: Path) -> None:
    code, paths, said = load(package, FLOATLEASE_LIBRARY=str(CLIENT), FLOATLEASE_SANDBOX_LIBRARY=str(SANDBOX))
    assert (code, paths) == (0, f"{CLIENT} {SANDBOX}"), said


@posix
def test_the_packages_own_folder_comes_before_the_systems_search(package: Path) -> None:
    shutil.copy(CLIENT, package / "libfloatlease.so.1")
    shutil.copy(SANDBOX, package / "libfloatlease_sandbox.so")
    code, paths, said = load(package, LD_LIBRARY_PATH=f"{CLIENT.parent}:{SANDBOX.parent}")
    assert (code, paths) == (0, f"{package}/libfloatlease.so.1 {package}/libfloatlease_sandbox.so"), said


@posix
def test_one_in_the_packages_own_folder_that_can_not_be_loaded_is_not_replaced_by_another(package: Path) -> None:
    (package / "libfloatlease.so").write_text("of another machine")
    code, _, said = load(package, LD_LIBRARY_PATH=f"{CLIENT.parent}:{SANDBOX.parent}")
    assert code == 1
    assert "could not be loaded: the package brings it along:" in said
    assert f"{package}/libfloatlease.so: file too short" in said or "invalid ELF header" in said


@posix
def test_the_systems_search_is_the_last_place(package: Path) -> None:
    code, paths, said = load(package, LD_LIBRARY_PATH=f"{CLIENT.parent}:{SANDBOX.parent}")
    assert (code, paths) == (0, "libfloatlease.so.1 libfloatlease_sandbox.so.1"), said


@posix
def test_a_missing_library_is_an_import_error_that_says_where_it_was_looked_for(package: Path) -> None:
    code, _, said = load(package)
    assert code == 1
    for words in (
        "ImportError: The native library of floatlease could not be loaded: it is not in",
        f"{package}, and the system's search gave",
        "libfloatlease.so.1: cannot open",
        "libfloatlease.so: cannot open",
        "Install the floatlease wheel for this system, which brings it along, or set FLOATLEASE_LIBRARY",
    ):
        assert words in said, said

    code, _, said = load(package, FLOATLEASE_LIBRARY="nowhere/lib.so", LD_LIBRARY_PATH=str(CLIENT.parent))
    assert code == 1
    assert "FLOATLEASE_LIBRARY names it" in said
    assert f"{package.parent}/nowhere/lib.so: cannot open" in said

    code, _, said = load(package, FLOATLEASE_LIBRARY=str(CLIENT))
    assert code == 1
    assert "The native library of floatlease_sandbox could not be loaded" in said
    assert "FLOATLEASE_SANDBOX_LIBRARY" in said


@posix
def test_a_frozen_program_without_its_library_is_told_where_it_belongs(package: Path) -> None:
    frozen = "import sys; sys.frozen = True; import floatlease"
    code, _, said = load(package, frozen)
    assert code == 1
    assert f"it is not in {package}, and the system's search gave" in said
    assert "This program was frozen without it. Freeze it anew with libfloatlease.so in its folder floatlease" in said
    assert "wheel for this system, which brings it along" not in said

    (package / "libfloatlease.so").write_text("of another machine")
    code, _, said = load(package, frozen)
    assert code == 1
    assert "Freeze this program anew, with the floatlease wheel for this system" in said


@posix
def test_a_package_inside_of_an_archive_is_told_to_be_unpacked(package: Path, tmp_path: Path) -> None:
    shutil.copy(CLIENT, package / "libfloatlease.so")
    archive = shutil.make_archive(str(tmp_path / "program"), "zip", package.parent, "floatlease")
    code, _, said = load(package, f"import sys; sys.path.insert(0, {archive!r}); import floatlease")
    assert code == 1
    assert f"The package is inside of {archive}, and no system loads a library from there. Unpack it" in said


@posix
def test_a_library_that_is_another_is_named(package: Path) -> None:
    code, _, said = load(package, FLOATLEASE_LIBRARY=str(SANDBOX))
    assert code == 1
    assert f"{SANDBOX} is older than this Python package: it has no floatlease_abi_version" in said
    code, _, said = load(package, FLOATLEASE_LIBRARY=__file__)
    assert code == 1
    assert "invalid ELF header" in said


def test_another_abi_is_told_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_library, "ABI_VERSION", 2)
    monkeypatch.setenv("FLOATLEASE_LIBRARY", str(CLIENT))
    with pytest.raises(ImportError, match=r"has the ABI version 1, and this Python package is made for 2\."):
        _library.load_client()


@pytest.mark.parametrize(
    ("platform", "files"),
    [
        ("linux", ["libfloatlease.so.1", "libfloatlease.so"]),
        ("win32", ["floatlease.dll"]),
        ("darwin", ["libfloatlease.1.dylib", "libfloatlease.dylib"]),
    ],
)
def test_each_system_has_its_names(monkeypatch: pytest.MonkeyPatch, platform: str, files: list[str]) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    assert _library._file_names("floatlease") == files


def test_everything_public_is_documented() -> None:
    for name in floatlease.__all__:
        thing = getattr(floatlease, name)
        assert thing.__doc__, name
        for member, value in vars(thing).items() if isinstance(thing, type) else ():
            assert member.startswith("_") or not callable(value) or value.__doc__, f"{name}.{member}"
