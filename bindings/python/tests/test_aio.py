from __future__ import annotations

import asyncio
import gc
import json
import threading
import weakref
from collections.abc import Coroutine
from typing import Any, Callable

import floatlease._aio
import pytest
from conftest import Workplace, soon
from floatlease import AsyncClient, DeviceError, LeaseState, NetworkError, Status, UsageError
from test_client import VERBS

Body = Callable[[AsyncClient], Coroutine[Any, Any, Any]]


def run(workplace: Workplace, body: Body) -> Any:
    """The body on a loop of its own, with a client of this workplace."""

    async def main() -> Any:
        async with AsyncClient(workplace.config) as client:
            return await body(client)

    return asyncio.run(asyncio.wait_for(main(), 30))


def readers() -> int:
    return sum(thread.name == "floatlease-events" for thread in threading.enumerate())


def test_every_verb_is_awaited(workplace: Workplace) -> None:
    async def body(client: AsyncClient) -> None:
        for verb, request, member in VERBS:
            reply = await getattr(client, verb)(**request)
            assert member in reply or not member
        await client.activate_license(license_key="CADP-CONS-UMPT-0100")
        counted = await client.add_consumption(license_key="CADP-CONS-UMPT-0100", consumptions=3)
        assert counted["total_consumptions"] == 3
        with pytest.raises(DeviceError):
            await client.check_license(hardware_id="unknown")
        with pytest.raises(UsageError, match="storage_dir"):
            await client.sync_consumptions()

    run(workplace, body)


def test_a_lease_is_awaited_held_and_given_back(workplace: Workplace) -> None:
    async def body(client: AsyncClient) -> Any:
        async with client.acquire_lease(features=["MESH"]) as lease:
            assert lease.state is LeaseState.ACTIVE
            assert workplace.slots() == ["MESH"]
            assert (await lease.renew())["state"] == "ACTIVE"
        assert workplace.slots() == []
        with pytest.raises(UsageError) as caught:
            await lease.release()
        assert caught.value.status == Status.HANDLE
        other = await client.acquire_lease()
        assert (await other.release(timeout_ms=5_000))["state"] == "RELEASED"
        kept = await client.acquire_lease()
        assert workplace.slots() == [None]
        # Or it would be dropped before the client's end.
        return kept

    lease = run(workplace, body)
    assert workplace.slots() == []
    assert lease.state is not LeaseState.ACTIVE


