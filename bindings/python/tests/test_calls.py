from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import os
import signal
import sys
import threading
import time
import weakref
from typing import Any

import pytest
from conftest import Desk, posix, soon
from floatlease import (
    AsyncClient,
    Client,
    DeviceError,
    FeatureError,
    FloatLeaseError,
    LeaseState,
    NetworkError,
    Status,
    UsageError,
)


def test_a_submitted_call_is_done_in_the_background(desk: Desk) -> None:
    call = desk.client.submit("check_license")
    assert call.result()["floating_in_use_devices"] == 1
    assert call.done()
    assert call.result() is call.result()
    assert not call.cancel()
    assert repr(call) == f"<floatlease.Call {call.ticket}, done>"

    polled = desk.client.submit("product_details", {"env": "stable"})
    soon(polled.done)
    assert polled.result()["short_code"] == "CAD-PRO"

    wrong = desk.client.submit("check_feature", {"feature": "NONE"})
    with pytest.raises(UsageError, match='"no_such" is not an operation') as caught:
        desk.client.submit("no_such")
    assert caught.value.status == Status.UNKNOWN_OPERATION
    with pytest.raises(Exception, match="does not have this feature"):
        wrong.result()


def test_a_submitted_call_is_cancelled_and_says_so(desk: Desk) -> None:
    desk.hang()
    call = desk.client.submit("check_license")
    assert not call.done()
    assert "under way" in repr(call)
    with pytest.raises(TimeoutError, match="not done after 20 ms"):
        call.result(20)
    assert call.cancel()
    with pytest.raises(NetworkError) as caught:
        call.result()
    assert caught.value.status == Status.CANCELLED


def test_a_submitted_acquire_comes_to_a_lease(desk: Desk) -> None:
    call = desk.client.submit("lease_acquire", {"feature": "MESH"})
    with call.result() as lease:
        assert lease.state is LeaseState.ACTIVE
        assert desk.slots() == ["MESH"]
    assert desk.slots() == []
    # Nobody wants this one any longer when it is there.
    desk.client.submit("lease_acquire", {"feature": "MESH"})
    soon(lambda: desk.slots() == ["MESH"])
    soon(lambda: desk.client.next_event() or desk.slots() == [])


def test_closing_ends_what_is_under_way(desk: Desk) -> None:
    desk.hang()
    calls = [desk.client.submit("check_license") for _ in range(6)]
    desk.client.close()
    for call in calls:
        with pytest.raises(NetworkError) as caught:
            call.result()
        assert (caught.value.status, caught.value.outcome) == (Status.CANCELLED, "unknown")


def test_too_many_are_refused_and_those_that_wait_are_done_all_the_same(desk: Desk) -> None:
    desk.hang("check_license")
    calls = [desk.client.submit("check_license") for _ in range(1_000)]
    with pytest.raises(UsageError) as caught:
        desk.client.submit("check_license")
    assert caught.value.status == Status.TOO_MANY_CALLS
    # One that waits takes the direct way.
    assert desk.client.product_details()["short_code"] == "CAD-PRO"
    desk.client.cancel()
    for call in calls:
        with pytest.raises(NetworkError):
            call.result()


def test_many_threads_wait_for_calls_and_events_of_one_client(desk: Desk) -> None:
    results: list[Any] = []

    def work() -> None:
        for _ in range(20):
            results.append(desk.client.submit("product_details").result()["short_code"])
            desk.client.next_event(1)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for _ in range(20):
        assert desk.client.product_details()["short_code"] == "CAD-PRO"
    for thread in threads:
        thread.join()
    assert results == ["CAD-PRO"] * 160


def test_a_thread_that_waits_for_events_goes_on_waiting_when_another_has_got_the_one_that_came(desk: Desk) -> None:
    queue = desk.client._session.queue
    got: list[Any] = []
    take = queue.take_event

    def wait() -> None:
        got.append(desk.client.next_event(60_000))

    def take_late() -> Any:
        # Both see the first of them before one has it.
        time.sleep(0.01)
        return take()

    threads = [threading.Thread(target=wait) for _ in range(2)]
    queue.take_event = take_late  # type: ignore[method-assign]
    # A third reads for them.
    queue._reader = -1
    for thread in threads:
        thread.start()
    soon(lambda: len(queue._waiters) == 2)
    queue._add_event({"event": "NEWS", "lease": 1})
    soon(lambda: got)
    queue._add_event({"event": "NEWS", "lease": 2})
    for thread in threads:
        thread.join()
    assert sorted(event["lease"] for event in got) == [1, 2]


