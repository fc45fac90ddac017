"""Nothing is left of what was dropped: thread, descriptor or memory."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from typing import Callable

import pytest
from conftest import Workplace, soon
from floatlease import AsyncClient, Client

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc")


def left() -> tuple[int, int]:
    """Threads and descriptors."""
    return len(os.listdir("/proc/self/task")), len(os.listdir("/proc/self/fd"))


def resident_kib() -> int:
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


def check_flat(workplace: Workplace, work: Callable[[], object], most_kib: int, threads: int | None = None) -> None:
    """After a first time, so that what is made once is there, none leaves more than the one before.

    A leak grows each time by as much. The allocator of a busy machine takes more room now and then, and keeps it.
    """

    def settle() -> None:
        gc.collect()
        soon(lambda: threads is None or left()[0] <= threads)
        # The server is in this process too, and remembers what it was asked.
        workplace.sandbox.control("DELETE /journal")

    def grown_kib() -> int:
        memory = resident_kib()
        for _ in range(5):
            work()
            settle()
        return resident_kib() - memory

    work()
    settle()
    before = left()
    grown: list[int] = []
    while not grown or (grown[-1] >= most_kib and len(grown) < 4):
        grown.append(grown_kib())
    soon(lambda: left() <= before)
    print(f"{grown} KiB more")
    assert grown[-1] < most_kib, f"each time {grown} KiB more"


@pytest.fixture
def at_rest(workplace: Workplace) -> int:
    """How many threads there are without a client."""
    workplace.client.close()
    return left()[0]


def test_ten_thousand_clients_that_are_dropped(workplace: Workplace, at_rest: int) -> None:
    def drop() -> None:
        for _ in range(2_000):
            Client(workplace.config)

    check_flat(workplace, drop, 1_024, at_rest)


def test_clients_that_called_and_held_leases(workplace: Workplace, at_rest: int) -> None:
    def drop() -> None:
        for _ in range(100):
            client = Client(workplace.config)
            client.product_details()
            client.acquire_lease(feature="MESH")
            client.submit("product_details")

    check_flat(workplace, drop, 1_024, at_rest)
    soon(lambda: workplace.slots() == [])


def test_clients_of_asyncio(workplace: Workplace, at_rest: int) -> None:
    async def call() -> None:
        client = AsyncClient(workplace.config)
        await client.product_details()
        events = client.events()
        waiting = asyncio.ensure_future(events.__anext__())
        await asyncio.sleep(0)
        waiting.cancel()

    def drop() -> None:
        for _ in range(60):
            asyncio.run(call())

    check_flat(workplace, drop, 1_024, at_rest)


def test_leases_of_one_client(workplace: Workplace) -> None:
    client = Client(workplace.config)
    held = client.acquire_lease(feature="MESH")

    def drop() -> None:
        for _ in range(500):
            client.acquire_lease(feature="MESH")

    check_flat(workplace, drop, 1_024)
    assert held.is_licensed
    assert len(client._session.leases()) == 1
    client.close()
