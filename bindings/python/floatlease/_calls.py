"""Calls under way in the background, and who reads the library's one queue of completions and events.

Whoever waits reads for all: there is no thread for it unless asyncio wants one. While one reads, others who wait are
told. A wait in the main thread is cut into slices, because Python answers Ctrl-C only between two of its own steps.
"""

from __future__ import annotations

import copy
import json
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Mapping
from ctypes import byref, c_uint64, c_void_p
from typing import Any, Callable, Generic, Optional, TypeVar, cast

from ._errors import FloatLeaseError, error_from, error_of
from ._json import encoded
from ._library import Library, c_text, text_at
from ._replies import Event
from ._status import Status

T = TypeVar("T")

Finish = Callable[["Call[Any]", "dict[str, Any]"], T]
"""What makes a reply what the caller wants."""

MAIN_SLICE_MS = 50
OTHER_SLICE_MS = 1_000
MOST_TOLD = 1_000


class Call(Generic[T]):
    """A call that is done in the background. Made by `Client.submit`."""

    def __init__(self, mailbox: Mailbox, finish: Finish[T]) -> None:
        self._number = c_uint64()
        # Of the lease that it has taken.
        self._handle = c_void_p()
        self._mailbox = mailbox
        self._finish = finish
        self._value: Optional[T] = None
        self._error: Optional[BaseException] = None
        self._done = False
        self._takes_a_lease = False
        self._then: list[Callable[[], object]] = []

    def __repr__(self) -> str:
        return f"<floatlease.Call {self.ticket}, {'done' if self._done else 'under way'}>"

    @property
    def ticket(self) -> int:
        """The call's number in the library; 0 if it was not submitted."""
        return self._number.value

    def done(self) -> bool:
        """Whether it is done. Waits for nothing."""
        return self._mailbox.until(self._is_done, 0)

    def result(self, timeout_ms: int | None = None) -> T:
        """Waits for the reply, or raises what the call has come to; a `TimeoutError` if it is not done by then."""
        if not self._mailbox.until(self._is_done, timeout_ms):
            raise TimeoutError("the call is not done yet" if timeout_ms is None else f"not done after {timeout_ms} ms")
        if self._error is not None:
            # The traceback of what is raised holds the caller's variables, this call among them. Kept here it would be
            # a cycle, and leases among them would not be given back before the garbage collector comes.
            raise copy.copy(self._error)
        return cast("T", self._value)

    def cancel(self) -> bool:
        """Ends it as soon as it can be; `result` then says how far it got. False if it is done already."""
        return self._mailbox.cancel_call(self.ticket)

    def then(self, told: Callable[[], object]) -> None:
        """Has `told` called once when it is done, from whatever thread. What it raises is logged."""
        self._then.append(told)
        if self._done:
            self._tell()

    def settled(self, operation: str, request: bytes) -> T:
        """Submits it: its result, and its end if nobody waits for it any longer, as after Ctrl-C."""
        try:
            self._mailbox.submit(self, operation, request)
            return self.result()
        finally:
            if self.ticket and not self._done:
                self.cancel()

    def complete(self, event: Mapping[str, Any]) -> None:
        """Takes the completion; once more, if Ctrl-C came in the middle of it."""
        if self._done:
            return
        try:
            if self._value is not None or self._error is not None:
                pass
            elif event.get("status", Status.INTERNAL) == Status.OK:
                self._value = self._finish(self, event.get("reply") or {})
            else:
                self._error = error_from(event.get("error") or {"status": event.get("status")})
        except Exception as error:
            self._error = error.with_traceback(None)
        self.end()

    def fail(self, error: BaseException) -> None:
        """Ends it without a completion."""
        self._error = error
        self.end()

    def end(self) -> None:
        """Nothing more is to come."""
        # What it would have made is not kept alive by a call that somebody forgot.
        del self._finish
        self._done = True
        self._tell()

    def _tell(self) -> None:
        while self._then:
            try:
                # Each is called once: another thread may be in the middle of this.
                told = self._then.pop(0)
            except IndexError:
                return
            try:
                told()
            except Exception:
                # The thread that reads the queue at the moment has nothing to do with it, and goes on.
                logging.getLogger("floatlease").exception("What was to be told of %r failed", self)

    def _is_done(self) -> bool:
        return self._done


