"""docs/figures.md: the figures, the aims beside them, and where and how they were taken."""

import datetime
import json
import os
import platform
import re
from pathlib import Path

from client_figures import CURL, POST, RAW, SESSION, VERIFY_OFF, VERIFY_ON
from programs import HERE, LIBRARY, commit

HEADING = """\
# Figures

Written by `make bench`; not edited. Clients and servers share the machine and talk over its loopback interface. An aim
is what the project wants to reach; whether this run reached it stands beside it."""

A_REQUEST = """\
## A request

One thread; {requests:,} signed borrows ({python_requests:,} with Python) against a responder with a fixed reply, on a
processor of its own. The contenders take turns; medians of {rounds} rounds. All send the same members, the raw socket
the very bytes of floatlease. All keep their connection, but for `requests.post`. Only floatlease verifies the reply's
RSA-2048 signature, where it says so."""

A_PROGRAM = """\
## A program

Threads and processes as strace sees them start; medians of {starts} fresh processes and of {rounds} rounds."""

A_LEASE = """\
## A lease

`floatlease_lease_state` and `floatlease_lease_remaining`, {looks:,} looks each; medians of {rounds} rounds and, of memory,
of {starts} fresh processes with one lease kept alive, against the same program before it loads the library. Instructions
are callgrind's, under which the clock is a system call, so that what it does is not among them."""

WHILE_IT_HANGS = """\
### While the server hangs

A lease whose renewal hangs in the library's thread, with two submitted calls that hang too: how long the host waits for
each function, {rounds_hanging:,} times, without the network being touched."""

CANCELLED = """\
From `floatlease_cancel` until the completion of a submitted call could be read, {cancels} times at each stage, at varied
moments. An attempt to connect looks every 20 ms whether it was cancelled; all else is woken."""

RENEWALS = """\
### A million renewals

One lease, {renewals:,} renewals on a `floatlease-server demo`, each half of the slot's time after the last by the client's
own clock: what the process holds after 1 %, 10 % and all of them. By `make soak-renewals`, {date}, commit {commit}."""

MANY_CLIENTS = """\
### A thousand clients

One process with {clients:,} clients and a lease each, kept alive by `"thread"`, on a `floatlease-server serve`; then {idle_s} s
without anything due, then the close. The leases keep their handles until the connections and threads are gone. The
allocator has one arena (`MALLOC_ARENA_MAX=1`), so that it can give back what is freed. By `make soak-clients`, {date},
commit {commit}."""

MANY_CALLS = """\
### Many submitted calls

What a process holds while calls are under way that a server does not answer, each at the same time, and eleven seconds after
their end; and {calls:,} `product_details` on a `floatlease-server serve`, medians of {rounds} rounds. By `make soak-calls`,
{date}, commit {commit}."""

THE_SERVER = """\
## The server

`check_license` of {devices:,} devices in turn, each a durable renewal of its slot under an order number, for {seconds} s.
Replies carry an RSA-2048 signature, but not under `--unsigned`. The generator of the load takes its part of the same
processors."""

THE_SANDBOX = """\
## The sandbox

A server for tests, with the sample catalogue: as a process of its own, from its spawn until it says that it listens, and
inside a C program. Medians of {starts} fresh processes."""


def written(figures, size):
    """The whole page."""
    parts = [
        HEADING,
        circumstances(),
        A_REQUEST.format(**size),
        contenders(figures["borrows"]),
        request_aims(figures["borrows"]),
        A_PROGRAM.format(**size),
        program_aims(figures, size),
        A_LEASE.format(**size),
        lease_aims(figures),
        WHILE_IT_HANGS.format(**size),
        waits("function", WAITS, figures["lease_waits"]["functions"], 1_000),
        CANCELLED.format(**size),
        waits("stage", STAGES, figures["lease_waits"]["cancelled"], 50_000),
        *renewals(),
        *many_clients(),
        *many_calls(),
        THE_SERVER.format(**size),
        loads(figures),
        server_aims(figures),
        THE_SANDBOX.format(**size),
        sandbox_aims(figures),
    ]
    return "\n\n".join(parts) + "\n"


def circumstances():
    """Where, when and of what the figures are."""
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    rows = [
        ("processor", f"{model[1] if model else platform.machine()}, {os.cpu_count()} cores"),
        ("system", f"{platform.system()} {platform.release()}"),
        ("date", datetime.date.today().isoformat()),
        ("commit", commit()),
        ("command", "`make bench`"),
    ]
    return table(["", ""], rows)


def contenders(borrows):
    rows = [
        (
            name,
            f"{borrows['wall_us'][name]:.1f}",
            f"{borrows['over_raw'][name]:.2f}",
            f"{borrows['cpu_us'][name]:.1f}",
        )
        for name in (RAW, VERIFY_OFF, VERIFY_ON, CURL, SESSION, POST)
    ]
    return table(["a borrow", "µs", "over the raw socket", "own processor time, µs"], rows)


