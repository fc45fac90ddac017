"""A license server inside your test, with a clock that the test sets and faults that it injects.

    from floatlease import Client
    from floatlease.sandbox import Sandbox

    with Sandbox(rate=0) as sandbox, Client(sandbox.client_config()) as client:
        client.activate_license()
        with client.lease() as lease:
            sandbox.advance("2h", client)

For tests only: it licenses whoever asks. `GET /openapi.json` of `Sandbox.control` lists all that it can be told.
"""

from __future__ import annotations

import json
import weakref
from collections.abc import Mapping
from ctypes import byref, c_void_p
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypedDict, Union, cast

from ._client import AnyClient
from ._errors import error_of
from ._finalizer import Finalizer
from ._json import encoded
from ._library import c_text, load_sandbox, text_at
from ._session import at_the_end
from ._session import library as client_library

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self, Unpack

    from ._requests import Config

library = load_sandbox()
"""The native library behind it."""


class Options(TypedDict, total=False):
    """How a sandbox begins; all optional."""

    catalogue: Union[str, Mapping[str, Any]]
    """What is licensed to whom: TOML as a text, or the same as a dict."""
    presets: bool
    """An easy way to provoke each refusal of the API; `Sandbox.info` lists them."""
    now: str
    """Its time at the beginning, for example `"2028-02-29T12:00:00Z"` or `"now-1h"`."""
    rate: float
    """How time passes: 1 (default) is real time, 0 stands still."""
    date_check: str
    order: bool
    """False: `FloatLease-Order` is ignored, as by the vendor's cloud."""
    idempotency: bool
    """False: `Idempotency-Key` is ignored likewise."""
    faults: list[Mapping[str, Any]]
    port: int
    control_port: int


class Fault(TypedDict, total=False):
    """What goes wrong."""

    match: Mapping[str, Any]
    """Whose requests."""
    when: Mapping[str, Any]
    """Which of those."""
    do: Mapping[str, Any]
    """What happens to them, for example `{"after_commit": "reset"}`."""


class Sandbox:
    """A license server in this process, with data, keys and a clock of its own. Any number run side by side."""

    info: dict[str, Any]
    """What it told at its start: `base_url`, `public_key`, `license_key` and more."""

    def __init__(self, options: Options | None = None, /, **more: Unpack[Options]) -> None:
        handle = c_void_p()
        text = _invoke("floatlease_sandbox_start", encoded({**(options or {}), **more}), byref(handle))
        self.info = json.loads(text)
        self._handle = handle.value or 0
        self._stop = Finalizer(self, library.dll.floatlease_sandbox_stop, self._handle)
        _running.add(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def control(self, method_path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Asks or tells it something, for example `control("GET /slots")`."""
        request = None if body is None else encoded(body)
        text = _invoke("floatlease_sandbox_control", self._handle, c_text(method_path), request)
        answer: dict[str, Any] = json.loads(text)
        return answer

    def client_config(self, **changes: Unpack[Config]) -> Config:
        """The config of a client of this sandbox, with some of it changed: `client_config(hardware_id="my-desk")`."""
        return cast("Config", {**self.control("GET /client_config"), **changes})

    def advance(self, by: str | timedelta, *clients: AnyClient) -> dict[str, Any]:
        """Lets time pass at once, `"2h"` or `"1h 30m"` or a `timedelta`, and tells what happened meanwhile.

        It passes for the server, and for the leases of the clients that are named: one without the other is a lie to
        somebody.
        """
        text = f"{by // timedelta(milliseconds=1)}ms" if isinstance(by, timedelta) else by
        before = _moment(self.control("GET /clock"))
        answer = self.control("POST /clock/advance", {"by": text})
        passed = by if isinstance(by, timedelta) else _moment(answer) - before
        for client in clients:
            client.advance_clock(passed // timedelta(milliseconds=1))
        return answer

    def fault(self, fault: Fault | None = None, /, **more: Unpack[Fault]) -> dict[str, Any]:
        """Makes something go wrong from now on: `fault(do={"before": "hang"})`. `control("DELETE /faults")` ends it."""
        return self.control("POST /faults", {**(fault or {}), **more})

    @property
    def is_stopped(self) -> bool:
        """Whether `stop` was called."""
        return not self._stop.alive

    def stop(self) -> None:
        """Ends it within a second, whatever its clients do, and leaves nothing behind."""
        self._stop()


_running: weakref.WeakSet[Sandbox] = weakref.WeakSet()


def _stop_all() -> None:
    """The interpreter ends, and the leases that it held have been given back."""
    for sandbox in list(_running):
        sandbox.stop()


at_the_end.append(_stop_all)


def _moment(clock: Mapping[str, Any]) -> datetime:
    return datetime.fromisoformat(clock["now"].replace("Z", "+00:00"))


def _invoke(name: str, *arguments: Any) -> str:
    status, text = library.invoke(name, *arguments)
    if status:
        raise error_of(status, text, text_at(client_library.dll.floatlease_status_name(status)))
    return text or "{}"
