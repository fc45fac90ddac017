"""The end of a native handle, which no Ctrl-C may lose."""

from __future__ import annotations

import weakref
from typing import Any, Callable

_unfreed: set[Finalizer] = set()
"""Keeps the finalizers whose handles have not been freed."""


class Finalizer:
    """Frees a native handle when it is called, or when the object that owns the handle is gone.

    Unlike `weakref.finalize` it calls the library first, and forgets the handle second. Python may raise
    KeyboardInterrupt between any two of its steps: a handle that was forgotten before it was freed would hold its slot
    for as long as the process lives. The library allows to free a handle twice.
    """

    def __init__(self, owner: object, free: Callable[[int], Any], handle: int) -> None:
        self._free = free
        self._handle = handle
        self.alive = True
        """Whether the handle is still to be freed."""
        # The callback is skipped if an exception comes at its begin; the next finalizer, or the end, makes up for it.
        self._owner = weakref.ref(owner, self)
        _unfreed.add(self)
        free_orphans()

    def __call__(self, _: object = None) -> None:
        """Frees the handle, if that has not been done."""
        if self.alive:
            self._free(self._handle)
            self.alive = False
            _unfreed.discard(self)

    @property
    def is_orphan(self) -> bool:
        """Whether the owner is gone, and the handle is not."""
        return self._owner() is None


def free_orphans() -> None:
    """Frees the handles whose owners are gone."""
    # A copy in one step: a collection of garbage in the middle of an iteration may free one, and change the set.
    for finalizer in [finalizer for finalizer in _unfreed.copy() if finalizer.is_orphan]:
        finalizer()