def request_aims(borrows):
    over_raw, post_over, cpu_us = borrows["over_raw"], borrows["post_over"], borrows["cpu_over_raw_us"]
    rows = [
        at_most("floatlease, not verifying, over the raw socket", over_raw[VERIFY_OFF], 1.10, "{:.2f}"),
        at_most("floatlease, not verifying, over libcurl", over_raw[VERIFY_OFF] / over_raw[CURL], 1, "{:.2f}"),
        at_least("`requests.post` over floatlease, verifying", post_over[VERIFY_ON], 9, "{:.1f}"),
        at_most("processor time beyond the raw socket's, not verifying", cpu_us[VERIFY_OFF], 25, "{:.1f} µs"),
        ("processor time of verifying", f"{cpu_us[VERIFY_ON] - cpu_us[VERIFY_OFF]:.1f} µs", "", ""),
    ]
    return table(AIM_COLUMNS, rows)


def program_aims(figures, size):
    start, started = figures["client_start"], figures["threads_started"]
    start_ms = start["dlopen"] + start["client_open"]
    pairs = f"{figures['pairs_per_second']:,.0f} pairs/s"
    rows = [
        at_most(f"threads started by open, {size['traced_requests']} borrows and close", started, 0, "{}"),
        at_most("`dlopen` and `floatlease_client_open`", start_ms, 3, "{:.2f} ms"),
        at_most("shared library", LIBRARY.stat().st_size / 1e6, 1.9, "{:.2f} MB"),
        ("borrow and release, verifying, by one C thread on `floatlease-server`", pairs, "", ""),
    ]
    return table(AIM_COLUMNS, rows)


def lease_aims(figures):
    reads, memory, counted = figures["lease_reads"], figures["lease_memory"], figures["lease_instructions"]
    rows = [
        at_most("`floatlease_lease_state`", reads["state_ns"], 10, "{:.1f} ns"),
        ("`floatlease_lease_remaining`, with the system's clock", f"{reads['remaining_ns']:.1f} ns", "", ""),
        ("instructions of `floatlease_lease_state`", f"{counted['state']:.0f}", "", ""),
        ("instructions of `floatlease_lease_remaining`", f"{counted['remaining']:.0f}", "", ""),
        at_most("resident beyond the bare host, one lease kept alive", memory["lease_mb"], 4, "{:.1f} MB"),
        ("of these, the library as it is loaded", f"{memory['library_mb']:.1f} MB", "", ""),
    ]
    return table(AIM_COLUMNS, rows)


WAITS = {
    "lease_state": "`floatlease_lease_state`",
    "lease_remaining": "`floatlease_lease_remaining`",
    "lease_info": "`floatlease_lease_info`",
    "next_event": "`floatlease_next_event`, 0 ms",
    "submit": "`floatlease_submit`",
    "cancel": "`floatlease_cancel`",
    "lease_free": "`floatlease_lease_free`",
    "client_close": "`floatlease_client_close`",
}
STAGES = {
    "in_line": "in the line behind four others",
    "connecting": "connecting, to a full queue",
    "tls": "in the TLS handshake",
    "waiting": "sent, waiting for the reply",
    "reading": "reading the reply, byte by byte",
    "pausing": "in the pause before the next attempt",
    "at_the_gate": "at the lock of a slot, which another process holds",
    "queueing": "waiting for a slot",
}


def waits(what, names, figures, limit_us):
    """One row each; the aim is the worst of them all."""
    parts = ("p50_us", "p99_us", "worst_us")
    rows = [(named, *(milliseconds(figures[name][part]) for part in parts)) for name, named in names.items()]
    worst = max(figures[name]["worst_us"] for name in names)
    aim = at_most("the worst of all", worst / 1000, limit_us / 1000, "{:.2f} ms")
    columns = [what, "median, ms", "99th percentile, ms", "longest, ms"]
    return table(columns, rows) + "\n\n" + table(AIM_COLUMNS, [aim])


def milliseconds(us):
    return f"{us / 1000:.3f}"


def renewals():
    """The figures of the last `make soak-renewals`."""
    record = json.loads((HERE / "data/renewals.json").read_text())
    marks = ("at_1_percent", "at_10_percent", "at_100_percent")
    rows = [
        (f"`\"{run['keep_alive']}\"`", what, *(f"{run[mark][member]:,}" for mark in marks))
        for run in record["figures"]
        for what, member in (("resident, kB", "resident_kb"), ("threads", "threads"), ("open files", "files"))
    ]
    text = RENEWALS.format(renewals=record["figures"][0]["renewals"], **record)
    return text, table(["kept alive by", "", "1 %", "10 %", "100 %"], rows)


