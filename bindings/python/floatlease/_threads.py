"""Locks and threads of the interpreter itself, also where gevent or eventlet has replaced them.

Both replace the locks and threads of Python's modules by stand-ins for the greenlets of one thread. A stand-in that
threads of the system share may never wake one of them. The library's calls wait on such threads, so the binding takes
nothing else.
"""

from __future__ import annotations

import _thread
import sys
import threading
from typing import Any, Callable


def _original(name: str) -> Any:
    """Returns a member of `_thread` as the interpreter made it."""
    gevent, eventlet = sys.modules.get("gevent.monkey"), sys.modules.get("eventlet.patcher")
    if gevent is not None and gevent.is_module_patched("_thread"):
        return gevent.get_original("_thread", name)
    if eventlet is not None and eventlet.is_monkey_patched("thread"):
        return getattr(eventlet.original("_thread"), name)
    return getattr(_thread, name)


# Neither of them replaces this one, only the name in `threading`.
RLock = _thread.RLock

new_lock: Callable[[], _thread.LockType] = _original("allocate_lock")
"""Makes a lock that one thread locks and another may unlock."""

get_ident: Callable[[], int] = _original("get_ident")
"""Returns the number of this thread. Greenlets of one thread share it."""

_start_new_thread: Callable[..., Any] = _original("start_new_thread")

# A replaced `threading.main_thread` knows its greenlet alone. Programs replace it at their start, on the main thread.
_importing_thread = get_ident()


def is_replaced() -> bool:
    """Returns whether gevent or eventlet has replaced the threads of Python's modules."""
    return _thread.get_ident is not get_ident


def is_main_thread() -> bool:
    """Returns whether this is the main thread, the one on which Python handles Ctrl-C."""
    return get_ident() == (_importing_thread if is_replaced() else threading.main_thread().ident)


def start_thread(target: Callable[[], object], name: str) -> None:
    """Starts a daemon thread. Raises a RuntimeError if the system gives none."""
    if is_replaced():
        _start_new_thread(target, ())
    else:
        threading.Thread(target=target, name=name, daemon=True).start()


__all__ = ["RLock", "get_ident", "is_main_thread", "is_replaced", "new_lock", "start_thread"]
