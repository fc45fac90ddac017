"""The programs that are measured: where they are, how they are compiled, run and told what to do."""

import base64
import datetime
import email.utils
import hashlib
import hmac
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve()
LIBRARY = TARGET / "release/libfloatlease.so"
SANDBOX = TARGET / "sandbox/libfloatlease_sandbox.so"
# "debug" for a run that only shows that everything works.
RUST_PROGRAMS = TARGET / os.environ.get("FLOATLEASE_BENCH_PROFILE", "server")
SERVER = RUST_PROGRAMS / "floatlease-server"
RESPONDER = RUST_PROGRAMS / "floatlease-bench-responder"
LOAD = RUST_PROGRAMS / "floatlease-bench-load"
BUILT = TARGET / "bench"
VERSION = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]["version"]

C_FLAGS = ["-std=c11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-Wpedantic", "-Werror", f"-I{ROOT / 'include'}"]
C_PROGRAMS = {
    "raw_borrow": ["-lcrypto"],
    "libcurl_borrow": ["-lcurl", "-lcrypto"],
    "floatlease_borrow": [str(LIBRARY), f"-Wl,-rpath,{BUILT}"],
    "floatlease_pairs": [str(LIBRARY), f"-Wl,-rpath,{BUILT}"],
    "floatlease_open": ["-ldl"],
    "lease_reads": [str(LIBRARY), f"-Wl,-rpath,{BUILT}"],
    "lease_memory": ["-ldl"],
    "lease_waits": [str(LIBRARY), str(SANDBOX), f"-Wl,-rpath,{BUILT}"],
    "sandbox_start": [str(SANDBOX), f"-Wl,-rpath,{BUILT}"],
}


def compile_all():
    """Compiles the C programs; the libraries get the names beside them that their SONAMEs ask for."""
    for file in (LIBRARY, SANDBOX, SERVER, RESPONDER, LOAD):
        if not file.exists():
            sys.exit(f"{file} is missing: run `make bench`, which builds it")
    for tool in ("cc", "openssl", "strace", "valgrind"):
        if shutil.which(tool) is None:
            sys.exit(f"{tool} is missing: run scripts/setup")
    BUILT.mkdir(exist_ok=True)
    for library in (LIBRARY, SANDBOX):
        shutil.copy(library, BUILT / f"{library.name}.1")
    for name, libraries in C_PROGRAMS.items():
        subprocess.run(["cc", *C_FLAGS, HERE / f"{name}.c", "-o", BUILT / name, *libraries], check=True)


def compile_test(name):
    """Compiles a program of the tests, and returns where it is."""
    BUILT.mkdir(exist_ok=True)
    flags = [*C_FLAGS, str(LIBRARY), f"-Wl,-rpath,{LIBRARY.parent}"]
    subprocess.run(["cc", ROOT / f"tests/abi/{name}.c", "-o", BUILT / name, *flags], check=True)
    return BUILT / name


def print_record(figures, measured_commit, file=None):
    """Prints figures that are not measured by each `make bench`; writes them into the file that its page shows."""
    record = {"date": datetime.date.today().isoformat(), "commit": measured_commit, "figures": figures}
    text = json.dumps(record, indent=2)
    print(text)
    if file:
        file.write_text(text + "\n")


def commit():
    """What was measured."""
    run = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    return run.stdout.strip()


def on_processor(which):
    """For a child process: stay on one of the processors there are."""
    processors = sorted(os.sched_getaffinity(0))
    return lambda: os.sched_setaffinity(0, {processors[which % len(processors)]})


def measured(command, environment, prepare=None):
    """Runs a program that prints its result as one line of JSON."""
    command = [str(part) for part in command]
    environment = os.environ | environment
    run = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, preexec_fn=prepare)
    if run.returncode != 0:
        sys.exit(f"{' '.join(command)} ended with {run.returncode}")
    return json.loads(run.stdout)


@contextmanager
def running(command, prepare=None):
    """A program in the background that has said in one line where it listens; ended on leaving."""
    command = [str(part) for part in command]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes, preexec_fn=prepare) as process:
        try:
            line = process.stdout.readline()
            if not line:
                sys.exit(f"{' '.join(command)} said nothing")
            yield process, line.strip()
        finally:
            process.terminate()


def resident_mb(process):
    """How much memory a process holds."""
    status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
    return int(re.search(r"VmRSS:\s*(\d+) kB", status)[1]) * 1024 / 1e6


def settings(license, base_url, public_key, verify="on"):
    """The environment that tells every program whom to ask and for what."""
    named = {**license, "hardware_id": "bench-0", "base_url": base_url}
    config = {**named, "public_key": public_key, "verify": verify}
    more = {"config": json.dumps(config), "version": VERSION}
    return {f"FLOATLEASE_{name.upper()}": value for name, value in (named | more).items()}


def authorisation(license):
    """The two headers that authorise requests of the next minutes."""
    date = email.utils.formatdate(usegmt=True)
    mac = hmac.new(license["shared_key"].encode(), f"licenseSpring\ndate: {date}".encode(), hashlib.sha256)
    signature = base64.b64encode(mac.digest()).decode()
    return {
        "FLOATLEASE_DATE": date,
        "FLOATLEASE_AUTHORIZATION": 'algorithm="hmac-sha256", headers="date", '
        f'signature="{signature}", apikey="{license["api_key"]}"',
    }
