#!/usr/bin/env python3
"""A process with a thousand clients and a lease each: what a client costs, and that it is gone after the close.

The figures go into data/many_clients.json, which `make bench` puts on its page. Run by `make soak-clients`, which builds
what it needs.
"""

import json
import sys

from programs import HERE, commit, compile_test, measured, print_record
from server_figures import data_directory, license, serving

CLIENTS = 1_000
IDLE_S = 60
RECORD = HERE / "data/many_clients.json"


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else CLIENTS
    program = compile_test("many_clients")
    with data_directory() as data, serving(data) as (_, base_url, public_key):
        config = json.dumps(license() | {"base_url": base_url, "public_key": public_key})
        # With the arenas of many threads, the allocator could not give back what was freed.
        environment = {"FLOATLEASE_CONFIG": config, "MALLOC_ARENA_MAX": "1"}
        figures = measured([program, count, IDLE_S], environment)
    print_record(figures, commit(), RECORD if count == CLIENTS else None)


main()
