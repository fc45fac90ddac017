"""Calls in the background, and the queue of completions and events that the library keeps for each client.

The library has one queue for each client, and any thread may read it. A thread that waits for its call reads on behalf
of all threads that wait, so no thread is needed for reading alone, except under asyncio. Waits in the main thread are
cut into slices, because Python handles Ctrl-C only between two of its own steps.
"""

from __future__ import annotations

import copy
import json
import logging
import os
import time
from collections import deque
from collections.abc import Mapping
from ctypes import byref, c_uint64, c_void_p
from typing import TYPE_CHECKING, Any, Callable, Generic, Optional, TypeVar, cast

from ._errors import FloatLeaseError, error_from_object, error_from_status
from ._json import encoded
from ._library import Library, c_text, text_at
from ._replies import Event
from ._status import Status
from ._threads import RLock, get_ident, is_main_thread, new_lock, start_thread

if TYPE_CHECKING:
    from _thread import LockType

T = TypeVar("T")

Converter = Callable[["Call[Any]", "dict[str, Any]"], T]
"""Makes the result of a call from its reply."""

MAIN_SLICE_MS = 50
"""The longest wait in one piece on the main thread, which must handle Ctrl-C."""
OTHER_SLICE_MS = 1_000
"""The longest wait in one piece on any other thread."""
MAX_UNREAD_EVENTS = 1_000
"""The number of events that are kept for the program; older ones are dropped and counted."""


class Call(Generic[T]):
    """A call that is performed in the background. `Client.submit` returns it."""

    def __init__(self, queue: CompletionQueue, convert: Converter[T]) -> None:
        self._number = c_uint64()
        # The handle of the lease that the call has acquired.
        self._lease = c_void_p()
        self._queue = queue
        self._convert = convert
        self._value: Optional[T] = None
        self._error: Optional[BaseException] = None
        self._done = False
        self._acquires_lease = False
        self._callbacks: list[Callable[[], object]] = []

    def __repr__(self) -> str:
        return f"<floatlease.Call {self.ticket}, {'done' if self._done else 'under way'}>"

    @property
    def ticket(self) -> int:
        """The number that names the call in the library; 0 if it could not be submitted."""
        return self._number.value

    @property
    def acquires_lease(self) -> bool:
        """True if the result of the call is a lease."""
        return self._acquires_lease

    def done(self) -> bool:
        """Returns whether the call is done, without waiting."""
        return self._queue.wait_until(self._is_done, 0)

    def result(self, timeout_ms: int | None = None) -> T:
        """Waits until the call is done, and returns its result or raises its error.

        Raises a `TimeoutError` if the call is not done after `timeout_ms` milliseconds; None waits for its own
        deadline.
        """
        if not self._queue.wait_until(self._is_done, timeout_ms):
            raise TimeoutError("the call is not done yet" if timeout_ms is None else f"not done after {timeout_ms} ms")
        if self._error is not None:
            # The traceback of a raised error holds the caller's variables, this call among them. If the call kept that
            # very error, they would form a cycle, and the leases among them would be given back only when the garbage
            # collector runs.
            raise copy.copy(self._error)
        return cast("T", self._value)

    def cancel(self) -> bool:
        """Cancels the call, and returns False if it is done already.

        The call ends within 50 ms; `result` then raises a `NetworkError` whose `outcome` says how far it got.
        """
        return self._queue.cancel_call(self.ticket)

    def then(self, callback: Callable[[], object]) -> None:
        """Calls `callback` once when the call is done, on any thread. An exception of the callback is logged."""
        self._callbacks.append(callback)
        if self._done:
            self._run_callbacks()

    def submit(self, operation: str, request: bytes) -> None:
        """Submits the call to the library. Raises if the library refuses it."""
        self._acquires_lease = operation == "lease_acquire"
        self._queue.submit(self, self._number, operation, request)

    def run(self, operation: str, request: bytes) -> T:
        """Submits the call, waits for its result, and cancels it if the wait is interrupted, as by Ctrl-C."""
        try:
            self.submit(operation, request)
            return self.result()
        finally:
            if self.ticket and not self._done:
                self.cancel()

    def lease_handle(self, accept: Callable[[c_void_p], object]) -> int:
        """Returns the handle of the lease that the call has acquired. `accept` takes it from the library, once."""
        if not self._lease.value:
            accept(self._lease)
        return self._lease.value or 0

    def complete(self, event: Mapping[str, Any]) -> None:
        """Stores the result that the completion carries. It runs again if Ctrl-C interrupted it."""
        if self._done:
            return
        try:
            if self._value is not None or self._error is not None:
                pass
            elif event.get("status", Status.INTERNAL) == Status.OK:
                self._value = self._convert(self, event.get("reply") or {})
            else:
                self._error = error_from_object(event.get("error") or {"status": event.get("status")})
        except Exception as error:
            self._error = error.with_traceback(None)
        self.finish()

    def fail(self, error: BaseException) -> None:
        """Ends the call with an error, because no completion will come."""
        self._error = error
        self.finish()

    def finish(self) -> None:
        """Marks the call as done, and runs its callbacks."""
        # A call that a program keeps must not keep its client alive, which the converter refers to.
        del self._convert
        self._done = True
        self._run_callbacks()

    def _run_callbacks(self) -> None:
        while self._callbacks:
            try:
                # Each is called once, though another thread may be in this loop at the same time.
                callback = self._callbacks.pop(0)
            except IndexError:
                return
            try:
                callback()
            except Exception:
                # This thread happens to read the queue for others, so it must go on.
                logging.getLogger("floatlease").exception("A callback of %r failed", self)

    def _is_done(self) -> bool:
        return self._done


