"""What the tests share: a client on a workplace of its own, and what the server knows of it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from typing import Any, Callable

import pytest
from floatlease import Client
from floatlease.sandbox import Sandbox

# A shell that starts a command in the background has it ignore Ctrl+C, and so would the programs of the tests.
signal.signal(signal.SIGINT, signal.default_int_handler)

HANG = {"before": "hang"}

posix = pytest.mark.skipif(os.name != "posix", reason="signals, fork and LD_LIBRARY_PATH are POSIX's")


class Workplace:
    """A machine whose license server is a sandbox."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.config = sandbox.client_config(hardware_id="my-desk", timeout_ms=60_000)
        self.client = Client(self.config)
        self.client.activate_license()

    def slots(self) -> list[str]:
        """Which features are held, None being the license itself, by whatever device."""
        return [slot["feature"] for slot in self.sandbox.control("GET /slots")["slots"]]

    def hang(self, operation: str | None = None) -> None:
        """From now on the server takes requests and never answers."""
        self.sandbox.fault(do=HANG, match={"operation": operation} if operation else {})

    def asked(self, operation: str) -> int:
        """How many requests of an operation have arrived."""
        entries = self.sandbox.control("GET /journal")["entries"]
        return sum(entry["kind"] == "request" and entry["operation"] == operation for entry in entries)


@pytest.fixture
def workplace(floatlease_sandbox: Sandbox) -> Iterator[Workplace]:
    workplace = Workplace(floatlease_sandbox)
    yield workplace
    workplace.client.close()


def soon(so: Callable[[], Any]) -> Any:
    """Waits for what comes of itself: not long, but longer than any machine should need."""
    end = time.monotonic() + 20
    while not (found := so()):
        assert time.monotonic() < end
        time.sleep(0.002)
    return found
