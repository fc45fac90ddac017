"""Everything is released by one call at the end of a program, and events are counted without reading them."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from conftest import Workplace, soon
from floatlease import AsyncClient, Client, LeaseState, NetworkError, Status, UsageError
from test_client import here, in_thread


@pytest.mark.parametrize("on", [here, in_thread], ids=["main thread", "another thread"])
def test_everything_is_released_by_one_call(workplace: Workplace, tmp_path: Path, on: Any) -> None:
    with Client(workplace.config, storage_dir=tmp_path) as client:
        kept = client.acquire_lease()
        kept.borrow()
        leases = [client.acquire_lease(feature=feature) for feature in ("MESH", "SOLVER")]
        numbers = [lease.number for lease in leases]
        assert on(client.release_all) == {"released": numbers, "kept": [kept.number], "left": []}
        assert [lease.state for lease in [kept, *leases]] == [LeaseState.RELEASED] * 3
        assert workplace.slots() == [None]


@pytest.mark.parametrize("on", [here, in_thread], ids=["main thread", "another thread"])
def test_what_cannot_be_released_in_time_is_told(workplace: Workplace, on: Any) -> None:
    lease = workplace.client.acquire_lease()
    workplace.hang()
    reply = on(partial(workplace.client.release_all, timeout_ms=200))
    assert (reply["released"], reply["kept"], len(reply["left"])) == ([], [], 1)
    left = reply["left"][0]
    assert (left["lease"], left["status"], left["name"]) == (lease.number, Status.TIMEOUT, "TIMEOUT")
    assert left["reason"]
    # More than the library's 32 bits hold must not become a millisecond.
    for wrong in (0, -1, 2**32 + 1):
        with pytest.raises(UsageError, match="timeout_ms"):
            on(partial(workplace.client.release_all, timeout_ms=wrong))
    with pytest.raises(TypeError):
        on(partial(workplace.client.release_all, timeout_ms=0.5))  # type: ignore[arg-type]


def test_close_may_release_everything_first(workplace: Workplace) -> None:
    lease = workplace.client.acquire_lease(release_on_close_ms=0)
    workplace.client.close(release_within_ms=20_000)
    assert workplace.slots() == []
    assert lease.state is LeaseState.RELEASED
    workplace.client.close(release_within_ms=20_000)


def test_close_closes_whatever_comes_of_the_release(workplace: Workplace) -> None:
    silent, mistaken = Client(workplace.config), Client(workplace.config)
    lease = silent.acquire_lease()
    workplace.hang()
    silent.close(release_within_ms=200)
    assert lease.state is LeaseState.RELEASED
    with pytest.raises(UsageError, match="timeout_ms"):
        mistaken.close(release_within_ms=0)
    for client in (silent, mistaken):
        assert "closed" in repr(client)


def test_events_that_wait_are_counted_without_reading_them(workplace: Workplace) -> None:
    client = workplace.client
    assert client.events_waiting == 0
    client.submit("product_details")
    soon(lambda: client.events_waiting == 1)
    # Reads the completion, and keeps the event for the program.
    client._session.queue._add_event({"event": "NEWS", "lease": 1})
    client.product_details()
    assert client.events_waiting == 1
    assert client.next_event() == {"event": "NEWS", "lease": 1}
    assert client.events_waiting == 0


def test_everything_is_released_by_an_awaited_call(workplace: Workplace) -> None:
    async def main() -> None:
        async with AsyncClient(workplace.config) as client:
            leases = [await client.acquire_lease(feature=feature) for feature in ("MESH", "SOLVER")]
            numbers = [lease.number for lease in leases]
            reply = await client.release_all(timeout_ms=20_000)
            assert (reply["released"], reply["kept"], reply["left"]) == (numbers, [], [])
            assert workplace.slots() == []
            lease = await client.acquire_lease()
            workplace.hang()
            left = (await client.release_all(timeout_ms=200))["left"]
            assert [(one["lease"], one["name"]) for one in left] == [(lease.number, "TIMEOUT")]

    asyncio.run(asyncio.wait_for(main(), 60))


def test_an_acquire_under_way_is_cancelled_and_holds_nothing(workplace: Workplace) -> None:
    workplace.hang("check_feature")
    call = workplace.client.submit("lease_acquire", {"feature": "MESH"})
    soon(lambda: workplace.asked("check_feature"))
    assert workplace.client.release_all(timeout_ms=20_000)["left"] == []
    with pytest.raises(NetworkError) as caught:
        call.result()
    assert caught.value.status == Status.CANCELLED
    assert workplace.slots() == []
