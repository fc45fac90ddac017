"""A worker on gevent that renders while it is licensed.

    floatlease-server exec -- python gevent_worker.py

Its greenlets share one thread, and no call to the server stops them.
"""

from gevent import monkey

monkey.patch_all()  # before all other imports

from typing import Any

import gevent
from floatlease import Client, Lease
from gevent.pool import Group


def perform(client: Client, operation: str, **request: Any) -> Any:
    """Performs an operation in the background, and lets other greenlets run until it is done."""
    call = client.submit(operation, request)
    while not call.done():
        gevent.sleep(0.01)
    return call.result()


def watch(client: Client) -> None:
    """Prints the events of the leases. `next_event` does not wait."""
    while True:
        while event := client.next_event():
            print(f"{event['event']}: {event.get('reason')}")
        gevent.sleep(0.5)


def render(client: Client, lease: Lease, job: int) -> None:
    """Renders one job, which is counted first."""
    counted = perform(client, "add_feature_consumption", feature="RENDER-MINUTES", idempotency_key=f"job-{job}")
    if lease.is_licensed:
        print(f"job {job} is rendered, {counted['total_consumptions']} minutes in all")


def main(jobs: int) -> None:
    """Runs the worker. `release` waits for the server, so it runs on a thread of gevent's pool."""
    client = Client.from_environment()
    lease = perform(client, "lease_acquire", feature="MESH", activate=True)
    watching, rendering = Group(), Group()
    watching.spawn(watch, client)
    for job in range(1, jobs + 1):
        rendering.spawn(render, client, lease, job)
    rendering.join(raise_error=True)
    watching.kill()
    gevent.get_hub().threadpool.apply(lease.release)
    client.close()


if __name__ == "__main__":
    main(jobs=3)