def test_the_bodys_exception_comes_through_a_silent_server(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(floatlease._aio, "WITH_RELEASE_MS", 300)

    async def body(client: AsyncClient) -> None:
        async with client.acquire_lease():
            workplace.hang()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(workplace, body)


def test_a_task_that_is_cancelled_cancels_its_call(workplace: Workplace) -> None:
    workplace.hang("borrow_license")

    async def body(client: AsyncClient) -> None:
        # As many hang as run at a time; if one did not end with its task, others would wait for a minute.
        for _ in range(3):
            tasks = [asyncio.ensure_future(client.borrow_license()) for _ in range(64)]
            await asyncio.sleep(0.05)
            for task in tasks:
                task.cancel()
            assert await asyncio.gather(*tasks, return_exceptions=True) != []
            assert all(task.cancelled() for task in tasks)
        assert (await client.check_license())["floating_in_use_devices"] == 1
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(client.borrow_license(), 0.05)

    run(workplace, body)


def test_an_acquire_that_is_cancelled_leaves_no_slot(workplace: Workplace) -> None:
    async def body(client: AsyncClient) -> None:
        for wait in range(30):
            task = asyncio.ensure_future(acquire(client))
            await asyncio.sleep(wait / 10_000)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            del task
        while workplace.slots():
            await asyncio.sleep(0.01)

    async def acquire(client: AsyncClient) -> None:
        await client.acquire_lease()

    run(workplace, body)


def test_a_task_that_is_cancelled_twice_gives_its_slot_back_and_leaves_nothing_to_be_logged(
    workplace: Workplace, caplog: pytest.LogCaptureFixture
) -> None:
    async def body(client: AsyncClient) -> None:
        held, forever = asyncio.Event(), asyncio.Event()

        async def work() -> None:
            async with client.acquire_lease():
                held.set()
                await forever.wait()

        task = asyncio.ensure_future(work())
        await held.wait()
        slow = {"before": {"delay": {"fixed_ms": 300}}}
        workplace.sandbox.fault(match={"operation": "release_license"}, when={"times": 1}, do=slow)
        task.cancel()
        while workplace.asked("release_license") == 0:
            await asyncio.sleep(0.005)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        while workplace.slots():
            await asyncio.sleep(0.005)
        gc.collect()

    run(workplace, body)
    assert caplog.records == []


def test_an_acquire_that_is_entered_twice_takes_two_leases_and_gives_both_back(workplace: Workplace) -> None:
    async def body(client: AsyncClient) -> None:
        acquiring = client.acquire_lease()
        async with acquiring as outer:
            async with acquiring as inner:
                assert inner.number != outer.number
            assert (inner.state, outer.state) == (LeaseState.NONE, LeaseState.ACTIVE)
        assert outer.state is LeaseState.NONE
        assert workplace.slots() == []

    run(workplace, body)


def test_events_come_in_their_order_to_everybody_who_waits_and_end_with_the_client(workplace: Workplace) -> None:
    async def body(client: AsyncClient) -> None:
        told: list[str] = []

        async def listen() -> None:
            async for event in client.events():
                told.append(event["event"])

        listening = asyncio.ensure_future(listen())
        lease = await client.acquire_lease()
        workplace.sandbox.control("POST /faults/profile", {"profile": "outage"})
        for minutes, name in ((75, "DEGRADED"), (46, "GRACE_STARTED"), (5, "LOST")):
            workplace.sandbox.advance(f"{minutes}m", client)
            while told[-1:] != [name]:
                await asyncio.sleep(0.002)
        workplace.sandbox.control("DELETE /faults")
        await lease.renew()
        while len(told) < 4:
            await asyncio.sleep(0.002)
        assert told == ["DEGRADED", "GRACE_STARTED", "LOST", "REGAINED"]
        client.close()
        await asyncio.wait_for(listening, 20)

    run(workplace, body)


def test_a_wait_for_an_event_that_is_given_up_loses_none(workplace: Workplace) -> None:
    async def body(client: AsyncClient) -> None:
        for number in range(50):
            events = client.events()
            waiting = asyncio.ensure_future(events.__anext__())
            await asyncio.sleep(0)
            client._session.queue._add_event({"event": "NEWS", "lease": number})
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
            got = await events.__anext__() if waiting.cancelled() else waiting.result()
            assert got["lease"] == number
        assert client._session.queue._wakers == []

    run(workplace, body)


def test_there_is_one_thread_for_a_client_however_many_calls_and_none_after_it(workplace: Workplace) -> None:
    async def body(client: AsyncClient) -> None:
        assert readers() == 0
        replies = await asyncio.gather(*(client.product_details() for _ in range(200)))
        assert {reply["short_code"] for reply in replies} == {"CAD-PRO"}
        assert readers() == 1

    run(workplace, body)
    soon(lambda: readers() == 0)


def test_closing_ends_what_is_awaited(workplace: Workplace) -> None:
    workplace.hang()

    async def body(client: AsyncClient) -> None:
        calls = asyncio.gather(*(client.check_license() for _ in range(6)), return_exceptions=True)
        await asyncio.sleep(0.05)
        client.close()
        for error in await calls:
            assert isinstance(error, NetworkError)
            assert error.status == Status.CANCELLED
        with pytest.raises(UsageError) as caught:
            await client.check_license()
        assert caught.value.status == Status.HANDLE

    run(workplace, body)


def test_a_client_that_is_dropped_ends_its_thread(workplace: Workplace) -> None:
    async def main() -> Any:
        client = AsyncClient(workplace.config)
        await client.check_license()
        await client.acquire_lease()
        return weakref.ref(client._session)

    session = asyncio.run(main())
    # The thread that reads may be on its way out of the call.
    soon(lambda: gc.collect() >= 0 and session() is None)
    soon(lambda: readers() == 0 and workplace.slots() == [])


def test_a_loop_that_ends_in_the_middle_of_a_call_hurts_nobody(workplace: Workplace) -> None:
    workplace.hang("borrow_license")
    client = AsyncClient(workplace.config)
    loop = asyncio.new_event_loop()
    task = loop.create_task(client.borrow_license())
    loop.run_until_complete(asyncio.sleep(0.05))
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    loop.close()
    client.cancel()
    # The reader lives, and serves another loop.
    assert asyncio.run(client.check_license())["floating_in_use_devices"] == 1
    client.close()


def test_a_coroutine_that_is_thrown_away_ends_its_call(workplace: Workplace) -> None:
    workplace.hang("borrow_license")
    client = AsyncClient(workplace.config)

    async def main() -> None:
        coroutine = client.borrow_license()
        coroutine.send(None)
        coroutine.close()

    asyncio.run(main())
    soon(lambda: not client._session.queue._calls)
    client.close()


def test_a_config_comes_from_the_environment(workplace: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOATLEASE_CONFIG", json.dumps(workplace.config))

    async def main() -> None:
        async with AsyncClient.from_environment(hardware_id="unknown") as client:
            with pytest.raises(DeviceError):
                await client.acquire_lease()

    asyncio.run(main())


def no_thread(_: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def test_a_thread_that_cannot_be_started_ends_its_call_and_no_other(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body(client: AsyncClient) -> None:
        with monkeypatch.context() as shortage:
            shortage.setattr(threading.Thread, "start", no_thread)
            with pytest.raises(RuntimeError, match="can't start new thread"):
                await client.product_details()
            with pytest.raises(RuntimeError, match=r"can't start new thread.*Nothing was sent"):
                await client.acquire_lease()
            with pytest.raises(RuntimeError, match="can't start new thread"):
                await client.events().__anext__()
        assert client._session.queue._calls == {}
        await asyncio.wait_for(client.product_details(), 20)
        assert workplace.slots() == []

    run(workplace, body)


def test_the_end_of_a_with_gives_back_what_it_holds_without_a_thread_too(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threading.Thread, "start", no_thread)

    async def main() -> None:
        async with AsyncClient(workplace.config) as client:
            # Whose result is read by polling.
            call = client.submit("lease_acquire")
            while not call.done():
                await asyncio.sleep(0.005)
            assert call.result().is_licensed
            assert workplace.slots() == [None]
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        asyncio.run(asyncio.wait_for(main(), 30))
    assert workplace.slots() == []


def test_a_thread_that_failed_is_followed_by_another(workplace: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(client: AsyncClient) -> None:
        queue = client._session.queue
        with monkeypatch.context() as shortage:
            shortage.setattr(threading, "excepthook", lambda _: None)
            shortage.setattr(queue, "wait_until", lambda _: 1 // 0)
            queue.read_in_background()
            soon(lambda: readers() == 0)
        await asyncio.wait_for(client.product_details(), 20)
        assert readers() == 1

    run(workplace, body)
