"""gevent and eventlet, each in a process of its own, because they replace modules of the whole process."""

from __future__ import annotations

import pytest
from conftest import Workplace
from test_processes import start

# What each of them is called with.
LIBRARIES = {
    "gevent": """
import gevent, gevent.monkey, gevent.pool
patch, sleep, spawn = gevent.monkey.patch_all, gevent.sleep, gevent.spawn
wait_all = lambda all: gevent.joinall(all, raise_error=True)
in_thread = lambda function, *args, **kwargs: gevent.get_hub().threadpool.apply(function, args, kwargs)
""",
    "eventlet": """
import warnings
warnings.simplefilter("ignore")
import eventlet, eventlet.tpool
patch, sleep, spawn, in_thread = eventlet.monkey_patch, eventlet.sleep, eventlet.spawn, eventlet.tpool.execute
wait_all = lambda all: [one.wait() for one in all]
""",
}

# Both ask that their patches come first; a program that has it the other way round is served too.
ORDERS = {
    "patched first": "patch()\nfrom floatlease import Client, _threads\n",
    "imported first": "from floatlease import Client, _threads\npatch()\n",
}

SERVED = """
import json, os
config = json.loads(os.environ["FLOATLEASE_CONFIG"])
client = Client(config, timeout_ms=20_000)

def in_the_pool(number):
    for round in range(10):
        lease = in_thread(client.acquire_lease, feature=("MESH", "SOLVER")[number % 2])
        assert in_thread(lambda: client.submit("check_license").result()), "a reply"
        in_thread(client.next_event, 1)
        in_thread(lease.release)

def in_this_thread():
    for round in range(10):
        call = client.submit("check_license")
        while not call.done():
            sleep(0.001)
        assert call.result()["floating_in_use_devices"] == 1

wait_all([spawn(in_the_pool, number) for number in range(6)] + [spawn(in_this_thread) for _ in range(6)])
client.release_license()
print("served")
"""

POLLED = """
import json, os
config = json.loads(os.environ["FLOATLEASE_CONFIG"])
client = Client(config)
turns = 0

def others():
    global turns
    while True:
        turns += 1
        sleep(0.001)

spawn(others)
call = client.submit("borrow_license")
while not call.done():
    sleep(0.001)
call.result()
client.release_license()
print("others had turns" if turns > 10 else turns)
"""

REAL = """
import time
here, found, lock = _threads.get_ident(), [], _threads.new_lock()
lock.acquire()

def run():
    found.append(_threads.get_ident())
    lock.release()

_threads.start_thread(run, "a thread")
# A greenlet of this thread would never have its turn.
assert lock.acquire(timeout=20), "it does not run"
assert found[0] != here
assert _threads.is_main_thread() and _threads.is_replaced()
print("a thread")
"""


def told(workplace: Workplace, program: str) -> str:
    process = start(workplace, program, begin="")
    out, said = process.communicate(timeout=120)
    assert (process.returncode, said) == (0, "")
    return out


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("library", LIBRARIES)
class TestEach:
    def test_calls_of_threads_and_of_greenlets_are_served_side_by_side(
        self, workplace: Workplace, library: str, order: str
    ) -> None:
        assert told(workplace, LIBRARIES[library] + ORDERS[order] + SERVED) == "served\n"
        assert workplace.slots() == []

    def test_other_greenlets_run_while_one_waits_for_a_submitted_call(
        self, workplace: Workplace, library: str, order: str
    ) -> None:
        workplace.sandbox.fault(match={"operation": "borrow_license"}, do={"before": {"delay": {"fixed_ms": 500}}})
        assert told(workplace, LIBRARIES[library] + ORDERS[order] + POLLED) == "others had turns\n"

    def test_threads_and_locks_are_the_interpreters_own(self, workplace: Workplace, library: str, order: str) -> None:
        assert told(workplace, LIBRARIES[library] + ORDERS[order] + REAL) == "a thread\n"
