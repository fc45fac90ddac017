"""What a client costs: against a responder that costs next to nothing, and at a program's start."""

import re
import tempfile
from statistics import median

from programs import BUILT, HERE, LIBRARY, RESPONDER, TARGET, measured, on_processor, running, settings

LICENSE = {
    "api_key": "bench-api-key",
    "shared_key": "bench-shared-key",
    "product": "BENCH",
    "license_key": "BENC-HMRK-0000-0001",
}
RAW = "raw socket, same bytes, HMAC included"
CURL = "libcurl + OpenSSL HMAC, hand-written C"
VERIFY_OFF = "floatlease, C ABI, `\"verify\":\"off\"`"
VERIFY_ON = "floatlease, C ABI, replies verified"
SESSION = "Python `requests.Session`"
POST = "Python `requests.post`, as documented"


def borrows(rounds, requests, python_requests):
    """Medians over the rounds, in µs a request; the contenders take turns, so that all see the same machine.

    Client and responder have a processor each, as they would on two machines: left to itself the system puts both on
    one now and then, where a request costs a third, and the figures would tell of nothing else.
    """
    with running([RESPONDER], on_processor(1)) as (_, base_url):
        public_key = (HERE / "data/public-key.pem").read_text()
        verifying = settings(LICENSE, base_url, public_key)
        believing = settings(LICENSE, base_url, public_key, verify="off")
        python = [TARGET / "schemathesis/bin/python", HERE / "requests_borrow.py"]
        contenders = {
            RAW: ([BUILT / "raw_borrow", requests], verifying),
            CURL: ([BUILT / "libcurl_borrow", requests], verifying),
            VERIFY_OFF: ([BUILT / "floatlease_borrow", requests], believing),
            VERIFY_ON: ([BUILT / "floatlease_borrow", requests], verifying),
            SESSION: ([*python, "session", python_requests], verifying),
            POST: ([*python, "post", python_requests], verifying),
        }
        results = [
            {name: measured(*how, on_processor(0)) for name, how in contenders.items()} for _ in range(rounds)
        ]

    def median_of(figure):
        return {name: median(figure(name, result) for result in results) for name in contenders}

    return {
        "wall_us": median_of(lambda name, result: result[name]["wall_us"]),
        "over_raw": median_of(lambda name, result: result[name]["wall_us"] / result[RAW]["wall_us"]),
        "cpu_us": median_of(lambda name, result: result[name]["cpu_us"]),
        "cpu_over_raw_us": median_of(lambda name, result: result[name]["cpu_us"] - result[RAW]["cpu_us"]),
        "post_over": median_of(lambda name, result: result[POST]["wall_us"] / result[name]["wall_us"]),
    }


def threads_started(requests):
    """How many threads or processes a client starts from its open to its close, by the system calls that do it."""
    with running([RESPONDER]) as (_, base_url), tempfile.NamedTemporaryFile("r", encoding="utf-8") as log:
        environment = settings(LICENSE, base_url, (HERE / "data/public-key.pem").read_text())
        trace = ["strace", "-f", "-e", "trace=clone,clone3,fork,vfork", "-o", log.name]
        measured([*trace, BUILT / "floatlease_borrow", requests], environment)
        return len(re.findall(r"\b(?:clone3?|v?fork)\(", log.read()))


def start(runs):
    """Medians of dlopen and client_open, in ms, each in a fresh process."""
    environment = settings(LICENSE, "http://127.0.0.1:9/api/v4", (HERE / "data/public-key.pem").read_text())
    results = [measured([BUILT / "floatlease_open", LIBRARY], environment) for _ in range(runs)]
    return {name: median(result[f"{name}_us"] for result in results) / 1000 for name in ("dlopen", "client_open")}
