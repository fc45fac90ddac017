from __future__ import annotations

import subprocess
import sys

import pytest
from conftest import Workplace
from test_processes import start

if sys.platform != "linux":
    pytest.skip("limits of resources are Linux's", allow_module_level=True)

BEGIN = """
import resource
from floatlease import LocalError, Status
def expect_shortage(call, words):
    try:
        call()
    except LocalError as error:
        assert error.status == Status.OUT_OF_RESOURCES and error.retryable, error
        assert words in error.message and error.outcome == "not_sent", error
    else:
        raise AssertionError("the call succeeded")
"""

WITHOUT_DESCRIPTORS = """
client = Client(config)
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
taken = []
try:
    while True:
        taken.append(os.open(os.devnull, os.O_RDONLY))
except OSError:
    pass
words = "No file descriptor is left"
expect_shortage(client.check_license, words)
expect_shortage(client.acquire_lease, words)
expect_shortage(lambda: client.submit("check_license").result(), words)
for descriptor in taken:
    os.close(descriptor)
client.check_license()
"""

# Root has no limit of threads.
WITHOUT_THREADS = """
client = Client(config)
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
_, hard = resource.getrlimit(resource.RLIMIT_NPROC)
resource.setrlimit(resource.RLIMIT_NPROC, (0, hard))
words = "No thread can be started"
expect_shortage(client.acquire_lease, words)
expect_shortage(lambda: client.submit("check_license").result(), words)
resource.setrlimit(resource.RLIMIT_NPROC, (hard, hard))
client.acquire_lease().release()
"""


@pytest.mark.parametrize("program", [WITHOUT_DESCRIPTORS, WITHOUT_THREADS], ids=["descriptors", "threads"])
def test_a_shortage_is_told_and_passes(workplace: Workplace, program: str) -> None:
    process = start(workplace, BEGIN + program, stdin=subprocess.DEVNULL)
    said = process.communicate(timeout=60)
    assert (process.returncode, said) == (0, ("", ""))
