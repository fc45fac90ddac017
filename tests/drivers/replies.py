#!/usr/bin/env python3
"""Prints what Python reads of each reply: replies.py CONFIG CASES, as replies.c does.

It performs all cases twice, by the methods of `Client` and by those of `AsyncClient`.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from floatlease import AsyncClient, Client, FloatLeaseError


async def perform(client: Any, operation: str, request: dict[str, Any]) -> Any:
    """Calls the method of an operation, and returns its reply."""
    called = client.acquire_lease(**request) if operation == "lease_acquire" else getattr(client, operation)(**request)
    result = await called if inspect.isawaitable(called) else called
    if operation != "lease_acquire":
        return result
    info = result.info()
    released = result.release()
    if inspect.isawaitable(released):
        await released
    return info


def attributes_of(error: FloatLeaseError) -> dict[str, Any]:
    """Returns an error's attributes, which must be the members of its object."""
    return {name: getattr(error, name) for name in error.json}


async def perform_all(client: Any, cases: list[list[str]]) -> None:
    """Performs the cases, and prints a line for each."""
    for operation, request, _ in cases:
        try:
            name, reply = "OK", await perform(client, operation, json.loads(request))
        except FloatLeaseError as error:
            name, reply = error.name, attributes_of(error)
        print(name, json.dumps(reply), "null", sep="\t")


def main(config: str, path: str) -> None:
    """Performs the cases in both ways."""
    with open(path, encoding="utf-8") as file:
        cases = [line.rstrip("\n").split("\t") for line in file]
    with Client(json.loads(config)) as client, ThreadPoolExecutor() as other_thread:
        # On the main thread calls are submitted, as those of an AsyncClient are.
        other_thread.submit(asyncio.run, perform_all(client, cases)).result()
    asynchronous = AsyncClient(json.loads(config))
    asyncio.run(perform_all(asynchronous, cases))
    asynchronous.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
