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
from conftest import Workplace, posix, soon
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


def test_a_submitted_call_is_done_in_the_background(workplace: Workplace) -> None:
    call = workplace.client.submit("check_license")
    assert call.result()["floating_in_use_devices"] == 1
    assert call.done()
    assert call.result() is call.result()
    assert not call.cancel()
    assert repr(call) == f"<floatlease.Call {call.ticket}, done>"

    polled = workplace.client.submit("product_details", {"env": "stable"})
    soon(polled.done)
    assert polled.result()["short_code"] == "CAD-PRO"

    wrong = workplace.client.submit("check_feature", {"feature": "NONE"})
    with pytest.raises(UsageError, match='"no_such" is not an operation') as caught:
        workplace.client.submit("no_such")
    assert caught.value.status == Status.UNKNOWN_OPERATION
    with pytest.raises(Exception, match="does not have this feature"):
        wrong.result()


def test_a_submitted_call_is_cancelled_and_says_so(workplace: Workplace) -> None:
    workplace.hang()
    call = workplace.client.submit("check_license")
    assert not call.done()
    assert "under way" in repr(call)
    with pytest.raises(TimeoutError, match="not done after 20 ms"):
        call.result(20)
    assert call.cancel()
    with pytest.raises(NetworkError) as caught:
        call.result()
    assert caught.value.status == Status.CANCELLED


def test_a_submitted_acquire_comes_to_a_lease(workplace: Workplace) -> None:
    call = workplace.client.submit("lease_acquire", {"feature": "MESH"})
    with call.result() as lease:
        assert lease.state is LeaseState.ACTIVE
        assert workplace.slots() == ["MESH"]
    assert workplace.slots() == []
    # Nobody wants this one any longer when it is there.
    workplace.client.submit("lease_acquire", {"feature": "MESH"})
    soon(lambda: workplace.slots() == ["MESH"])
    soon(lambda: workplace.client.next_event() or workplace.slots() == [])


def test_closing_ends_what_is_under_way(workplace: Workplace) -> None:
    workplace.hang()
    calls = [workplace.client.submit("check_license") for _ in range(6)]
    workplace.client.close()
    for call in calls:
        with pytest.raises(NetworkError) as caught:
            call.result()
        assert (caught.value.status, caught.value.outcome) == (Status.CANCELLED, "unknown")
        assert caught.value.message == "The client was closed before the call was done."


def test_too_many_are_refused_and_those_that_wait_are_done_all_the_same(workplace: Workplace) -> None:
    workplace.hang("check_license")
    calls = [workplace.client.submit("check_license") for _ in range(1_000)]
    with pytest.raises(UsageError) as caught:
        workplace.client.submit("check_license")
    assert caught.value.status == Status.TOO_MANY_CALLS
    # One that waits takes the direct way.
    assert workplace.client.product_details()["short_code"] == "CAD-PRO"
    workplace.client.cancel()
    for call in calls:
        with pytest.raises(NetworkError):
            call.result()


def test_many_threads_wait_for_calls_and_events_of_one_client(workplace: Workplace) -> None:
    results: list[Any] = []

    def work() -> None:
        for _ in range(20):
            results.append(workplace.client.submit("product_details").result()["short_code"])
            workplace.client.next_event(1)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for _ in range(20):
        assert workplace.client.product_details()["short_code"] == "CAD-PRO"
    for thread in threads:
        thread.join()
    assert results == ["CAD-PRO"] * 160


def test_a_thread_that_waits_for_events_goes_on_waiting_when_another_has_got_the_one_that_came(
    workplace: Workplace,
) -> None:
    queue = workplace.client._session.queue
    got: list[Any] = []
    take = queue.take_event

    def wait() -> None:
        got.append(workplace.client.next_event(60_000))

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
    workplace: Workplace, call: Any, left: int
) -> None:
    workplace.hang("check_license")
    timer = threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        call(workplace.client)
    # Each would wait for a minute; and what nobody waits for any longer is not under way for one.
    assert time.monotonic() - began < 20
    soon(lambda: workplace.client.next_event() or len(workplace.client._session.queue._calls) == left)
    timer.join()
    workplace.sandbox.control("DELETE /faults")
    assert workplace.client.check_license()["floating_in_use_devices"] == 1
    with workplace.client.acquire_lease():
        assert workplace.slots() == [None]
    assert workplace.slots() == []


@posix
def test_a_signals_handler_may_use_the_client_in_the_middle_of_a_call(workplace: Workplace) -> None:
    found: list[Any] = []
    before = signal.signal(signal.SIGALRM, lambda *_: found.append(workplace.client.product_details()["short_code"]))
    signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
    try:
        while len(found) < 20:
            assert workplace.client.check_license()["floating_in_use_devices"] == 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert set(found) == {"CAD-PRO"}


