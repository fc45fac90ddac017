from __future__ import annotations

import gc
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import Workplace, posix, soon
from floatlease import AsyncClient, Client, FloatLeaseError, LeaseState, Status, UsageError

BEGIN = """
import asyncio, json, os, sys, threading
from floatlease import AsyncClient, Client
config = json.loads(os.environ["FLOATLEASE_CONFIG"])
"""

ENDS = {
    "a lease of the module": "client = Client(config); lease = client.acquire_lease()",
    "an exit": "client = Client(config); lease = client.acquire_lease(); sys.exit(0)",
    "leases of several clients": """
leases = [Client(config).acquire_lease(feature=feature) for feature in ("MESH", "SOLVER")]
""",
    "a lease that another thread took": """
leases = []
thread = threading.Thread(target=lambda: leases.append(Client(config).acquire_lease()))
thread.start()
thread.join()
""",
    "a thread that waits for ever": """
client = Client(config); lease = client.acquire_lease()
threading.Thread(target=lambda: client.next_event(3_600_000), daemon=True).start()
""",
    "a cycle": """
class Program: pass
program = Program(); program.self = program; program.lease = Client(config).acquire_lease()
""",
    "a submitted acquire whose end nobody has asked for": """
client = Client(config)
client.submit("lease_acquire")
input()
""",
    "one at the end of a with": """
with Client(config) as client:
    call = client.submit("lease_acquire")
    input()
""",
    "a client of asyncio": """
async def main():
    client = AsyncClient(config)
    return await client.acquire_lease()
lease = asyncio.run(main())
""",
    "an atexit of the program, which still works": """
import atexit
client = Client(config); lease = client.acquire_lease()
atexit.register(lambda: client.check_license() and lease.is_licensed or os._exit(1))
""",
}


def start(workplace: Workplace, program: str, *, begin: str = BEGIN, **options: Any) -> subprocess.Popen[str]:
    environment = {**os.environ, "FLOATLEASE_CONFIG": json.dumps(workplace.config)}
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", begin + program],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


@pytest.mark.parametrize("program", ENDS.values(), ids=ENDS)
def test_the_end_of_the_interpreter_gives_back_what_is_held(workplace: Workplace, program: str) -> None:
    # What is given back in the background is too late.
    workplace.sandbox.fault(do={"before": {"delay": {"fixed_ms": 100}}}, match={"operation": "release_license"})
    process = start(workplace, program, stdin=subprocess.PIPE)
    if "input" in program:
        soon(workplace.slots)
    # The reply may be on its way still.
    time.sleep(0.1)
    _, said = process.communicate("\n", timeout=30)
    assert (process.returncode, said) == (0, "")
    assert workplace.slots() == []
    assert workplace.asked("check_license") + workplace.asked("check_feature") >= 1


def test_the_end_gives_leases_back_before_it_stops_their_server(tmp_path: Path) -> None:
    program = """
import pathlib, sys
from floatlease import Client
from floatlease.sandbox import Sandbox
sandbox = Sandbox()
stop = sandbox.stop
def stop_and_tell():
    pathlib.Path(sys.argv[1]).write_text(str(sandbox.control("GET /slots")["slots"]))
    stop()
sandbox.stop = stop_and_tell
client = Client(sandbox.client_config())
client.activate_license()
lease = client.acquire_lease()
"""
    told = tmp_path / "slots"
    subprocess.run([sys.executable, "-c", program, str(told)], check=True)
    assert told.read_text() == "[]"


def test_the_end_waits_for_a_slow_server(workplace: Workplace) -> None:
    workplace.sandbox.fault(do={"before": {"delay": {"fixed_ms": 500}}}, match={"operation": "release_license"})
    process = start(workplace, "lease = Client(config).acquire_lease()")
    assert process.wait(30) == 0
    assert workplace.slots() == []


def test_an_uncaught_exception_gives_it_back_too(workplace: Workplace) -> None:
    process = start(workplace, "lease = Client(config).acquire_lease(); 1 / 0")
    _, said = process.communicate(timeout=30)
    assert process.returncode == 1
    assert said.count("Traceback") == 1
    assert workplace.slots() == []