class Mailbox:
    """The queue of one client. It knows nothing of the client, so that it keeps none alive."""

    def __init__(self, library: Library, handle: int) -> None:
        self._library = library
        self._handle = handle
        self._process = os.getpid()
        # Reentrant: a signal handler or a finalizer may come in between anywhere. No condition: Ctrl-C in the middle of
        # its `with`, which is Python's own code, would leave it locked for ever.
        self._lock = threading.RLock()
        self._waiting: list[threading.Lock] = []
        self._leader: int | None = None
        self._over = False
        self._cancels = 0
        self._calls: dict[int, Call[Any]] = {}
        # Completions that a signal handler has read before it was known whose they are.
        self._early: dict[int, dict[str, Any]] = {}
        self._told: deque[Event] = deque()
        self._missed = 0
        self._wakers: list[Callable[[], object]] = []
        self._thread: Optional[threading.Thread] = None
        # Who leads alone uses them. They outlive an interrupted read, so that nothing is lost by Ctrl-C. That comes
        # only with a call of a function: what must be done at once is done without one.
        self._out = c_void_p()
        self._event: Any = None

    @property
    def inherited(self) -> bool:
        """Whether this is a forked child, in which it is dead: locks and threads stayed with the parent."""
        return os.getpid() != self._process

    @property
    def leads_already(self) -> bool:
        """Whether this thread is reading: then this is a signal handler in the middle of it, and must not wait."""
        return self._leader == threading.get_ident()

    @property
    def over(self) -> bool:
        """Whether nothing can come any more: the client was closed."""
        return self._over

    def submit(self, call: Call[Any], operation: str, request: bytes) -> None:
        """Has a call done in the background; raises if it can't be."""
        number = call._number
        call._takes_a_lease = operation == "lease_acquire"
        with self._lock:
            try:
                function = self._library.dll.floatlease_submit
                status = function(self._handle, c_text(operation), request, byref(number))
            finally:
                # Also if Ctrl-C came just behind it, or comes now: what it comes to must not be left to nobody.
                if number.value:
                    self._calls[number.value] = call
            if status != Status.OK:
                raise refusal(self._library, self._handle, status, operation)
            early = self._early.pop(number.value, None)
        if early is not None:
            self._complete(call, early)

    def cancel_call(self, ticket: int) -> bool:
        """Ends one; False if it is done."""
        return bool(self._library.dll.floatlease_cancel(self._handle, ticket) == Status.OK)

    def cancel_all(self) -> None:
        """Ends every call, and every wait for an event."""
        with self._lock:
            self._cancels += 1
            tickets = list(self._calls)
        self._wake()
        for ticket in tickets:
            self.cancel_call(ticket)

    def caught_up(self) -> list[Call[Any]]:
        """What was under way, after all that is in the queue was read."""
        with self._lock:
            calls = list(self._calls.values())
        self.until(lambda: False, 0)
        return calls

    def acquires(self) -> list[Call[Any]]:
        """The calls under way that take a lease. One that was cancelled may have been granted it."""
        with self._lock:
            return [call for call in self._calls.values() if call._takes_a_lease]

    def next_event(self, wait_ms: int) -> Optional[Event]:
        """The oldest event; waits for one."""
        cancels = self._cancels
        taken: list[Event] = []

        def so() -> bool:
            # Taken at once: another thread that waits may be as quick.
            if self._cancels == cancels and not taken and (event := self.take_event()) is not None:
                taken.append(event)
            return bool(taken) or self._cancels != cancels

        self.until(so, wait_ms)
        if taken:
            return taken[0]
        if self._cancels != cancels:
            raise self._refusal(Status.CANCELLED)
        if self._over:
            raise self._refusal(Status.HANDLE)
        return None

    def take_event(self) -> Optional[Event]:
        """The oldest event that is here."""
        with self._lock:
            if not self._told:
                return None
            event, missed = self._told.popleft(), self._missed
            self._missed = 0
        return {**event, "missed": event.get("missed", 0) + missed} if missed else event

    def add_waker(self, waker: Callable[[], object]) -> None:
        """Has `waker` called, from whatever thread, when there is news."""
        with self._lock:
            self._wakers.append(waker)

    def remove_waker(self, waker: Callable[[], object]) -> None:
        """Ends that."""
        with self._lock:
            self._wakers.remove(waker)

    def read_in_background(self) -> None:
        """Has a thread read until the client is closed: for asyncio, whose own thread must not wait."""
        with self._lock:
            if self._thread is None:
                thread = threading.Thread(target=self.until, args=(lambda: False,), daemon=True)
                thread.name = "floatlease-events"
                thread.start()
                # Not before: where no thread can be started now, one may be later.
                self._thread = thread

    def until(self, so: Callable[[], bool], wait_ms: int | None = None) -> bool:
        """Reads, or has another thread read, until it is `so`; at the most so long. Returns whether it is."""
        if so():
            return True
        if self.inherited:
            raise self._refusal(Status.FORKED)
        main = threading.current_thread() is threading.main_thread()
        slice_ms = MAIN_SLICE_MS if main else OTHER_SLICE_MS
        end = None if wait_ms is None else time.monotonic() + wait_ms / 1_000
        came = True
        while not self.leads_already:
            left_ms = slice_ms
            if end is not None:
                left_ms = max(0, min(slice_ms, int((end - time.monotonic()) * 1_000 + 0.999)))
            leads = False
            try:
                with self._lock:
                    if so() or self._over or not (came or left_ms):
                        return so()
                    turn = threading.Lock()
                    turn.acquire()
                    if self._leader is None:
                        self._leader, leads = threading.get_ident(), True
                    elif left_ms:
                        self._waiting.append(turn)
                came = self._read(left_ms) if leads else turn.acquire(timeout=left_ms / 1_000)
            finally:
                if leads:
                    self._leader = None
                    self._wake()
        return so()

    def _wake(self) -> None:
        """Tells those who wait that there may be what they want, or nobody who reads."""
        with self._lock:
            waiting, self._waiting = self._waiting, []
        for turn in waiting:
            turn.release()

    def _read(self, wait_ms: int) -> bool:
        """Takes one thing out of the library's queue, and puts it where it belongs; whether there was one."""
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
                    self._early[event["ticket"]], self._event = event, None
            if call is not None:
                self._complete(call, event)
        elif "event" in event:
            self._tell(event)
        elif event.get("status") != Status.CANCELLED:
            # An error object: the client was closed.
            self._end()
        self._event = None
        return True

    def _complete(self, call: Call[Any], event: Mapping[str, Any]) -> None:
        call.complete(event)
        ticket = call._number.value
        with self._lock:
            if ticket in self._calls:
                del self._calls[ticket]
            self._event = None

    def _tell(self, event: Event) -> None:
        with self._lock:
            if len(self._told) == MOST_TOLD:
                self._missed += 1 + self._told.popleft().get("missed", 0)
            self._told += (event,)
            self._event = None
            wakers = list(self._wakers)
        self._wake()
        for waker in wakers:
            waker()

    def _end(self) -> None:
        """The client was closed, and whatever was under way with it."""
        with self._lock:
            self._over = True
            calls, self._calls = list(self._calls.values()), {}
            wakers = list(self._wakers)
        self._wake()
        for call in calls:
            call.fail(self._refusal(Status.CANCELLED))
        for waker in wakers:
            waker()

    def _refusal(self, status: int) -> FloatLeaseError:
        return refusal(self._library, self._handle, status)


def refusal(library: Library, handle: int, status: int, operation: str = "") -> FloatLeaseError:
    """The error for a status that came without a text."""
    # Asked for what there is not, the library tells what is wrong, and of a wrong handle what is wrong with it.
    name = operation if status == Status.UNKNOWN_OPERATION else ""
    again, text = library.invoke("floatlease_call", handle, name.encode(), encoded({}))
    return error_of(status, text if again == status else None, text_at(library.dll.floatlease_status_name(status)))
