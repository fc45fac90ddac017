"""Frees native handles, also if Ctrl-C interrupts it."""

from __future__ import annotations

import weakref
from typing import Any, Callable

_unfreed: set[Finalizer] = set()
"""The finalizers whose handles have not been freed. The set keeps them from being collected."""


class Finalizer:
    """Frees a native handle when it is called, or when the object that owns the handle is gone.

    Unlike `weakref.finalize` it calls the library first and drops the handle second. Python may raise KeyboardInterrupt
    between any two of its steps, and a handle that was dropped before it was freed would hold its slot as long as the
    process lives. Freeing a handle twice is allowed.
    """

    def __init__(self, owner: object, free: Callable[[int], Any], handle: int) -> None:
        self._free = free
        self._handle = handle
        self.alive: bool = True
        """True if the handle has not been freed yet."""
        # Python skips the callback if an exception comes as it begins; free_orphans makes up for that later.
        self._owner = weakref.ref(owner, self)
        _unfreed.add(self)
        free_orphans()

    def __call__(self, _: object = None) -> None:
        """Frees the handle, unless that has been done."""
        if self.alive:
            self._free(self._handle)
            self.alive = False
            _unfreed.discard(self)

    @property
    def is_orphan(self) -> bool:
        """True if the owner of the handle is gone."""
        return self._owner() is None


def free_orphans() -> None:
    """Frees the handles whose owners are gone, but whose callbacks were skipped."""
    # The set is copied in one step, because the garbage collector may free a handle during the loop.
    for finalizer in [finalizer for finalizer in _unfreed.copy() if finalizer.is_orphan]:
        finalizer()