def test_an_end_with_a_silent_server_is_not_held_up_for_long(workplace: Workplace) -> None:
    process = start(
        workplace, "lease = Client(config).acquire_lease(); print('held', flush=True); input()", stdin=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    workplace.hang()
    began = time.monotonic()
    _, said = process.communicate("\n", timeout=30)
    assert (process.returncode, said) == (0, "")
    # Two seconds; its calls have a minute.
    assert time.monotonic() - began < 20


@posix
def test_ctrl_c_ends_a_program_that_waits_and_gives_its_slot_back(workplace: Workplace) -> None:
    program = (
        "client = Client(config); lease = client.acquire_lease(); print('held', flush=True); client.borrow_license()"
    )
    workplace.hang("borrow_license")
    process = start(workplace, program)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == -signal.SIGINT
    assert said.endswith("KeyboardInterrupt\n")
    assert workplace.slots() == []


def in_child(work: Any) -> None:
    """Runs it in a forked child, which ends as an interpreter does that comes to its end."""
    process = os.fork()
    if process == 0:
        code = 1
        try:
            work()
            gc.collect()
            code = 0
        except BaseException as error:
            print(repr(error), file=sys.stderr)
        finally:
            import atexit

            atexit._run_exitfuncs()
            os._exit(code)
    assert os.waitpid(process, 0)[1] == 0


@posix
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_has_nothing_and_takes_nothing(workplace: Workplace) -> None:
    client, lease, call = workplace.client, workplace.client.acquire_lease(), workplace.client.submit("check_license")
    client._session.queue._add_event({"event": "NEWS", "lease": 1})
    asking: list[Any] = [client.check_license, client.acquire_lease, client.diagnose, client.cancel, client.next_event]
    asking += [client.release_all, lambda: client.submit("check_license"), lambda: client.next_event(60_000)]
    asking += [lambda: client.advance_clock(1), lease.info, lease.renew, lease.release, lease.borrow]

    def work() -> None:
        nonlocal client, lease, asking
        assert (lease.state, lease.is_licensed, lease.remaining_ms) == (LeaseState.NONE, False, 0)
        for ask in asking:
            try:
                ask()
                raise AssertionError(ask)
            except UsageError as error:
                assert error.status == Status.FORKED, error
        with lease, client:
            pass
        client.close(release_within_ms=20_000)
        assert client.events_waiting == 0
        own = Client(workplace.config, hardware_id="child")
        own.activate_license()
        with own.acquire_lease() as mine:
            assert mine.is_licensed
        del client, lease, asking, mine, own

    in_child(work)
    assert lease.is_licensed
    assert call.result()["floating_in_use_devices"] == 1
    assert workplace.slots() == [None]
    lease.release()
    assert workplace.slots() == []


@posix
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_fork_in_the_middle_of_everything_hangs_nobody(workplace: Workplace) -> None:
    import asyncio
    import threading

    over = threading.Event()

    def work() -> None:
        while not over.is_set():
            workplace.client.submit("product_details").result()

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()

    async def main() -> None:
        async with AsyncClient(workplace.config) as client, client.acquire_lease() as lease:

            def child() -> None:
                assert lease.state is LeaseState.NONE
                for ask in (workplace.client.check_license, lambda: client.submit("check_license")):
                    with pytest.raises(FloatLeaseError):
                        ask()

            for _ in range(10):
                await client.product_details()
                in_child(child)
            assert lease.is_licensed

    asyncio.run(main())
    over.set()
    for thread in threads:
        thread.join()


@posix
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_waits_for_no_lock_and_no_thread_of_its_parent(workplace: Workplace) -> None:
    import asyncio
    import threading

    workplace.hang("borrow_license")
    client, done = workplace.client, workplace.client.submit("product_details")
    done.result()
    call, queue, held, over = (
        client.submit("borrow_license"),
        client._session.queue,
        threading.Event(),
        threading.Event(),
    )

    def hold() -> None:
        with queue._lock:
            queue._reader = threading.get_ident()
            held.set()
            over.wait()
            queue._reader = None

    async def listen() -> None:
        dead = AsyncClient(workplace.config)
        dead._session = client._session
        await dead.events().__anext__()

    asking: list[Any] = [call.result, call.done, lambda: call.result(60_000), client.cancel, client.next_event]
    asking += [lambda: asyncio.run(listen()), client.check_license]

    def work() -> None:
        signal.alarm(30)
        assert (done.done(), done.result()["short_code"], call.cancel()) == (True, "CAD-PRO", False)
        for ask in asking:
            with pytest.raises(UsageError) as caught:
                ask()
            assert caught.value.status == Status.FORKED
        with client:
            pass

    holding = threading.Thread(target=hold)
    holding.start()
    held.wait()
    in_child(work)
    over.set()
    holding.join()


def hold_in_worker(config: Any, device: str) -> str:
    """What a worker of a pool does: a client of its own."""
    with Client(config, hardware_id=device) as client:
        client.activate_license()
        with client.acquire_lease() as lease:
            return lease.state.name


def refuse_in_worker(config: Any) -> None:
    with Client(config, hardware_id="unknown") as client:
        client.acquire_lease()


@pytest.mark.parametrize("how", ["fork", "spawn"])
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_multiprocessing_works(workplace: Workplace, how: str) -> None:
    if how not in multiprocessing.get_all_start_methods():
        pytest.skip("a system without it")
    with workplace.client.acquire_lease() as lease:
        with multiprocessing.get_context(how).Pool(2) as pool:
            states = pool.starmap(hold_in_worker, [(workplace.config, "worker")] * 6, chunksize=1)
            with pytest.raises(FloatLeaseError, match="DEVICE_NOT_FOUND") as caught:
                pool.apply(refuse_in_worker, (workplace.config,))
            pool.close()
            pool.join()
        assert states == ["ACTIVE"] * 6
        assert caught.value.status == Status.DEVICE_NOT_FOUND
        assert lease.is_licensed
        assert workplace.slots() == [None]


SHORTAGE = """
import resource

async def main():
    async with AsyncClient(config) as client:
        # An ordinary user, whose processes and threads are counted. All modules are imported by now.
        if os.getuid() == 0:
            os.setgroups([]), os.setgid(65534), os.setuid(65534)
        soft, hard = resource.getrlimit(resource.RLIMIT_NPROC)
        resource.setrlimit(resource.RLIMIT_NPROC, (1, hard))
        for ask in (client.product_details, client.acquire_lease, client.check_license):
            try:
                await asyncio.wait_for(ask(), 20)
                print("performed")
            except RuntimeError as error:
                print(str(error).partition(":")[0])
        resource.setrlimit(resource.RLIMIT_NPROC, (soft, hard))
        async with client.acquire_lease() as lease:
            print(lease.state.name)

asyncio.run(asyncio.wait_for(main(), 60))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere RLIMIT_NPROC does not count threads")
def test_a_user_who_may_have_no_more_threads_is_told_so_and_served_later(workplace: Workplace) -> None:
    process = start(workplace, SHORTAGE)
    told, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (0, "")
    assert told.splitlines() == ["can't start new thread"] * 3 + ["ACTIVE"]
    assert workplace.slots() == []
