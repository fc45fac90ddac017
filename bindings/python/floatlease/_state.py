"""The states of a lease."""

from __future__ import annotations

import enum
from typing import cast


class LeaseState(enum.IntEnum):
    """The state of a lease. Expect numbers that have no name here: they are states of a newer library."""

    NONE = 0
    """There is no open lease: it was closed, or it belongs to another process."""
    ACTIVE = 1
    """The server confirmed the slot within its timeout. Your program runs."""
    DEGRADED = 2
    """The last renewal failed, but the slot is still yours. Your program runs, perhaps with a quiet notice."""
    GRACE = 3
    """Another device may have the slot by now. Save the user's work; licensed work may go on for `grace_ms`."""
    BORROWED = 4
    """The slot is yours until a date, with or without a network. Your program runs."""
    LOST = 5
    """The lease is lost. Stop licensed work; the document is still the user's to read and to save."""
    RELEASED = 6
    """The slot was given back."""

    @classmethod
    def _missing_(cls, value: object) -> LeaseState:
        # A state that is newer than this package.
        number = cast("int", value)
        state = int.__new__(cls, number)
        state._name_, state._value_ = f"STATE_{number}", number
        return state


LICENSED = (LeaseState.ACTIVE, LeaseState.DEGRADED, LeaseState.GRACE, LeaseState.BORROWED)
"""The states in which licensed work may go on."""
