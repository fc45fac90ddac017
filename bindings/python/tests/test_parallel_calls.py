"""Many calls in the background at once: each keeps its deadline, none waits for another, and releases overtake."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from typing import Any, Callable

from conftest import Workplace
from floatlease import AsyncClient, NetworkError, Status

BURST = 50
"""The number of calls that a program begins at once."""


def run(workplace: Workplace, body: Callable[[AsyncClient], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        async with AsyncClient(workplace.config) as client:
            await body(client)

    asyncio.run(asyncio.wait_for(main(), 50))


def test_calls_that_begin_together_take_as_long_as_one(workplace: Workplace) -> None:
    slow = {"before": {"delay": {"fixed_ms": 500}}}
    workplace.sandbox.fault(do=slow, match={"operation": "check_feature"}, when={"times": BURST})

    async def body(client: AsyncClient) -> None:
        began = time.monotonic()
        replies = await asyncio.gather(*(client.check_feature(feature="MESH") for _ in range(BURST)))
        took = time.monotonic() - began
        assert [reply["code"] for reply in replies] == ["MESH"] * BURST
        # One after the other they would take 25 seconds, and four at a time six.
        assert took < 5, took
        print(f"{BURST} calls of 500 ms took {took:.2f} s")

    run(workplace, body)


def test_each_call_is_over_at_its_deadline(workplace: Workplace) -> None:
    workplace.hang()

    async def body(client: AsyncClient) -> None:
        began = time.monotonic()
        calls = (client.check_feature(feature="MESH", timeout_ms=1_000) for _ in range(BURST))
        errors = await asyncio.gather(*calls, return_exceptions=True)
        took = time.monotonic() - began
        assert all(isinstance(error, NetworkError) and error.status == Status.TIMEOUT for error in errors)
        # One after the other they would take 50 seconds, and four at a time twelve.
        assert 0.9 < took < 8, took
        print(f"{BURST} deadlines of 1 s were over after {took:.2f} s")

    run(workplace, body)


def test_a_release_waits_for_no_call_that_hangs(workplace: Workplace) -> None:
    async def body(client: AsyncClient) -> None:
        lease = await client.acquire_lease(feature="MESH")
        workplace.hang("check_feature")
        calls = [asyncio.ensure_future(client.check_feature(feature="SOLVER")) for _ in range(BURST)]
        while workplace.asked("check_feature") <= BURST:
            await asyncio.sleep(0.01)
        began = time.monotonic()
        assert (await lease.release())["state"] == "RELEASED"
        print(f"a release beside {BURST} calls that hang took {(time.monotonic() - began) * 1_000:.0f} ms")
        assert not any(call.done() for call in calls)
        assert workplace.slots() == []
        client.cancel()
        errors = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(error, NetworkError) and error.status == Status.CANCELLED for error in errors)

    run(workplace, body)
