"""What a test pays for a server of its own: a demo as a process, a sandbox in the test's process, more worlds."""

import time
from statistics import median

from programs import BUILT, SERVER, measured, resident_mb, running


def demo(runs):
    """From its spawn until it says that it listens, and how much memory it holds then."""
    results = []
    for _ in range(runs):
        started = time.monotonic()
        with running([SERVER, "demo"]) as (process, _):
            results.append(((time.monotonic() - started) * 1000, resident_mb(process)))
    return {"listening_ms": median(ms for ms, _ in results), "resident_mb": median(mb for _, mb in results)}


def in_process(runs):
    """A sandbox in a fresh C program, started for the first time and again, and the cost of each of a hundred worlds."""
    results = [measured([BUILT / "sandbox_start"], {}) for _ in range(runs)]
    return {name: median(result[name] for result in results) for name in results[0]}
