"""An open client of the library: its handle, its queue, its leases, and how all of them are given back at the end."""

from __future__ import annotations

import atexit
import json
import time
import weakref
from collections.abc import Iterable, Mapping
from ctypes import byref, c_void_p
from typing import Any, Callable, Generic, Protocol, TypeVar

from ._calls import Call, CompletionQueue, Converter, error_for
from ._errors import FloatLeaseError, error_from_status
from ._finalizer import Finalizer, free_orphans
from ._json import encoded
from ._library import Library, c_text, load_client, text_at
from ._state import LeaseState
from ._status import Status
from ._threads import is_main_thread

T = TypeVar("T")

WITH_RELEASE_MS = 5_000
"""Time limit for the end of a `with`, which waits until the slots are given back."""
EXIT_RELEASE_MS = 2_000
"""Time limit for the end of the interpreter, which waits likewise."""

library = load_client()


def unchanged(_: Call[Any], reply: dict[str, Any]) -> dict[str, Any]:
    """Converts nothing: the result of the call is the reply as the library gave it."""
    return reply


class OpenLease(Protocol):
    """A lease as a session sees it. The classes of leases are in `_base`, which is above this module."""

    number: int

    @property
    def state(self) -> LeaseState:
        """The state of the lease."""
        ...


class Living(Generic[T]):
    """Objects that are in use, which this does not keep alive.

    Each of its steps is one of the interpreter's own, so it needs no lock: threads, signal handlers, finalizers and
    forked children may use it at any time.
    """

    def __init__(self) -> None:
        self._references: set[weakref.ref[T]] = set()

    def add(self, one: T) -> None:
        """Adds an object, until it is collected."""
        self._references.add(weakref.ref(one, self._forget))

    def all(self) -> list[T]:
        """Returns the objects that are in use now."""
        return [one for reference in self._references.copy() if (one := reference()) is not None]

    def _forget(self, reference: weakref.ref[T]) -> None:
        # A function of Python's own, because Ctrl-C is raised where such a one begins. Here nothing is lost by it; the
        # finalizer of the object, which is called next, would free its handle later.
        self._references.discard(reference)


