"""An open client of the library: its handle, its leases, and its end."""

from __future__ import annotations

import atexit
import json
import os
import threading
import time
import weakref
from collections.abc import Iterable, Mapping
from ctypes import byref, c_void_p
from typing import TYPE_CHECKING, Any, Callable, TypeVar

from ._calls import Call, Finish, Mailbox, refusal
from ._errors import FloatLeaseError, error_of
from ._finalizer import Finalizer, free_orphans
from ._json import encoded
from ._library import Library, c_text, load_client, text_at
from ._status import Status

if TYPE_CHECKING:
    from ._lease import HeldLease

T = TypeVar("T")

LEAVE_MS = 5_000
"""So long the end of a `with` waits for slots to be given back."""
EXIT_MS = 2_000
"""So long the end of the interpreter does."""

library = load_client()


def as_it_came(_: Call[Any], reply: dict[str, Any]) -> dict[str, Any]:
    """A reply that is to become nothing else."""
    return reply


class Session:
    """What a client and its leases have in common. The last of them to go closes it."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        handle = c_void_p()
        self._leases: weakref.WeakSet[HeldLease] = weakref.WeakSet()
        self.library: Library = library
        try:
            _raise_for(*library.invoke("floatlease_client_open", encoded(config), byref(handle)))
            self.handle: int = handle.value or 0
            self.mailbox = Mailbox(library, self.handle)
            # In a forked child the library does nothing then.
            self.close = Finalizer(self, library.dll.floatlease_client_close, self.handle)
        except BaseException:
            # Ctrl-C may come as soon as it is open.
            library.dll.floatlease_client_close(handle)
            raise
        with _living_lock:
            _living.add(self)

    @property
    def inherited(self) -> bool:
        """Whether this is a forked child, in which it is dead: locks and threads stayed with the parent."""
        return self.mailbox.inherited

    def add_lease(self, lease: HeldLease) -> None:
        """Takes note of a lease, which is given back at the end."""
        with _living_lock:
            self._leases.add(lease)

    def invoke(self, name: str, *arguments: Any) -> str:
        """A function of the library, on this thread: its text, or what it raises."""
        return _raise_for(*library.invoke(name, *arguments))

    def submit(self, operation: str, request: Mapping[str, Any], finish: Finish[T]) -> Call[T]:
        """A call in the background."""
        if self.inherited:
            raise refusal(library, self.handle, Status.FORKED)
        call = Call(self.mailbox, finish)
        self.mailbox.submit(call, operation, encoded(request))
        return call

    def perform(
        self,
        operation: str,
        request: Mapping[str, Any],
        finish: Finish[T],
        directly: Callable[[], T],
    ) -> T:
        """A call that is waited for.

        The main thread has it done in the background, since it must hear Ctrl-C meanwhile, which then ends the call.
        """
        main = threading.current_thread() is threading.main_thread()
        if main and not self.inherited and not self.mailbox.leads_already:
            call = Call(self.mailbox, finish)
            try:
                return call.settled(operation, encoded(request))
            except FloatLeaseError:
                if call.ticket:
                    raise
        # What can't be submitted is done directly, and says better what is wrong.
        return directly()

    def call(self, operation: str, request: Mapping[str, Any]) -> dict[str, Any]:
        """An operation by name, waited for."""

        def directly() -> dict[str, Any]:
            text = self.invoke("floatlease_call", self.handle, c_text(operation), encoded(request))
            reply: dict[str, Any] = json.loads(text)
            return reply

        return self.perform(operation, request, as_it_came, directly)

    def accepted(self, call: Call[Any]) -> int:
        """The handle of a lease that a submitted call has taken."""
        if not call._handle.value:
            self.invoke("floatlease_lease_accept", self.handle, call.ticket, byref(call._handle))
        return call._handle.value or 0

    def next_event(self, wait_ms: int) -> Any:
        """The oldest event."""
        if self.inherited:
            raise refusal(library, self.handle, Status.FORKED)
        return self.mailbox.next_event(wait_ms)

    def acquires(self) -> list[Call[Any]]:
        """The calls under way that take a lease, which is to be given back too."""
        return self.mailbox.acquires() if self.close.alive and not self.inherited else []

    def leases(self) -> list[HeldLease]:
        """Those that are in use, and those that submitted calls have taken without anybody asking yet."""
        calls = [] if self.inherited else self.mailbox.caught_up()
        with _living_lock:
            leases = list(self._leases)
        del calls
        return leases

    def begin_release(self, leases: Iterable[HeldLease], within_ms: int) -> list[Call[Any]]:
        """Has them given back in the background, but for what is borrowed: that is to stay."""
        calls = []
        for lease in leases if self.close.alive and not self.inherited else ():
            if lease.state.name not in ("NONE", "BORROWED", "RELEASED"):
                request = {"lease": lease.number, "timeout_ms": within_ms}
                try:
                    calls.append(self.submit("lease_release", request, as_it_came))
                except FloatLeaseError:
                    continue
        return calls


def settle(calls: Iterable[Call[Any]], within_ms: int) -> None:
    """Waits for calls, so long at most in all; what becomes of them is nobody's concern."""
    end = time.monotonic() + within_ms / 1_000
    for call in calls:
        try:
            call.result(max(0, int((end - time.monotonic()) * 1_000)))
        except (FloatLeaseError, TimeoutError):
            call.cancel()


def left_ms(end: float) -> int:
    """The milliseconds until this moment of the monotonic clock; 1 at least, which is the shortest deadline."""
    return max(1, int((end - time.monotonic()) * 1_000))


def give_back(sessions: Iterable[Session], within_ms: int) -> None:
    """Gives back what leases hold, those too that are being taken, and waits so long at most in all."""
    sessions, end = list(sessions), time.monotonic() + within_ms / 1_000
    # Leases that nobody else has live as long as these.
    acquires = [call for session in sessions for call in session.acquires()]
    leases = [(session, session.leases()) for session in sessions]
    calls = [call for session, held in leases for call in session.begin_release(held, within_ms)]
    settle(acquires, left_ms(end))
    granted = [(session, [lease for lease in session.leases() if lease not in held]) for session, held in leases]
    calls += [call for session, held in granted for call in session.begin_release(held, left_ms(end))]
    settle(calls, left_ms(end))


def version() -> str:
    """The native library's version."""
    return text_at(library.dll.floatlease_version())


def _raise_for(status: int, text: str | None) -> str:
    if status != Status.OK:
        raise error_of(status, text, text_at(library.dll.floatlease_status_name(status)))
    return text or "{}"


at_the_end: list[Callable[[], object]] = []
"""What is to end after the leases were given back, such as a sandbox, which is their server."""

_living: weakref.WeakSet[Session] = weakref.WeakSet()
_living_lock = threading.RLock()


def _release_all() -> None:
    """The interpreter ends: what is still held is given back, all at once and within a bounded time."""
    with _living_lock:
        sessions = list(_living)
    give_back(sessions, EXIT_MS)
    free_orphans()
    for end_later in at_the_end:
        end_later()
    # The clients stay open: threads that wait for events would hear of their end, and print what they heard.


def _renew_lock() -> None:
    """A forked child must not wait for one whose holder stayed with its parent."""
    global _living_lock
    _living_lock = threading.RLock()


atexit.register(_release_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)