def many_clients():
    """The figures of the last `make soak-clients`."""
    record = json.loads((HERE / "data/many_clients.json").read_text())
    found = record["figures"]
    count = found["clients"]
    rows = [
        at_most("threads a client", found["threads"] / count, 1, "{:.0f}"),
        at_most("resident memory a client", found["resident_kb_a_client"], 64, "{:.0f} kB"),
        at_most("connections a client", found["files"] / count, 1, "{:.0f}"),
        at_most("processor time of all while idle", found["idle_processor_ms_a_second"] / 1000, 0.01, "{:.4f} s/s"),
        ("`floatlease_client_close`", f"{found['close_us_a_client']:.0f} µs", "", ""),
        ("from the last close until slots, connections and threads are gone", f"{found['gone_s']:.1f} s", "", ""),
        at_most("threads after that", found["threads_after_close"], 0, "{}"),
        at_most("connections after that", found["files_after_close"], 0, "{}"),
        at_most("resident memory a client, leases freed", found["resident_kb_after_free"] / count, 8, "{:.0f} kB"),
    ]
    text = MANY_CLIENTS.format(clients=count, idle_s=found["idle_s"], date=record["date"], commit=record["commit"])
    return text, table(AIM_COLUMNS, rows)


def many_calls():
    """The figures of the last `make soak-calls`."""
    record = json.loads((HERE / "data/many_calls.json").read_text())
    found = record["figures"]
    members = (("threads", "threads"), ("resident memory, kB", "resident_kb"), ("open files", "files"))
    rows = [
        (f"{int(count):,} calls: {what}", f"{holdings[member]:,}", f"{holdings[member + '_after']:,}")
        for count, holdings in found["holdings"].items()
        for what, member in members
    ]
    rates = found["calls_a_second"]
    aims = [
        ("calls a second, four at a time", f"{rates['4']:,.0f}", "", ""),
        ("calls a second, 64 at a time", f"{rates['64']:,.0f}", "", ""),
        at_least("64 at a time over four", rates["64"] / rates["4"], 1, "{:.2f}"),
    ]
    text = MANY_CALLS.format(date=record["date"], commit=record["commit"], **found)
    return text, table(["", "under way", "after"], rows), table(AIM_COLUMNS, aims)


def loads(figures):
    cases = {"1": "signed_1", "64": "signed_64", "64, `--unsigned`": "unsigned_64"}
    rows = [
        (name, f"{load['per_second']:,}", f"{load['p50_ms']:.2f}", f"{load['p99_ms']:.2f}", f"{load['max_ms']:.1f}")
        for name, load in ((name, figures[key]) for name, key in cases.items())
    ]
    return table(["connections", "requests/s", "median, ms", "99th percentile, ms", "longest, ms"], rows)


def server_aims(figures):
    signed, unsigned, start = figures["signed_64"], figures["unsigned_64"], figures["server_start"]
    signatures = figures["signatures_per_second"]
    rows = [
        at_least("signed, 64 connections", signed["per_second"], 3_500, "{:,}/s"),
        at_most("99th percentile of these", signed["p99_ms"], 15, "{:.1f} ms"),
        at_least("`--unsigned`, 64 connections", unsigned["per_second"], 40_000, "{:,}/s"),
        ("RSA-2048 signatures by one processor, as `openssl speed` has it", f"{signatures:,.0f}/s", "", ""),
        at_most("start until it listens", start["listening_ms"], 50, "{:.0f} ms"),
        at_most("resident when idle", start["resident_mb"], 12, "{:.1f} MB"),
    ]
    return table(AIM_COLUMNS, rows)


def sandbox_aims(figures):
    demo, inside = figures["demo_start"], figures["sandbox"]
    rows = [
        at_most("`floatlease-server demo`, spawn to listening", demo["listening_ms"], 50, "{:.0f} ms"),
        at_most("resident when idle", demo["resident_mb"], 12, "{:.1f} MB"),
        at_most("`floatlease_sandbox_start`, first in a process", inside["first_start_us"] / 1000, 10, "{:.1f} ms"),
        at_most("the same again", inside["start_us"] / 1000, 10, "{:.1f} ms"),
        at_most("`floatlease_sandbox_stop`", inside["stop_us"] / 1000, 1000, "{:.1f} ms"),
        at_most("resident beyond the bare host", inside["resident_mb"], 12, "{:.1f} MB"),
        ("a world more, of a hundred", f"{inside['world_us'] / 1000:.1f} ms, {inside['world_mb']:.2f} MB", "", ""),
    ]
    return table(AIM_COLUMNS, rows)


AIM_COLUMNS = ["", "figure", "aim", "reached"]


def at_most(what, figure, limit, form):
    return what, form.format(figure), "≤ " + form.format(limit), "yes" if figure <= limit else "no"


def at_least(what, figure, limit, form):
    return what, form.format(figure), "≥ " + form.format(limit), "yes" if figure >= limit else "no"


def table(columns, rows):
    """A Markdown table."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)