class CompletionQueue:
    """Reads the completions and events of one client.

    It refers to the client by its handle only, so that a thread that reads does not keep the client alive.
    """

    def __init__(self, library: Library, handle: int) -> None:
        self._library = library
        self._handle = handle
        self._process = os.getpid()
        # Reentrant, because a signal handler or a finalizer may run between any two steps. Not a condition variable:
        # Ctrl-C inside its `with`, which is Python's own code, would leave it locked for good.
        self._lock = RLock()
        self._waiters: list[LockType] = []
        # The id of the thread that reads, or None.
        self._reader: int | None = None
        self._is_closed = False
        self._cancels = 0
        self._calls: dict[int, Call[Any]] = {}
        # Completions that a signal handler has read before their calls were registered.
        self._early_completions: dict[int, dict[str, Any]] = {}
        self._events: deque[Event] = deque()
        self._missed = 0
        self._wakers: list[Callable[[], object]] = []
        self._has_thread = False
        # Only the thread that reads uses these two. They outlive an interrupted read, so that Ctrl-C loses nothing.
        # Python raises KeyboardInterrupt at a function call, so steps that belong together contain none.
        self._out = c_void_p()
        self._event: Any = None

    @property
    def is_inherited(self) -> bool:
        """True if this is a forked child. The queue is dead there: its locks and threads stayed with the parent."""
        return os.getpid() != self._process

    @property
    def is_reading_here(self) -> bool:
        """True if this thread is reading already. This is a signal handler then, which must not wait."""
        return self._reader == get_ident()

    @property
    def is_closed(self) -> bool:
        """True if the client was closed, so that nothing more can come."""
        return self._is_closed

    def submit(self, call: Call[Any], number: c_uint64, operation: str, request: bytes) -> None:
        """Submits a call to the library, which writes its `number`, and registers it. Raises if the library refuses."""
        with self._lock:
            try:
                function = self._library.dll.floatlease_submit
                status = function(self._handle, c_text(operation), request, byref(number))
            finally:
                # Also if Ctrl-C came right after the call or comes now: its completion must find an owner.
                if number.value:
                    self._calls[number.value] = call
            if status != Status.OK:
                raise error_for(self._library, self._handle, status, operation)
            early = self._early_completions.pop(number.value, None)
        if early is not None:
            self._complete(call, early)

    def cancel_call(self, ticket: int) -> bool:
        """Cancels one call, and returns False if it is done."""
        return bool(self._library.dll.floatlease_cancel(self._handle, ticket) == Status.OK)

    def cancel_all(self) -> None:
        """Cancels every call, and every wait for an event."""
        with self._lock:
            self._cancels += 1
            tickets = list(self._calls)
        self._wake_waiters()
        for ticket in tickets:
            self.cancel_call(ticket)

    def read_pending(self) -> list[Call[Any]]:
        """Reads all that is in the library's queue, and returns the calls that were under way before."""
        with self._lock:
            calls = list(self._calls.values())
        self.wait_until(lambda: False, 0)
        return calls

    def pending_acquires(self) -> list[Call[Any]]:
        """Returns the calls under way that acquire a lease. A cancelled one may still have been granted a slot."""
        with self._lock:
            return [call for call in self._calls.values() if call.acquires_lease]

    def next_event(self, wait_ms: int) -> Optional[Event]:
        """Waits for an event, takes it from the queue and returns it; None if none came in that time."""
        cancels = self._cancels
        taken: list[Event] = []

        def has_event() -> bool:
            # It is taken at once, because another thread that waits may be as quick.
            if self._cancels == cancels and not taken and (event := self.take_event()) is not None:
                taken.append(event)
            return bool(taken) or self._cancels != cancels

        self.wait_until(has_event, wait_ms)
        if taken:
            return taken[0]
        if self._cancels != cancels:
            raise self._error_for(Status.CANCELLED)
        if self._is_closed:
            raise self._error_for(Status.HANDLE)
        return None

    @property
    def unread_events(self) -> int:
        """The number of events that were taken from the library for the program, which has not read them yet."""
        return len(self._events)

    def take_event(self) -> Optional[Event]:
        """Takes the oldest event from the queue; None if there is none. It does not wait."""
        with self._lock:
            if not self._events:
                return None
            event, missed = self._events.popleft(), self._missed
            self._missed = 0
        return {**event, "missed": event.get("missed", 0) + missed} if missed else event

    def add_waker(self, waker: Callable[[], object]) -> None:
        """Calls `waker` on any thread whenever an event comes or the client is closed."""
        with self._lock:
            self._wakers.append(waker)

    def remove_waker(self, waker: Callable[[], object]) -> None:
        """Undoes `add_waker`."""
        with self._lock:
            self._wakers.remove(waker)

    def read_in_background(self) -> None:
        """Starts a thread that reads until the client is closed. asyncio needs it: its own thread must not wait.

        Raises a RuntimeError if the system gives no thread. The next call tries again.
        """
        with self._lock:
            if self._has_thread or self._is_closed:
                return
            self._has_thread = True
            try:
                start_thread(self._read_until_closed, "floatlease-events")
            except BaseException:
                # A thread that never ran would keep all later calls waiting for their completions.
                self._has_thread = False
                raise

    def _read_until_closed(self) -> None:
        try:
            self.wait_until(lambda: False)
        finally:
            # Also if it failed, as for want of memory: the next call starts another.
            self._has_thread = False

    def wait_until(self, predicate: Callable[[], bool], wait_ms: int | None = None) -> bool:
        """Reads, or lets another thread read, until `predicate` holds or `wait_ms` is over. Returns whether it does."""
        if predicate():
            return True
        if self.is_inherited:
            raise self._error_for(Status.FORKED)
        slice_ms = MAIN_SLICE_MS if is_main_thread() else OTHER_SLICE_MS
        end = None if wait_ms is None else time.monotonic() + wait_ms / 1_000
        came = True
        while not self.is_reading_here:
            left_ms = slice_ms
            if end is not None:
                left_ms = max(0, min(slice_ms, int((end - time.monotonic()) * 1_000 + 0.999)))
            reads = False
            try:
                with self._lock:
                    if predicate() or self._is_closed or not (came or left_ms):
                        return predicate()
                    turn = new_lock()
                    turn.acquire()
                    if self._reader is None:
                        self._reader, reads = get_ident(), True
                    elif left_ms:
                        self._waiters.append(turn)
                came = self._read(left_ms) if reads else turn.acquire(timeout=left_ms / 1_000)
            finally:
                if reads:
                    self._reader = None
                    self._wake_waiters()
        return predicate()

    def _wake_waiters(self) -> None:
        """Wakes the threads that wait, because their predicates may hold now, or because no thread reads any more."""
        with self._lock:
            waiters, self._waiters = self._waiters, []
        for turn in waiters:
            turn.release()

    def _read(self, wait_ms: int) -> bool:
        """Takes one completion or event from the library's queue and handles it. Returns whether there was one."""
        out = self._out
        if self._event is None:
            if not out.value:
                self._library.dll.floatlease_next_event(self._handle, wait_ms, byref(out))
            if not out.value:
                return False
            self._event = json.loads(text_at(out.value))
        address, out.value = out.value, None
        if address is not None:
            self._library.dll.floatlease_string_free(address)
        event = self._event
        if event.get("event") == "COMPLETED":
            with self._lock:
                call = self._calls.get(event["ticket"])
                if call is None:
                    self._early_completions[event["ticket"]], self._event = event, None
            if call is not None:
                self._complete(call, event)
        elif "event" in event:
            self._add_event(event)
        elif event.get("status") != Status.CANCELLED:
            # An error object: the client was closed.
            self._close()
        self._event = None
        return True

    def _complete(self, call: Call[Any], event: Mapping[str, Any]) -> None:
        call.complete(event)
        ticket = call.ticket
        with self._lock:
            if ticket in self._calls:
                del self._calls[ticket]
            self._event = None

    def _add_event(self, event: Event) -> None:
        with self._lock:
            if len(self._events) == MAX_UNREAD_EVENTS:
                self._missed += 1 + self._events.popleft().get("missed", 0)
            self._events += (event,)
            self._event = None
            wakers = list(self._wakers)
        self._wake_waiters()
        for waker in wakers:
            waker()

    def _close(self) -> None:
        """Ends all calls with an error, because the client was closed."""
        with self._lock:
            self._is_closed = True
            calls, self._calls = list(self._calls.values()), {}
            wakers = list(self._wakers)
        self._wake_waiters()
        for call in calls:
            message = "The client was closed before the call was done."
            call.fail(error_from_status(Status.CANCELLED, None, Status.CANCELLED.name, message))
        for waker in wakers:
            waker()

    def _error_for(self, status: int) -> FloatLeaseError:
        return error_for(self._library, self._handle, status)


def error_for(library: Library, handle: int, status: int, operation: str = "") -> FloatLeaseError:
    """Returns the error for a status that came without an error object."""
    # Asked for an operation that does not exist, the library says what is wrong: with the handle, if that is closed.
    name = operation if status == Status.UNKNOWN_OPERATION else ""
    again, text = library.invoke("floatlease_call", handle, name.encode(), encoded({}))
    status_name = text_at(library.dll.floatlease_status_name(status))
    return error_from_status(status, text if again == status else None, status_name)
