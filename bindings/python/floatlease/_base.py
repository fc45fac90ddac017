"""The parts of a client and of a lease that never wait: `Client` and `AsyncClient` have them in common."""

from __future__ import annotations

import json
import operator
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NoReturn, cast

from ._calls import Call, error_for
from ._finalizer import Finalizer
from ._replies import LeaseInfo
from ._session import Session, unchanged
from ._state import LICENSED, LeaseState

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from ._requests import Config

MAX_UINT32 = 2**32 - 1


def config_of_environment() -> dict[str, Any]:
    """Returns the config in FLOATLEASE_CONFIG, as `floatlease-server exec` sets it."""
    text = os.environ.get("FLOATLEASE_CONFIG")
    if not text:
        raise LookupError(
            "FLOATLEASE_CONFIG is not set. It holds a client's config as one JSON object; "
            "`floatlease-server exec -- COMMAND` runs a command with one."
        )
    config: dict[str, Any] = json.loads(text)
    return config


class ClientBase:
    """The methods that `Client` and `AsyncClient` have in common. None of them waits."""

    def __init__(self, config: Config | None = None, /, **more: Unpack[Config]) -> None:
        self._session = Session({**(config or {}), **more})

    @classmethod
    def from_environment(cls, **changes: Unpack[Config]) -> Self:
        """Opens a client with the config in the environment variable FLOATLEASE_CONFIG; `changes` replace its keys.

        Raises a `LookupError` if the variable is not set.
        """
        return cls(cast("Config", config_of_environment()), **changes)

    def __repr__(self) -> str:
        return f"<floatlease.{type(self).__name__} {'open' if self._session.close.alive else 'closed'}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a client can't be sent to another process; send its config, and open one there")

    def submit(self, operation: str, request: Mapping[str, Any] | None = None) -> Call[Any]:
        """Performs an operation in the background, and returns at once.

        The operation is one that `call` knows, `"release_all"`, or `"lease_acquire"`, whose result is a lease. A game
        draws frames meanwhile and looks at `done()` in each. Up to 64 calls run at the same time (`max_parallel`), and
        1,000 may be under way. A call's deadline counts from here; what releases or renews waits for no other call.
        """
        if operation == "lease_acquire":
            return self._session.submit(operation, request or {}, self._accept_lease)
        return self._session.submit(operation, request or {}, unchanged)

    def cancel(self) -> None:
        """Cancels every call that is under way, and every wait for an event. Leases go on.

        It is called from another thread than the one that waits. A cancelled call raises a `NetworkError` whose
        `outcome` says how far it got.
        """
        if not self._session.is_inherited:
            self._session.queue.cancel_all()
        self._expect_ok(self._session.library.dll.floatlease_client_cancel(self._session.handle))

    def advance_clock(self, by_ms: int) -> None:
        """Moves the clock of this client's leases forward by `by_ms` milliseconds, as a sleep of the machine would.

        For tests, together with `Sandbox.advance`. Raises a `ValueError` for a negative time.
        """
        # Also of numpy's integers, which ctypes does not take.
        by_ms = operator.index(by_ms)
        if by_ms < 0:
            raise ValueError("a clock can't be put back")
        # ctypes silently cuts off what does not fit into the library's 32 bits.
        for part in (*[MAX_UINT32] * (by_ms // MAX_UINT32), by_ms % MAX_UINT32):
            self._expect_ok(self._session.library.dll.floatlease_client_advance_clock(self._session.handle, part))

    def close(self) -> None:
        """Closes the client and all of its leases at once, without waiting for the server.

        The library gives the slots of its leases back in the background, if the process lives long enough; borrowed
        slots stay borrowed. The end of a `with` waits until the slots are given back. Closing twice is allowed.
        """
        self._session.close()

    def _accept_lease(self, call: Call[Any], info: dict[str, Any]) -> LeaseBase:
        raise NotImplementedError

    def _expect_ok(self, status: int) -> None:
        if status:
            raise error_for(self._session.library, self._session.handle, status)


class LeaseBase:
    """The methods that `Lease` and `AsyncLease` have in common. None of them waits."""

    number: int
    """The number that names this lease in the client's events."""

    def __init__(self, session: Session, handle: int, info: dict[str, Any]) -> None:
        self.number = info["lease"]
        # The client stays open as long as one of its leases is referenced.
        self._session = session
        self._handle = handle
        self._read_state = session.library.dll.floatlease_lease_state
        # In a forked child the library does nothing when it is called.
        self._free = Finalizer(self, session.library.dll.floatlease_lease_free, handle)
        session.add_lease(self)

    def __repr__(self) -> str:
        return f"<floatlease.{type(self).__name__} {self.number} {self.state.name}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a lease can't be sent to another process; open a client there, and take one")

    @property
    def state(self) -> LeaseState:
        """The state of the lease. Reading it never waits and asks nobody: read it as often as you like."""
        return LeaseState(self._read_state(self._handle))

    @property
    def is_licensed(self) -> bool:
        """True if licensed work may go on: the state is ACTIVE, DEGRADED, GRACE or BORROWED. Reading it never waits."""
        return self.state in LICENSED

    @property
    def remaining_ms(self) -> int:
        """Milliseconds until licensed work must stop. In GRACE this is the rest of the grace time.

        Reading it never waits. After a sleep of the machine it may be 0 for some seconds while the server is asked, so
        decide by `state`.
        """
        return cast("int", self._session.library.dll.floatlease_lease_remaining(self._handle))

    def info(self) -> LeaseInfo:
        """Returns everything that the library knows about the lease, without asking the server."""
        text = self._session.invoke("floatlease_lease_info", self._handle)
        return cast("LeaseInfo", json.loads(text))

    def close(self) -> None:
        """Closes the lease at once, without waiting for the server.

        The library gives the slot back in the background within `release_on_close_ms`, if the process lives long
        enough; not if that is 0, nor with `keep_alive` "host". A borrowed slot stays borrowed. `release` gives the
        slot back before your program goes on. Dropping the last reference to a lease closes it too.
        """
        self._free()