@posix
@pytest.mark.parametrize(
    ("call", "left"),
    [
        (lambda client: client.check_license(), 0),
        (lambda client: client.acquire_lease(), 0),
        (lambda client: client.next_event(60_000), 0),
        (lambda client: client.submit("check_license").result(), 1),
    ],
    ids=["a call", "an acquire", "a wait for events", "a wait for a submitted call"],
)
def test_ctrl_c_is_heard_while_the_main_thread_waits_and_the_client_is_as_before(
    desk: Desk, call: Any, left: int
) -> None:
    desk.hang("check_license")
    timer = threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        call(desk.client)
    # Each would wait for a minute; and what nobody waits for any longer is not under way for one.
    assert time.monotonic() - began < 20
    soon(lambda: desk.client.next_event() or len(desk.client._session.queue._calls) == left)
    timer.join()
    desk.sandbox.control("DELETE /faults")
    assert desk.client.check_license()["floating_in_use_devices"] == 1
    with desk.client.acquire_lease():
        assert desk.slots() == [None]
    assert desk.slots() == []


@posix
def test_a_signals_handler_may_use_the_client_in_the_middle_of_a_call(desk: Desk) -> None:
    found: list[Any] = []
    before = signal.signal(signal.SIGALRM, lambda *_: found.append(desk.client.product_details()["short_code"]))
    signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
    try:
        while len(found) < 20:
            assert desk.client.check_license()["floating_in_use_devices"] == 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert set(found) == {"CAD-PRO"}


def test_a_handler_in_the_middle_of_reading_waits_for_nothing(desk: Desk) -> None:
    desk.client._session.queue._reader = threading.get_ident()
    assert desk.client.next_event(3_600_000) is None
    assert desk.client.product_details()["short_code"] == "CAD-PRO"
    call = desk.client.submit("product_details")
    assert not call.done()
    with pytest.raises(TimeoutError):
        call.result()
    desk.client._session.queue._reader = None
    assert call.result()["short_code"] == "CAD-PRO"


def test_nothing_runs_in_the_background_of_python_for_calls_that_wait(desk: Desk) -> None:
    with desk.client.acquire_lease():
        desk.client.submit("check_license").result()
        assert threading.active_count() == 1


def interrupted(work: Any, number: int) -> bool:
    """Does it, and has Ctrl-C come behind the call of that number in it; False if there are not so many."""
    left = number

    def count(_: Any, what: str, __: Any) -> None:
        # Signals are heard where a function of Python begins and where one of C has ended.
        nonlocal left
        left -= what in ("call", "c_return")
        if left == 0:
            sys.setprofile(None)
            raise KeyboardInterrupt

    sys.setprofile(count)
    try:
        work()
        return False
    except KeyboardInterrupt:
        return True
    finally:
        sys.setprofile(None)


