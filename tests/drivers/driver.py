#!/usr/bin/env python3
"""Performs scenarios (tests/scenarios/README.md) by floatlease's Python package: driver.py FILE.json...

Each is performed twice, by `Client` and by `AsyncClient`, which must come to the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any

from floatlease import AsyncClient, Client, FloatLeaseError, LeaseState
from floatlease.sandbox import Sandbox

WAIT_S = 20

Outcome = tuple[str, Any]
"""The name of a status, and the JSON that came with it."""


class DiffersError(Exception):
    """Something is not as the scenario says."""


def fits(expected: Any, found: Any) -> bool:
    """Returns whether a found value fits what the scenario names of it."""
    if isinstance(expected, dict):
        if expected.keys() == {"$any"}:
            return found is not None
        if expected.keys() == {"$at_least"}:
            return is_number(found) and found >= expected["$at_least"]
        if expected.keys() == {"$at_most"}:
            return is_number(found) and found <= expected["$at_most"]
        if expected.keys() == {"$holds"}:
            return isinstance(found, str) and expected["$holds"] in found
        return isinstance(found, dict) and all(fits(value, found.get(name)) for name, value in expected.items())
    if isinstance(expected, list):
        return isinstance(found, list) and len(found) == len(expected) and all(map(fits, expected, found))
    if is_number(expected):
        return is_number(found) and bool(found == expected)
    return type(found) is type(expected) and bool(found == expected)


def is_number(value: Any) -> bool:
    """Python counts truths among the numbers."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


class Scene:
    """A sandbox, and what a scenario gave names to."""

    def __init__(self, sandbox: Sandbox, storage: str, kind: type[Any]) -> None:
        self.sandbox, self.storage, self.kind = sandbox, storage, kind
        self.clients: dict[str, Any] = {}
        self.events: dict[str, Any] = {}
        self.leases: dict[str, Any] = {}
        self.calls: dict[str, Any] = {}

    async def perform(self, step: dict[str, Any]) -> Outcome:
        """Does what a step says."""
        verbs = [verb for verb in step if hasattr(self, f"do_{verb}")]
        if not verbs:
            raise DiffersError(f"there is no such step: {step}")
        try:
            found = getattr(self, f"do_{verbs[0]}")(step, step[verbs[0]])
            return "OK", await found if inspect.isawaitable(found) else found
        except FloatLeaseError as error:
            return error.name, error.json
        except asyncio.CancelledError:
            return "CANCELLED", None

    def do_open(self, step: dict[str, Any], name: str) -> None:
        config: dict[str, Any] = {**self.sandbox.client_config()}
        for key, value in step.get("config", {}).items():
            config[key] = value.replace("$storage", self.storage) if isinstance(value, str) else value
        self.clients[name] = self.kind({key: value for key, value in config.items() if value is not None})

    def do_close(self, _: dict[str, Any], name: str) -> None:
        self.clients.pop(name).close()

    def do_call(self, step: dict[str, Any], operation: str) -> Any:
        client, request = self.clients[step["client"]], step.get("request", {})
        method = getattr(client, operation, None)
        return method(**request) if method else client.call(operation, request)

    async def do_acquire(self, step: dict[str, Any], name: str) -> Any:
        acquired = self.clients[step["client"]].acquire_lease(**step.get("request", {}))
        self.leases[name] = await acquired if inspect.isawaitable(acquired) else acquired
        return self.leases[name].info()

    def do_info(self, _: dict[str, Any], name: str) -> Any:
        return self.leases[name].info()

    def do_renew(self, _: dict[str, Any], name: str) -> Any:
        return self.leases[name].renew()

    def do_release(self, _: dict[str, Any], name: str) -> Any:
        return self.leases[name].release()

    def do_free(self, _: dict[str, Any], name: str) -> None:
        self.leases[name].close()

    def do_borrow(self, step: dict[str, Any], name: str) -> Any:
        return self.leases[name].borrow(**step.get("request", {}))

    async def do_state(self, step: dict[str, Any], state: str) -> None:
        lease, end = self.leases[step["lease"]], time.monotonic() + WAIT_S
        while lease.state is not LeaseState[state]:
            if time.monotonic() > end:
                raise DiffersError(f"expected {state}, got {lease.state.name}")
            await asyncio.sleep(0.002)

    async def do_submit(self, step: dict[str, Any], operation: str) -> None:
        client, request, name = self.clients[step["client"]], step.get("request", {}), step["as"]
        if isinstance(client, Client):
            self.calls[name] = client.submit(operation, request)
            return
        awaited = client.acquire_lease(**request) if operation == "lease_acquire" else client.call(operation, request)
        self.calls[name] = asyncio.ensure_future(settled(awaited))
        # It begins now, and is not done unless it can't be submitted.
        await asyncio.sleep(0)
        if self.calls[name].done():
            self.calls[name].result()

    def do_cancel(self, _: dict[str, Any], name: str) -> None:
        self.calls[name].cancel()

    async def do_completed(self, step: dict[str, Any], name: str) -> Any:
        call = self.calls[name]
        result = await asyncio.wait_for(call, WAIT_S) if asyncio.isfuture(call) else call.result(WAIT_S * 1_000)
        if "lease" in step:
            self.leases[step["lease"]] = result
            return result.info()
        return result

    async def do_event(self, step: dict[str, Any], name: str) -> Any:
        client, end = self.clients[step["client"]], time.monotonic() + WAIT_S
        event: Any = {}
        while event.get("event") != name:
            left = end - time.monotonic()
            if left <= 0:
                raise DiffersError(f"expected the event {name}, got none")
            if isinstance(client, Client):
                event = client.next_event(int(left * 1_000)) or {}
            else:
                events = self.events.setdefault(step["client"], client.events())
                event = await asyncio.wait_for(events.__anext__(), left)
        return event

    def do_advance_ms(self, _: dict[str, Any], by: int) -> None:
        self.sandbox.control("POST /clock/advance", {"by": f"{by}ms"})
        for client in self.clients.values():
            client.advance_clock(by)

    def do_control(self, step: dict[str, Any], method_path: str) -> Any:
        return self.sandbox.control(method_path, step.get("request"))


@contextlib.contextmanager
def storage_folder() -> Iterator[str]:
    """A folder for what leases keep; what is closed may still write there for a moment."""
    folder = tempfile.mkdtemp()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def settled(awaitable: Any) -> Any:
    """Makes a coroutine of what can be awaited, for a task."""
    return await awaitable


async def perform(scenario: dict[str, Any], kind: type[Any]) -> None:
    """Performs all steps, up to the first that differs."""
    with storage_folder() as storage, Sandbox(scenario.get("sandbox", {})) as sandbox:
        scene = Scene(sandbox, storage, kind)
        for number, step in enumerate(scenario["steps"], 1):
            here = f"step {number} ({json.dumps(step)})"
            expected = step.get("status", "OK"), step.get("json")
            try:
                found = await scene.perform(step)
            except Exception as error:
                raise DiffersError(f"{here}: {kind.__name__}: {error!r}") from error
            if found[0] != expected[0] or not (expected[1] is None or fits(expected[1], found[1])):
                raise DiffersError(f"{here}: {kind.__name__}: expected {expected}, got {found}")


def main(files: list[str]) -> int:
    """Performs every file's scenario, and tells of each."""
    failed = False
    for file in files:
        with open(file, encoding="utf-8") as text:
            scenario = json.load(text)
        try:
            for kind in (Client, AsyncClient):
                asyncio.run(perform(scenario, kind))
            print(f"ok {scenario['title']}", flush=True)
        except DiffersError as differs:
            failed = True
            print(f"{file}: {differs}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
