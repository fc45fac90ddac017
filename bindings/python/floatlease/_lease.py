"""What every lease has, whoever waits for its calls."""

from __future__ import annotations

import enum
import json
from typing import TYPE_CHECKING, Any, NoReturn, cast

from ._finalizer import Finalizer
from ._replies import LeaseInfo

if TYPE_CHECKING:
    from ._session import Session


class LeaseState(enum.IntEnum):
    """How a lease stands."""

    NONE = 0
    """No open lease: it was closed, or is another process's."""
    ACTIVE = 1
    """Confirmed by the server within its timeout: run."""
    DEGRADED = 2
    """The last renewal failed, the slot is still yours: run; perhaps a quiet notice."""
    GRACE = 3
    """The slot is no longer surely yours, `grace_ms` counts down: run, and save."""
    BORROWED = 4
    """Yours until a date, network or not: run."""
    LOST = 5
    """Over: stop licensed work; the document is still the user's."""
    RELEASED = 6
    """Given back."""

    @classmethod
    def _missing_(cls, value: object) -> LeaseState:
        # A state that is newer than this package.
        number = cast("int", value)
        state = int.__new__(cls, number)
        state._name_, state._value_ = f"STATE_{number}", number
        return state


LICENSED = (LeaseState.ACTIVE, LeaseState.DEGRADED, LeaseState.GRACE, LeaseState.BORROWED)


class HeldLease:
    """A slot, or several, that the library keeps for this program. Made by `lease` of a client."""

    number: int
    """Its number in events."""

    def __init__(self, session: Session, handle: int, info: dict[str, Any]) -> None:
        self.number = info["lease"]
        # The client stays open for as long as one of its leases is used.
        self._session = session
        self._handle = handle
        self._read_state = session.library.dll.floatlease_lease_state
        # In a forked child the library does nothing then.
        self._free = Finalizer(self, session.library.dll.floatlease_lease_free, handle)
        session.add_lease(self)

    def __repr__(self) -> str:
        return f"<floatlease.{type(self).__name__} {self.number} {self.state.name}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a lease can't be sent to another process; open a client there, and take one")

    @property
    def state(self) -> LeaseState:
        """How it stands. Never waits; read it as often as you like."""
        return LeaseState(self._read_state(self._handle))

    @property
    def is_licensed(self) -> bool:
        """Whether licensed work may go on: in ACTIVE, DEGRADED, GRACE and BORROWED."""
        return self.state in LICENSED

    @property
    def remaining_ms(self) -> int:
        """Milliseconds until licensed work must stop; in GRACE, what is left of it. Go by the state."""
        return cast("int", self._session.library.dll.floatlease_lease_remaining(self._handle))

    def info(self) -> LeaseInfo:
        """All that is known of it. Asks nobody."""
        text = self._session.invoke("floatlease_lease_info", self._handle)
        return cast("LeaseInfo", json.loads(text))

    def close(self) -> None:
        """Lets go of it. Waits for nothing.

        What is held is given back in the background, within `release_on_close_ms`, if the process lives so long; what
        is borrowed stays borrowed. `release` gives it back for sure. Dropping the last reference does the same.
        """
        self._free()
