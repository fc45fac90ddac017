#!/usr/bin/env python3
"""A process with a thousand clients and a lease each: what a client costs, and that it is gone after the close.

The figures go into data/many_clients.json, which `make bench` puts on its page. Run by `make soak-clients`, which builds
what it needs.
"""

import datetime
import json
import subprocess
import sys

from programs import BUILT, C_FLAGS, HERE, LIBRARY, ROOT, commit, measured
from server_figures import data_directory, license, serving

CLIENTS = 1_000
IDLE_S = 60
RECORD = HERE / "data/many_clients.json"


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else CLIENTS
    BUILT.mkdir(exist_ok=True)
    flags = [*C_FLAGS, str(LIBRARY), f"-Wl,-rpath,{LIBRARY.parent}"]
    subprocess.run(["cc", ROOT / "tests/abi/many_clients.c", "-o", BUILT / "many_clients", *flags], check=True)
    with data_directory() as data, serving(data) as (_, base_url, public_key):
        config = json.dumps(license() | {"base_url": base_url, "public_key": public_key})
        # With the arenas of many threads, the allocator could not give back what was freed.
        environment = {"FLOATLEASE_CONFIG": config, "MALLOC_ARENA_MAX": "1"}
        figures = measured([BUILT / "many_clients", count, IDLE_S], environment)
    record = {"date": datetime.date.today().isoformat(), "commit": commit(), "figures": figures}
    text = json.dumps(record, indent=2)
    print(text)
    if count == CLIENTS:
        RECORD.write_text(text + "\n")


main()
