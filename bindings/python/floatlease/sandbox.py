"""A license server inside your test, with a clock that the test sets and faults that it injects.

    from floatlease import Client
    from floatlease.sandbox import Sandbox

    with Sandbox(rate=0) as sandbox, Client(sandbox.client_config()) as client:
        client.activate_license()
        with client.acquire_lease() as lease:
            sandbox.advance("2h", client)

For tests only: it grants a license to every program that asks. `control("GET /openapi.json")` lists all its calls.
"""

from __future__ import annotations

import json
import weakref
from collections.abc import Mapping
from ctypes import byref, c_void_p
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypedDict, Union, cast

from ._base import ClientBase
from ._errors import error_from_status
from ._finalizer import Finalizer
from ._json import encoded
from ._library import Library, c_text, load_sandbox, text_at
from ._session import exit_callbacks
from ._session import library as client_library

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self, Unpack

    from ._requests import Config

library: Library = load_sandbox()
"""The native library of the sandbox."""


class Options(TypedDict, total=False):
    """The options of a sandbox at its start. All keys are optional."""

    catalogue: Union[str, Mapping[str, Any]]
    """The products and licenses of the server: TOML as a text, or the same as a dict; by default the sandbox's own."""
    presets: bool
    """True adds licenses that provoke each refusal of the API; `Sandbox.info` lists them under `presets`."""
    now: str
    """The server's time at the start, for example `"2028-02-29T12:00:00Z"` or `"now-1h"`; by default the real time."""
    rate: float
    """The speed of the server's clock: 1 (default) is real time, 60 lets a minute pass in a second, 0 stands still."""
    date_check: str
    """The clock that the Date of requests must agree with: `"real"` (default), or `"world"` for the server's own."""
    order: bool
    """False makes the server ignore the header `FloatLease-Order`, as the vendor's cloud does."""
    idempotency: bool
    """False makes the server ignore the header `Idempotency-Key`, as the vendor's cloud does."""
    faults: list[Mapping[str, Any]]
    """The faults that are active from the start, each as `Sandbox.fault` takes it."""
    port: int
    """The port of the license server; 0 (default) is a free one."""
    control_port: int
    """A port for the control interface, so that other processes can use it; 0 is a free one."""


class Fault(TypedDict, total=False):
    """A fault that the sandbox injects. `do` is required."""

    match: Mapping[str, Any]
    """The requests that the fault is for, for example `{"operation": "check_license"}`; by default all."""
    when: Mapping[str, Any]
    """The choice among the matching requests, for example `{"times": 1}` for the first; by default all."""
    do: Mapping[str, Any]
    """The fault itself. `{"after_commit": "reset"}` loses the reply of a request that was carried out."""


class Sandbox:
    """A license server in this process, with data, keys and a clock of its own. Any number may run side by side.

    The end of a `with` stops it.
    """

    info: dict[str, Any]
    """The server's description for its clients: `base_url`, `public_key`, `license_key` and more."""

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
        """Performs a call of the control interface, for example `control("GET /slots")`, and returns its answer.

        Raises a `FloatLeaseError` with `Status.SANDBOX` if the sandbox refuses the call.
        """
        request = None if body is None else encoded(body)
        text = _invoke("floatlease_sandbox_control", self._handle, c_text(method_path), request)
        answer: dict[str, Any] = json.loads(text)
        return answer

    def client_config(self, **changes: Unpack[Config]) -> Config:
        """Returns the config of a client of this sandbox. `changes` replace its keys: `hardware_id="my-desk"`."""
        return cast("Config", {**self.control("GET /client_config"), **changes})

    def advance(self, by: str | timedelta, *clients: ClientBase) -> dict[str, Any]:
        """Lets time pass at once: `"2h"`, `"1h 30m"` or a `timedelta`. Returns what happened at the server meanwhile.

        The time passes for the server and for the leases of the given clients. Give all clients of the sandbox, because
        a client whose clock stands still would take its slot for confirmed.
        """
        text = f"{by // timedelta(milliseconds=1)}ms" if isinstance(by, timedelta) else by
        before = _moment(self.control("GET /clock"))
        answer = self.control("POST /clock/advance", {"by": text})
        passed = by if isinstance(by, timedelta) else _moment(answer) - before
        for client in clients:
            client.advance_clock(passed // timedelta(milliseconds=1))
        return answer

    def fault(self, fault: Fault | None = None, /, **more: Unpack[Fault]) -> dict[str, Any]:
        """Injects a fault: `fault(do={"before": "hang"})`. `control("DELETE /faults")` ends all faults."""
        return self.control("POST /faults", {**(fault or {}), **more})

    @property
    def is_stopped(self) -> bool:
        """True if the sandbox was stopped."""
        return not self._stop.alive

    def stop(self) -> None:
        """Stops the sandbox within a second, whatever its clients do. Stopping twice is allowed."""
        self._stop()


_running: weakref.WeakSet[Sandbox] = weakref.WeakSet()


def _stop_all() -> None:
    """Stops all sandboxes when the interpreter ends, after its leases were given back."""
    for sandbox in list(_running):
        sandbox.stop()


exit_callbacks.append(_stop_all)


def _moment(clock: Mapping[str, Any]) -> datetime:
    return datetime.fromisoformat(clock["now"].replace("Z", "+00:00"))


def _invoke(name: str, *arguments: Any) -> str:
    status, text = library.invoke(name, *arguments)
    if status:
        raise error_from_status(status, text, text_at(client_library.dll.floatlease_status_name(status)))
    return text or "{}"
