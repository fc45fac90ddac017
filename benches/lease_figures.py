"""What a lease costs: a look at it, its memory, and how long a host waits while the server hangs."""

import json
import re
import tempfile
from statistics import median

from programs import BUILT, LIBRARY, SERVER, measured, on_processor, running

CLIENT_KEYS = ("base_url", "api_key", "shared_key", "public_key", "product", "license_key")


def demo_config(line):
    """The environment for a client of a demo that has said this of itself."""
    said = json.loads(line)
    config = {"hardware_id": "bench-0"} | {key: said[key] for key in CLIENT_KEYS}
    return {"FLOATLEASE_CONFIG": json.dumps(config)}


def reads(rounds, looks):
    """Medians of the rounds, in ns a look."""
    with running([SERVER, "demo"]) as (_, line):
        environment = demo_config(line)
        results = [measured([BUILT / "lease_reads", looks], environment, on_processor(0)) for _ in range(rounds)]
    return {name: median(result[name] for result in results) for name in results[0]}


def instructions(looks):
    """Of one look, by callgrind, which runs no vDSO: the clock is a system call there, whose inside is not counted."""
    with running([SERVER, "demo"]) as (_, line), tempfile.TemporaryDirectory(dir=BUILT) as folder:
        environment = demo_config(line)
        return {which: counted(which, looks, f"{folder}/{which}", environment) for which in ("state", "remaining")}


def counted(which, looks, file, environment):
    function = f"--toggle-collect=floatlease_lease_{which}"
    callgrind = ["valgrind", "--quiet", "--tool=callgrind", f"--callgrind-out-file={file}", function]
    measured([*callgrind, BUILT / "lease_reads", looks, which], environment)
    with open(file, encoding="utf-8") as counts:
        return int(re.search(r"^(?:totals|summary): (\d+)", counts.read(), re.MULTILINE)[1]) / looks


def memory(runs):
    """Medians of fresh processes: what the library adds to a bare host, and what that and a lease do."""
    with running([SERVER, "demo"]) as (_, line):
        environment = demo_config(line)
        results = [measured([BUILT / "lease_memory", LIBRARY], environment) for _ in range(runs)]
    return {name: median(result[name] for result in results) for name in results[0]}


def waits(rounds, cancels):
    """Of each function, and of a cancelled call at each of its stages, while the server hangs: in µs."""
    with tempfile.TemporaryDirectory(dir=BUILT) as folder:
        return measured([BUILT / "lease_waits", rounds, cancels, folder], {})
