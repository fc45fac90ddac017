"""A service on asyncio that renders while it is licensed, waits while it is not, and never blocks its event loop.

    floatlease-server exec -- python service.py

It holds the floating feature MESH as a lease, and counts a render minute for each job.
"""

from __future__ import annotations

import asyncio

from floatlease import AsyncClient, AsyncLease, ConsumptionError


async def take(client: AsyncClient) -> AsyncLease:
    """Takes the feature; queues for a minute if all of its slots are taken. The first start activates the machine."""
    return await client.acquire_lease(features=["MESH"], wait_ms=60_000, activate=True)


async def watch(client: AsyncClient, may_work: asyncio.Event) -> None:
    """Prints the events of the lease, and stops the work while the lease is lost."""
    async for event in client.events():
        print(f"{event['event']}: {event.get('reason')}")
        if event["event"] == "LOST":
            may_work.clear()
        elif event["event"] in ("RENEWED", "REGAINED"):
            may_work.set()


async def render(client: AsyncClient, job: int, may_work: asyncio.Event) -> str:
    """Renders one job. It is counted first, under a key, so that trying again never counts it twice."""
    await may_work.wait()
    try:
        counted = await client.add_feature_consumption(feature="RENDER-MINUTES", idempotency_key=f"job-{job}")
    except ConsumptionError as error:
        return f"job {job} waits for tomorrow: {error.message}"
    return f"job {job} is rendered, {counted.get('total_consumptions')} minutes in all"


async def main(jobs: int) -> None:
    """Runs the service. The end of the `async with` gives the lease back, also if the service is stopped early."""
    async with AsyncClient.from_environment() as client:
        lease, may_work = await take(client), asyncio.Event()
        print(f"{lease.state.name} for {lease.remaining_ms // 60_000} minutes")
        may_work.set()
        watching = asyncio.create_task(watch(client, may_work))
        for job in asyncio.as_completed([render(client, number, may_work) for number in range(1, jobs + 1)]):
            print(await job)
        watching.cancel()


if __name__ == "__main__":
    asyncio.run(main(jobs=3))
