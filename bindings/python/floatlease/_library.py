"""Finds the native libraries, and declares their functions to ctypes."""

from __future__ import annotations

import ctypes
import os
import sys
from ctypes import POINTER, c_char_p, c_int32, c_int64, c_uint32, c_uint64, c_void_p
from pathlib import Path
from typing import Any

ABI_VERSION = 1

_OUT = POINTER(c_void_p)

# Texts that the library returns are c_void_p: ctypes would turn a c_char_p into bytes and lose the pointer to free.
_CLIENT: dict[str, tuple[Any, ...]] = {
    "floatlease_abi_version": (c_uint32,),
    "floatlease_version": (c_void_p,),
    "floatlease_status_name": (c_void_p, c_int32),
    "floatlease_string_free": (None, c_void_p),
    "floatlease_client_open": (c_int32, c_char_p, _OUT, _OUT),
    "floatlease_client_cancel": (c_int32, c_void_p),
    "floatlease_client_close": (None, c_void_p),
    "floatlease_client_diagnose": (c_int32, c_void_p, _OUT),
    "floatlease_client_release_all": (c_int32, c_void_p, c_uint32, _OUT),
    "floatlease_client_advance_clock": (c_int32, c_void_p, c_uint32),
    "floatlease_call": (c_int32, c_void_p, c_char_p, c_char_p, _OUT),
    "floatlease_submit": (c_int32, c_void_p, c_char_p, c_char_p, POINTER(c_uint64)),
    "floatlease_cancel": (c_int32, c_void_p, c_uint64),
    "floatlease_next_event": (c_int32, c_void_p, c_uint32, _OUT),
    "floatlease_events_waiting": (c_uint32, c_void_p),
    "floatlease_lease_acquire": (c_int32, c_void_p, c_char_p, _OUT, _OUT),
    "floatlease_lease_accept": (c_int32, c_void_p, c_uint64, _OUT, _OUT),
    "floatlease_lease_state": (c_int32, c_void_p),
    "floatlease_lease_remaining": (c_int64, c_void_p),
    "floatlease_lease_info": (c_int32, c_void_p, _OUT),
    "floatlease_lease_renew": (c_int32, c_void_p, _OUT),
    "floatlease_lease_borrow": (c_int32, c_void_p, c_char_p, _OUT),
    "floatlease_lease_release": (c_int32, c_void_p, _OUT),
    "floatlease_lease_free": (None, c_void_p),
}

_SANDBOX: dict[str, tuple[Any, ...]] = {
    "floatlease_sandbox_start": (c_int32, c_char_p, _OUT, _OUT),
    "floatlease_sandbox_control": (c_int32, c_void_p, c_char_p, c_char_p, _OUT),
    "floatlease_sandbox_stop": (None, c_void_p),
    "floatlease_sandbox_string_free": (None, c_void_p),
}


# Functions that never wait keep the interpreter's lock. Another thread would take it meanwhile, and hold it for 5 ms.
_WAIT_FREE = ("floatlease_events_waiting", "floatlease_lease_state", "floatlease_lease_remaining")


class Library:
    """A loaded library. Any thread may call its functions; ctypes releases the interpreter's lock meanwhile."""

    def __init__(self, dll: ctypes.CDLL, path: str, functions: dict[str, tuple[Any, ...]], free: str) -> None:
        self.path = path
        for name, (result, *arguments) in functions.items():
            try:
                function = getattr(dll, name)
            except AttributeError:
                raise ImportError(
                    f"{path} is older than this Python package: it has no {name}. Install both from one release."
                ) from None
            function.restype, function.argtypes = result, arguments
            if name in _WAIT_FREE:
                setattr(dll, name, ctypes.PYFUNCTYPE(result, *arguments)((name, dll)))
        self.dll = dll
        self._free = getattr(dll, free)

    def invoke(self, name: str, *arguments: Any) -> tuple[int, str | None]:
        """Calls a function whose last argument is `json_out`, and returns its status and that text."""
        out = c_void_p()
        status: int = getattr(self.dll, name)(*arguments, ctypes.byref(out))
        if not out.value:
            return status, None
        try:
            return status, text_at(out.value)
        finally:
            self._free(out)


def c_text(text: Any) -> bytes:
    """Returns a text as the library takes it. Raises a ValueError for a NUL inside, where C would cut the text."""
    if not isinstance(text, str):
        raise TypeError(f"the name of a call is of type {type(text).__name__}; expected str")
    if "\0" in text:
        raise ValueError(f"embedded null character in {text!r}")
    return text.encode()


def text_at(address: int) -> str:
    """Returns the UTF-8 text that begins at an address."""
    return ctypes.string_at(address).decode("utf-8")


def load_client() -> Library:
    """Loads floatlease, and checks that its ABI is the one that this package was made for."""
    dll, path = _load("floatlease", "FLOATLEASE_LIBRARY")
    library = Library(dll, path, _CLIENT, "floatlease_string_free")
    found = dll.floatlease_abi_version()
    if found != ABI_VERSION:
        raise ImportError(
            f"{path} has the ABI version {found}, and this Python package is made for {ABI_VERSION}. "
            "Install both from one release."
        )
    return library


def load_sandbox() -> Library:
    """Loads the library of the sandbox."""
    dll, path = _load("floatlease_sandbox", "FLOATLEASE_SANDBOX_LIBRARY")
    return Library(dll, path, _SANDBOX, "floatlease_sandbox_string_free")


def _file_names(name: str) -> list[str]:
    if sys.platform == "win32":
        return [f"{name}.dll"]
    if sys.platform == "darwin":
        return [f"lib{name}.1.dylib", f"lib{name}.dylib"]
    return [f"lib{name}.so.1", f"lib{name}.so"]


def _load(name: str, variable: str) -> tuple[ctypes.CDLL, str]:
    """Loads a library from the path in `variable`, else from the package's own folder, else as the system finds it."""
    here, chosen, names = Path(__file__).resolve().parent, os.environ.get(variable), _file_names(name)
    if chosen:
        places = [os.path.abspath(chosen)]
    else:
        places = [str(here / file) for file in names if (here / file).exists()] or names
    failures: list[str] = []
    for place in places:
        try:
            return ctypes.CDLL(place), place
        except OSError as error:
            failures.append(f"  {place}: {error}")
    if chosen:
        where = f"{variable} names it"
    else:
        where = (
            f"it is not in {here}, and the system's search gave" if places is names else "the package brings it along"
        )
    tried = "\n".join(failures)
    advice = _advice(variable, names[-1] if places is names else None)
    raise ImportError(f"The native library of {name} could not be loaded: {where}:\n{tried}\n{advice}")


def _advice(variable: str, missing: str | None) -> str:
    """Returns what to do about a library that is missing, or that could not be loaded."""
    here = Path(__file__).resolve().parent
    override = f"set {variable} to the file's path"
    # PyInstaller and others set the attribute; Nuitka sets the name in each module.
    if getattr(sys, "frozen", False) or "__compiled__" in globals():
        if missing is None:
            return f"Freeze this program anew, with the floatlease wheel for this system, or {override}."
        return (
            f"This program was frozen without it. Freeze it anew with {missing} in its folder {here.name}: PyInstaller "
            "puts it there if the floatlease wheel is installed, and docs/frozen-programs.md is about other tools. Or "
            f"{override}."
        )
    archive = next((folder for folder in here.parents if folder.is_file()), None)
    if archive is not None:
        return (
            f"The package is inside of {archive}, and no system loads a library from there. Unpack it, or {override}."
        )
    return f"Install the floatlease wheel for this system, which brings it along, or {override}."