def test_a_handler_in_the_middle_of_reading_waits_for_nothing(workplace: Workplace) -> None:
    workplace.client._session.queue._reader = threading.get_ident()
    assert workplace.client.next_event(3_600_000) is None
    assert workplace.client.product_details()["short_code"] == "CAD-PRO"
    call = workplace.client.submit("product_details")
    assert not call.done()
    with pytest.raises(TimeoutError):
        call.result()
    workplace.client._session.queue._reader = None
    assert call.result()["short_code"] == "CAD-PRO"


def test_nothing_runs_in_the_background_of_python_for_calls_that_wait(workplace: Workplace) -> None:
    with workplace.client.acquire_lease():
        workplace.client.submit("check_license").result()
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
def test_wherever_ctrl_c_comes_others_go_on_and_nothing_is_left_behind(workplace: Workplace, call: Any) -> None:
    told: list[Any] = []
    queue = workplace.client._session.queue
    for number in range(1, 10_000):
        if not interrupted(lambda: call(workplace.client), number):
            break
        thread = threading.Thread(target=lambda: told.append(workplace.client.submit("product_details").result(20_000)))
        thread.start()
        thread.join(30)
        assert not thread.is_alive(), number
        assert len(told) == number
        soon(lambda: workplace.client.next_event() or not queue._calls)
        assert queue._early_completions == {}, number
    assert number > 20
    soon(lambda: workplace.slots() == [])


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("how", ["close", "drop", "with"])
def test_wherever_ctrl_c_comes_the_end_of_a_lease_or_client_is_not_lost(workplace: Workplace, how: str) -> None:
    for number in range(1, 10_000):
        client = Client(workplace.config)
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
        Client(workplace.config).close()
        soon(lambda: workplace.slots() == [])
    assert number > 1


@posix
def test_the_end_of_a_client_gives_back_what_an_interrupted_acquire_was_granted(workplace: Workplace) -> None:
    workplace.sandbox.fault(
        match={"operation": "check_license"}, when={"times": 1}, do={"after_commit": {"delay": {"fixed_ms": 500}}}
    )
    with Client(workplace.config) as client:
        timer = threading.Timer(0.2, signal.raise_signal, (signal.SIGINT,))
        timer.start()
        # The cancel comes too late: the server has done it. It is as if nobody had cancelled it.
        call = client.submit("lease_acquire")
        with pytest.raises(KeyboardInterrupt):
            call.result()
        timer.join()
    assert call.done()
    assert workplace.slots() == []


def test_each_that_wants_to_be_told_of_a_call_is(workplace: Workplace) -> None:
    told: list[int] = []
    call = workplace.client.submit("product_details")
    for number in range(3):
        call.then(functools.partial(told.append, number))
    call.result()
    call.then(functools.partial(told.append, 3))
    soon(lambda: told == [0, 1, 2, 3])


def test_a_text_that_c_would_cut_is_refused(workplace: Workplace) -> None:
    for perform in (workplace.client.call, workplace.client.submit):
        with pytest.raises(ValueError, match="null character"):
            perform("add_consumption\0of something else")
    with pytest.raises(ValueError, match="null character"):
        workplace.sandbox.control("GET /slots\0")
    with pytest.raises(FeatureError):
        workplace.client.check_feature(feature="MESH\0")


def test_what_is_told_and_fails_is_logged_and_hurts_nobody_else(
    workplace: Workplace, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[int] = []
    call = workplace.client.submit("product_details")
    call.then(lambda: told.append(1 // 0))
    assert call.result()["short_code"] == "CAD-PRO"
    call.then(lambda: told.append(1))
    assert told == [1]
    assert [record.name for record in caplog.records] == ["floatlease"]
    assert "ZeroDivisionError" in caplog.text

    async def main() -> None:
        async with AsyncClient(workplace.config) as client:
            call = client.submit("product_details")
            call.then(lambda: told.append(1 // 0))
            for _ in range(3):
                await asyncio.wait_for(client.product_details(), 20)

    asyncio.run(main())
    assert len(caplog.records) == 2


def test_an_error_that_was_caught_keeps_nothing_of_the_function_that_caught_it(workplace: Workplace) -> None:
    def work() -> weakref.ref[Any]:
        lease = workplace.client.acquire_lease()
        call = workplace.client.submit("check_feature", {"feature": "NONE"})
        for ask in (call.result, call.result, lambda: workplace.client.check_license(hardware_id="unknown")):
            with pytest.raises(FloatLeaseError) as caught:
                ask()
            del caught
        return weakref.ref(lease)

    async def work_of_asyncio() -> weakref.ref[Any]:
        async with AsyncClient(workplace.config) as client:
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
