#!/usr/bin/env python3
"""Many submitted calls at once: what the process holds meanwhile, and whether 64 at a time are as fast as four.

The figures go into data/many_calls.json, which `make bench` puts on its page. Run by `make soak-calls`, which builds what
it needs.
"""

import json
import socket
import statistics
import sys
import threading

from programs import HERE, commit, compile_test, measured, print_record
from server_figures import data_directory, license, serving

UNDER_WAY = (1, 64, 1_000)
AT_A_TIME = (4, 64)
ROUNDS = 5
CALLS = 20_000
RECORD = HERE / "data/many_calls.json"


def silent_server():
    """Listens on a free port, accepts connections, and never answers."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    kept = []

    def accept():
        while True:
            kept.append(listener.accept())

    threading.Thread(target=accept, daemon=True).start()
    return f"http://127.0.0.1:{listener.getsockname()[1]}/api/v4"


def main():
    def run(config, *arguments):
        return measured([program, *arguments], {"FLOATLEASE_CONFIG": json.dumps(config)})

    rounds, calls = (ROUNDS, CALLS) if len(sys.argv) == 1 else (1, int(sys.argv[1]))
    program = compile_test("many_calls")
    silent = license() | {"base_url": silent_server(), "verify": "off", "timeout_ms": 60_000, "hardware_id": "desk"}
    holdings = {str(count): run(silent | {"max_parallel": count}, "holdings", count) for count in UNDER_WAY}
    rates = {at_a_time: [] for at_a_time in AT_A_TIME}
    with data_directory() as data, serving(data) as (_, url, key):
        config = license() | {"base_url": url, "public_key": key, "hardware_id": "desk"}
        for _ in range(rounds):
            for at_a_time in AT_A_TIME:
                rates[at_a_time].append(run(config | {"max_parallel": at_a_time}, "rate", calls)["calls_a_second"])
    medians = {str(at_a_time): statistics.median(found) for at_a_time, found in rates.items()}
    figures = {"holdings": holdings, "calls": calls, "rounds": rounds, "calls_a_second": medians}
    print_record(figures, commit(), RECORD if rounds == ROUNDS else None)


main()