# One in a finalizer is told to nobody else.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.product_details(),
        lambda client: client.acquire_lease(),
        lambda client: client.next_event(1),
        lambda client: client.submit("lease_acquire").result(),
    ],
    ids=["a call", "an acquire", "a wait for events", "a submitted acquire"],
)
def test_wherever_ctrl_c_comes_others_go_on_and_nothing_is_left_behind(desk: Desk, call: Any) -> None:
    told: list[Any] = []
    queue = desk.client._session.queue
    for number in range(1, 10_000):
        if not interrupted(lambda: call(desk.client), number):
            break
        thread = threading.Thread(target=lambda: told.append(desk.client.submit("product_details").result(20_000)))
        thread.start()
        thread.join(30)
        assert not thread.is_alive(), number
        assert len(told) == number
        soon(lambda: desk.client.next_event() or not queue._calls)
        assert queue._early_completions == {}, number
    assert number > 20
    soon(lambda: desk.slots() == [])


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("how", ["close", "drop", "with"])
def test_wherever_ctrl_c_comes_the_end_of_a_lease_or_client_is_not_lost(desk: Desk, how: str) -> None:
    for number in range(1, 10_000):
        client = Client(desk.config)
        leases = [client.acquire_lease()]

        def end(client: Client = client, leases: list[Any] = leases) -> None:
            if how == "close":
                leases[0].close()
                client.close()
            elif how == "drop":
                leases.clear()
            else:
                with client, leases[0]:
                    pass

        was_interrupted = interrupted(end, number)
        del client, end
        leases.clear()
        gc.collect()
        if not was_interrupted:
            break
        # What is left of it, if anything is, is freed when the next one comes.
        Client(desk.config).close()
        soon(lambda: desk.slots() == [])
    assert number > 1


@posix
def test_the_end_of_a_client_gives_back_what_an_interrupted_acquire_was_granted(desk: Desk) -> None:
    desk.sandbox.fault(
        match={"operation": "check_license"}, when={"times": 1}, do={"after_commit": {"delay": {"fixed_ms": 500}}}
    )
    with Client(desk.config) as client:
        timer = threading.Timer(0.2, signal.raise_signal, (signal.SIGINT,))
        timer.start()
        # The cancel comes too late: the server has done it. It is as if nobody had cancelled it.
        call = client.submit("lease_acquire")
        with pytest.raises(KeyboardInterrupt):
            call.result()
        timer.join()
    assert call.done()
    assert desk.slots() == []


def test_each_that_wants_to_be_told_of_a_call_is(desk: Desk) -> None:
    told: list[int] = []
    call = desk.client.submit("product_details")
    for number in range(3):
        call.then(functools.partial(told.append, number))
    call.result()
    call.then(functools.partial(told.append, 3))
    soon(lambda: told == [0, 1, 2, 3])


def test_a_text_that_c_would_cut_is_refused(desk: Desk) -> None:
    for perform in (desk.client.call, desk.client.submit):
        with pytest.raises(ValueError, match="null character"):
            perform("add_consumption\0of something else")
    with pytest.raises(ValueError, match="null character"):
        desk.sandbox.control("GET /slots\0")
    with pytest.raises(FeatureError):
        desk.client.check_feature(feature="MESH\0")


def test_what_is_told_and_fails_is_logged_and_hurts_nobody_else(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    told: list[int] = []
    call = desk.client.submit("product_details")
    call.then(lambda: told.append(1 // 0))
    assert call.result()["short_code"] == "CAD-PRO"
    call.then(lambda: told.append(1))
    assert told == [1]
    assert [record.name for record in caplog.records] == ["floatlease"]
    assert "ZeroDivisionError" in caplog.text

    async def main() -> None:
        async with AsyncClient(desk.config) as client:
            call = client.submit("product_details")
            call.then(lambda: told.append(1 // 0))
            for _ in range(3):
                await asyncio.wait_for(client.product_details(), 20)

    asyncio.run(main())
    assert len(caplog.records) == 2


def test_an_error_that_was_caught_keeps_nothing_of_the_function_that_caught_it(desk: Desk) -> None:
    def work() -> weakref.ref[Any]:
        lease = desk.client.acquire_lease()
        call = desk.client.submit("check_feature", {"feature": "NONE"})
        for ask in (call.result, call.result, lambda: desk.client.check_license(hardware_id="unknown")):
            with pytest.raises(FloatLeaseError) as caught:
                ask()
            del caught
        return weakref.ref(lease)

    async def work_of_asyncio() -> weakref.ref[Any]:
        async with AsyncClient(desk.config) as client:
            lease = await client.acquire_lease()
            with contextlib.suppress(DeviceError):
                await client.check_license(hardware_id="unknown")
            return weakref.ref(lease)

    gc.collect()
    gc.disable()
    try:
        assert work()() is None
        assert asyncio.run(work_of_asyncio())() is None
    finally:
        gc.enable()
