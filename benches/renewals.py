#!/usr/bin/env python3
"""Renews a lease a million times, once kept alive by its thread and once by the host, and records what that held.

The figures go into data/renewals.json, which `make bench` puts on its page: it takes a quarter of an hour, too long to
be measured with the others. Run by `make soak-renewals`, which builds what it needs.
"""

import datetime
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from lease_figures import demo_config
from programs import BUILT, C_FLAGS, HERE, LIBRARY, ROOT, SERVER, commit, measured, running

RENEWALS = 1_000_000
RECORD = HERE / "data/renewals.json"


def renewals(how, count):
    """The program's figures, on a server of its own."""
    with running([SERVER, "demo"]) as (_, line):
        return measured([BUILT / "renewals", how, count], demo_config(line))


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else RENEWALS
    BUILT.mkdir(exist_ok=True)
    flags = [*C_FLAGS, str(LIBRARY), f"-Wl,-rpath,{LIBRARY.parent}"]
    subprocess.run(["cc", ROOT / "tests/abi/renewals.c", "-o", BUILT / "renewals", *flags], check=True)
    measured_commit = commit()  # now: there may be another when it is done
    with ThreadPoolExecutor() as both:
        figures = list(both.map(lambda how: renewals(how, count), ("thread", "host")))
    record = {"date": datetime.date.today().isoformat(), "commit": measured_commit, "figures": figures}
    text = json.dumps(record, indent=2)
    print(text)
    if count == RENEWALS:
        RECORD.write_text(text + "\n")


main()
