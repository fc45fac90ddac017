#!/usr/bin/env python3
"""Renews a lease a million times, once kept alive by its thread and once by the host, and records what that held.

The figures go into data/renewals.json, which `make bench` puts on its page: it takes a quarter of an hour, too long to
be measured with the others. Run by `make soak-renewals`, which builds what it needs.
"""

import sys
from concurrent.futures import ThreadPoolExecutor

from lease_figures import demo_config
from programs import HERE, SERVER, commit, compile_test, measured, print_record, running

RENEWALS = 1_000_000
RECORD = HERE / "data/renewals.json"


def renewals(program, how, count):
    """The program's figures, on a server of its own."""
    with running([SERVER, "demo"]) as (_, line):
        return measured([program, how, count], demo_config(line))


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else RENEWALS
    program = compile_test("renewals")
    measured_commit = commit()  # now: there may be another when it is done
    with ThreadPoolExecutor() as both:
        figures = list(both.map(lambda how: renewals(program, how, count), ("thread", "host")))
    print_record(figures, measured_commit, RECORD if count == RENEWALS else None)


main()
