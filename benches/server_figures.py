"""What the server does: durable claims, signed and unsigned, over loopback connections, and its start."""

import json
import re
import subprocess
import tempfile
import time
import tomllib
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from programs import BUILT, HERE, LOAD, SERVER, authorisation, measured, resident_mb, running, settings

CATALOGUE = HERE / "catalogue.toml"


def license():
    """What the catalogue hands out, as a client names it."""
    catalogue = tomllib.loads(CATALOGUE.read_text())
    return {
        "api_key": catalogue["api_key"][0]["key"],
        "shared_key": catalogue["api_key"][0]["shared_key"],
        "product": catalogue["license"][0]["product"],
        "license_key": catalogue["license"][0]["license_key"],
    }


@contextmanager
def serving(data, *flags):
    """The server on a data directory; yields its process, its base URL and its public key."""
    command = [SERVER, "serve", "--data", data, "--catalogue", CATALOGUE]
    command += ["--limit-authorization", "off", "--limit-company", "off"]
    with running([*command, "--listen", "127.0.0.1:0", *flags]) as (process, line):
        said = json.loads(line)
        yield process, said["base_url"], Path(said["public_key_file"]).read_text(encoding="utf-8")


def pairs_per_second(rounds, pairs):
    """Borrow and release, verified, from one C thread."""
    with data_directory() as data, serving(data) as (_, base_url, public_key):
        environment = settings(license(), base_url, public_key)
        results = [measured([BUILT / "floatlease_pairs", pairs], environment) for _ in range(rounds)]
        return median(1e6 / result["wall_us"] for result in results)


def check_license(connections, seconds, devices, *flags):
    """The load generator's result against a server with fresh data."""
    with data_directory() as data, serving(data, *flags) as (_, base_url, public_key):
        environment = settings(license(), base_url, public_key) | authorisation(license())
        return measured([LOAD, connections, seconds, devices, "ordered"], environment)


def signatures_per_second():
    """What one processor can sign at most with RSA-2048, by OpenSSL: the ceiling of a server that signs."""
    speed = subprocess.run(["openssl", "speed", "-mr", "-seconds", "2", "rsa2048"], capture_output=True, text=True)
    return float(re.search(r"^\+F2:\d+:2048:([\d.]+)", speed.stdout, re.MULTILINE)[1])


def start(runs):
    """How long the server takes to listen, keys and data being there, and how much memory it holds then."""
    with data_directory() as data:
        with serving(data):
            pass
        results = []
        for _ in range(runs):
            started = time.monotonic()
            with serving(data) as (process, _, _):
                listening_ms = (time.monotonic() - started) * 1000
                results.append((listening_ms, resident_mb(process)))
        return {"listening_ms": median(ms for ms, _ in results), "resident_mb": median(mb for _, mb in results)}


def data_directory():
    """Beside the build, because a temporary folder may be in memory, where a sync costs nothing."""
    return tempfile.TemporaryDirectory(dir=BUILT)