class Session:
    """The part that a client and its leases share. It is closed when the last of them is gone."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        handle = c_void_p()
        self._leases: Living[OpenLease] = Living()
        self.library: Library = library
        try:
            _text_or_raise(*library.invoke("floatlease_client_open", encoded(config), byref(handle)))
            self.handle: int = handle.value or 0
            self.queue: CompletionQueue = CompletionQueue(library, self.handle)
            # In a forked child the library does nothing when it is called.
            self.close: Finalizer = Finalizer(self, library.dll.floatlease_client_close, self.handle)
        except BaseException:
            # Ctrl-C may come as soon as the client is open.
            library.dll.floatlease_client_close(handle)
            raise
        _open_sessions.add(self)

    @property
    def is_open(self) -> bool:
        """True if this process has opened the client and has not closed it yet."""
        return self.close.alive and not self.is_inherited

    @property
    def is_inherited(self) -> bool:
        """True if this is a forked child. The session is dead there: its locks and threads stayed with the parent."""
        return self.queue.is_inherited

    def add_lease(self, lease: OpenLease) -> None:
        """Registers a lease, so that it is given back at the end."""
        self._leases.add(lease)

    def invoke(self, name: str, *arguments: Any) -> str:
        """Calls a function of the library on this thread. Returns its text, or raises its error."""
        return _text_or_raise(*library.invoke(name, *arguments))

    def submit(self, operation: str, request: Mapping[str, Any], convert: Converter[T]) -> Call[T]:
        """Submits a call, which is performed in the background."""
        if self.is_inherited:
            raise error_for(library, self.handle, Status.FORKED)
        call = Call(self.queue, convert)
        call.submit(operation, encoded(request))
        return call

    def perform(
        self,
        operation: str,
        request: Mapping[str, Any],
        convert: Converter[T],
        directly: Callable[[], T],
    ) -> T:
        """Performs a call and waits for its result.

        On the main thread the call is submitted, because Python must handle Ctrl-C while it waits; Ctrl-C then cancels
        the call. On other threads, and where the call can't be submitted, `directly` performs it.
        """
        if is_main_thread() and not self.is_inherited and not self.queue.is_reading_here:
            call = Call(self.queue, convert)
            try:
                return call.run(operation, encoded(request))
            except FloatLeaseError:
                if call.ticket:
                    raise
        # If the library refused the submit, the direct call explains better what is wrong.
        return directly()

    def call(self, operation: str, request: Mapping[str, Any]) -> dict[str, Any]:
        """Performs an operation by its name and waits for the reply."""

        def directly() -> dict[str, Any]:
            text = self.invoke("floatlease_call", self.handle, c_text(operation), encoded(request))
            reply: dict[str, Any] = json.loads(text)
            return reply

        return self.perform(operation, request, unchanged, directly)

    def accept_lease(self, call: Call[Any]) -> int:
        """Returns the handle of the lease that a submitted call has acquired."""
        return call.lease_handle(
            lambda out: self.invoke("floatlease_lease_accept", self.handle, call.ticket, byref(out))
        )

    def next_event(self, wait_ms: int) -> Any:
        """Returns the oldest event that was not read yet, and waits for one; None if none came in that time."""
        if self.is_inherited:
            raise error_for(library, self.handle, Status.FORKED)
        return self.queue.next_event(wait_ms)

    def events_waiting(self) -> int:
        """Returns how many events and completions were not read yet. It never waits."""
        if self.is_inherited:
            return 0
        # Some are in the library's queue, and those that a wait for a call has read are in Python's.
        count: int = self.library.dll.floatlease_events_waiting(self.handle)
        return count + self.queue.unread_events

    def pending_acquires(self) -> list[Call[Any]]:
        """Returns the calls under way that acquire a lease. What they are granted must be given back too."""
        return self.queue.pending_acquires() if self.is_open else []

    def leases(self) -> list[OpenLease]:
        """Returns the leases in use, and those that completed calls hold for a program that has not asked yet."""
        calls = [] if self.is_inherited else self.queue.read_pending()
        leases = self._leases.all()
        # The calls kept their leases from being collected until here.
        del calls
        return leases

    def begin_release(self, leases: Iterable[OpenLease], within_ms: int) -> list[Call[Any]]:
        """Begins to give leases back in the background, except borrowed ones. Returns the calls that do it."""
        calls: list[Call[Any]] = []
        for lease in leases if self.is_open else ():
            if lease.state.name not in ("NONE", "BORROWED", "RELEASED"):
                request = {"lease": lease.number, "timeout_ms": within_ms}
                try:
                    calls.append(self.submit("lease_release", request, unchanged))
                except FloatLeaseError:
                    continue
        return calls


def wait_for_calls(calls: Iterable[Call[Any]], within_ms: int) -> None:
    """Waits for calls, at most `within_ms` for all of them, and cancels the others. It ignores their errors."""
    end = time.monotonic() + within_ms / 1_000
    for call in calls:
        try:
            call.result(max(0, int((end - time.monotonic()) * 1_000)))
        except (FloatLeaseError, TimeoutError):
            call.cancel()


def left_ms(end: float) -> int:
    """Returns the milliseconds until `end` on the monotonic clock, at least 1, which is the shortest deadline."""
    return max(1, int((end - time.monotonic()) * 1_000))


def release_all(sessions: Iterable[Session], within_ms: int) -> None:
    """Gives back all leases of these sessions, those too that are being acquired, and waits at most `within_ms`."""
    sessions, end = list(sessions), time.monotonic() + within_ms / 1_000
    # These lists keep leases alive that have no other reference.
    acquires = [call for session in sessions for call in session.pending_acquires()]
    leases = [(session, session.leases()) for session in sessions]
    calls = [call for session, held in leases for call in session.begin_release(held, within_ms)]
    wait_for_calls(acquires, left_ms(end))
    granted = [(session, [lease for lease in session.leases() if lease not in held]) for session, held in leases]
    calls += [call for session, held in granted for call in session.begin_release(held, left_ms(end))]
    wait_for_calls(calls, left_ms(end))


def version() -> str:
    """Returns the version of the native library, for example `"0.1.0"`."""
    return text_at(library.dll.floatlease_version())


def _text_or_raise(status: int, text: str | None) -> str:
    if status != Status.OK:
        raise error_from_status(status, text, text_at(library.dll.floatlease_status_name(status)))
    return text or "{}"


exit_callbacks: list[Callable[[], object]] = []
"""Functions that the end of the interpreter calls after the leases were given back; one stops the sandboxes."""

_open_sessions: Living[Session] = Living()


def _release_at_exit() -> None:
    """Gives all leases back when the interpreter ends, within a bounded time."""
    release_all(_open_sessions.all(), EXIT_RELEASE_MS)
    free_orphans()
    for callback in exit_callbacks:
        callback()
    # The clients stay open: closing them would wake threads that wait for events, and those would print an error.


atexit.register(_release_at_exit)
