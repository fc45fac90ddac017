#!/usr/bin/env python3
"""Measures floatlease against what a user would write instead, and its server, and writes docs/figures.md.

Compiles the C programs of this folder; the library, the server and the Rust programs must have been built, as `make
bench` does. Everything stays on the loopback interface.
"""

import argparse

import client_figures
import lease_figures
import page
import programs
import sandbox_figures
import server_figures

FULL = {"rounds": 5, "requests": 20_000, "python_requests": 2_000, "pairs": 2_000, "seconds": 10, "starts": 20}
FULL |= {"looks": 20_000_000, "rounds_hanging": 1_000, "cancels": 200}
QUICK = {"rounds": 1, "requests": 500, "python_requests": 50, "pairs": 50, "seconds": 1, "starts": 3}
QUICK |= {"looks": 100_000, "rounds_hanging": 20, "cancels": 3}
DEVICES = 1_000
TRACED_REQUESTS = 500
COUNTED_LOOKS = 10_000


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="only show that everything runs; writes no page")
    quick = parser.parse_args().quick
    size = QUICK if quick else FULL
    programs.compile_all()
    figures = {
        "borrows": client_figures.borrows(size["rounds"], size["requests"], size["python_requests"]),
        "threads_started": client_figures.threads_started(TRACED_REQUESTS),
        "client_start": client_figures.start(size["starts"]),
        "lease_reads": lease_figures.reads(size["rounds"], size["looks"]),
        "lease_instructions": lease_figures.instructions(COUNTED_LOOKS),
        "lease_memory": lease_figures.memory(size["starts"]),
        "lease_waits": lease_figures.waits(size["rounds_hanging"], size["cancels"]),
        "pairs_per_second": server_figures.pairs_per_second(size["rounds"], size["pairs"]),
        "signed_1": server_figures.check_license(1, size["seconds"], DEVICES),
        "signed_64": server_figures.check_license(64, size["seconds"], DEVICES),
        "unsigned_64": server_figures.check_license(64, size["seconds"], DEVICES, "--unsigned"),
        "signatures_per_second": server_figures.signatures_per_second(),
        "server_start": server_figures.start(size["starts"]),
        "demo_start": sandbox_figures.demo(size["starts"]),
        "sandbox": sandbox_figures.in_process(size["starts"]),
    }
    text = page.written(figures, size | {"devices": DEVICES, "traced_requests": TRACED_REQUESTS})
    print(text)
    if not quick:
        (programs.ROOT / "docs").mkdir(exist_ok=True)
        (programs.ROOT / "docs/figures.md").write_text(text)


main()
