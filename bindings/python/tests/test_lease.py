from __future__ import annotations

import gc
import sys
import threading
import weakref
from pathlib import Path
from typing import Any

import floatlease._client
import pytest
from conftest import Workplace, soon
from floatlease import Client, LeaseState, NetworkError, Status, UsageError
from floatlease._calls import MAX_UNREAD_EVENTS


class WorkError(Exception):
    """The body's own."""


def test_a_lease_is_held_inside_of_its_with_and_given_back_at_its_end(workplace: Workplace) -> None:
    with workplace.client.acquire_lease(features=["MESH", "SOLVER"], activate=True, tag="main window") as lease:
        assert sorted(workplace.slots()) == ["MESH", "SOLVER"]
        assert (lease.info()["features"], lease.info()["tag"]) == (["MESH", "SOLVER"], "main window")
        assert (lease.state, lease.is_licensed) == (LeaseState.ACTIVE, True)
        assert 30 * 60_000 < lease.remaining_ms <= 35 * 60_000
        assert lease.info()["lease"] == lease.number
        assert [slot["feature"] for slot in lease.info()["slots"]] == ["MESH", "SOLVER"]
        assert repr(lease) == f"<floatlease.Lease {lease.number} ACTIVE>"
    assert workplace.slots() == []
    assert (lease.state, lease.is_licensed, lease.remaining_ms) == (LeaseState.NONE, False, 0)
    for call in (lease.info, lease.renew, lease.borrow, lease.release):
        with pytest.raises(UsageError) as caught:
            call()
        assert caught.value.status == Status.HANDLE
    lease.close()


@pytest.mark.parametrize("server", ["answers", "hangs", "is gone"])
def test_the_bodys_exception_comes_through_whatever_the_server_does(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch, server: str
) -> None:
    monkeypatch.setattr(floatlease._client, "WITH_RELEASE_MS", 300)
    with pytest.raises(WorkError), workplace.client.acquire_lease():
        if server == "hangs":
            workplace.hang()
        elif server == "is gone":
            workplace.sandbox.stop()
        raise WorkError
    if server == "answers":
        assert workplace.slots() == []


def test_a_with_whose_server_is_silent_ends_within_its_time_and_says_nothing(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(floatlease._client, "WITH_RELEASE_MS", 300)
    with workplace.client, workplace.client.acquire_lease() as lease:
        workplace.hang()
    assert lease.state is LeaseState.NONE


def test_what_is_borrowed_stays_borrowed_after_the_with(workplace: Workplace, tmp_path: Path) -> None:
    config = {**workplace.config, "storage_dir": tmp_path}
    with Client(config) as client, client.acquire_lease() as lease:  # type: ignore[arg-type]
        assert lease.borrow()["state"] == "BORROWED"
    assert workplace.slots() == [None]
    with Client(config, base_url="http://127.0.0.1:9/api/v4") as client, client.acquire_lease() as lease:  # type: ignore[arg-type]
        assert lease.state is LeaseState.BORROWED
    with Client(config) as client:  # type: ignore[arg-type]
        lease = client.acquire_lease()
        assert lease.state is LeaseState.BORROWED
        assert lease.release()["state"] == "RELEASED"
        assert "RELEASED" in repr(lease)
        with pytest.raises(UsageError) as caught:
            lease.renew()
        assert caught.value.status == Status.LEASE_OVER


def test_the_end_of_a_clients_with_gives_back_what_its_leases_hold(workplace: Workplace) -> None:
    with Client(workplace.config) as client:
        leases = [client.acquire_lease(), client.acquire_lease(feature="MESH")]
        assert len(workplace.slots()) == 2
    assert workplace.slots() == []
    assert [lease.state for lease in leases] == [LeaseState.RELEASED] * 2 or leases[0].state is LeaseState.NONE


def test_another_thread_may_do_it_all(workplace: Workplace) -> None:
    told: list[Any] = []

    def work() -> None:
        with Client(workplace.config) as client, client.acquire_lease(feature="MESH") as lease:
            told.append(lease.renew()["state"])
            with pytest.raises(UsageError, match="storage_dir"):
                lease.borrow("2030-01-01")
            told.append(lease.release()["state"])

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert told == ["ACTIVE", "RELEASED"]


def test_an_outage_is_told_from_beginning_to_end(workplace: Workplace) -> None:
    with workplace.client.acquire_lease(grace_ms=300_000) as lease:
        workplace.sandbox.control("POST /faults/profile", {"profile": "outage"})
        # A renewal comes after 48 to 72 minutes.
        workplace.sandbox.advance("75m", workplace.client)
        event = workplace.client.next_event(20_000)
        assert event is not None
        assert (event["event"], event["lease"], event["state"]) == ("DEGRADED", lease.number, "DEGRADED")
        assert lease.state is LeaseState.DEGRADED
        for minutes, name, licensed in ((46, "GRACE_STARTED", True), (5, "LOST", False)):
            workplace.sandbox.advance(f"{minutes}m", workplace.client)
            event = workplace.client.next_event(20_000)
            assert event is not None
            assert event["event"] == name
            assert lease.is_licensed is licensed
        workplace.sandbox.control("DELETE /faults")
        assert lease.renew()["state"] == "ACTIVE"
        event = workplace.client.next_event(20_000)
        assert event is not None
        assert event["event"] == "REGAINED"
        # The library's own thread may have asked at the same moment, before this renewal and after it.
        while (event := workplace.client.next_event(10)) is not None:
            assert event["event"] == "RENEWED"


def test_a_host_may_keep_it_alive(workplace: Workplace) -> None:
    with workplace.client.acquire_lease(keep_alive="host") as lease:
        workplace.sandbox.advance("119m", workplace.client)
        assert lease.info()["renews_in_ms"] == 0
        assert lease.renew()["renews_in_ms"] != 0
        workplace.sandbox.advance("121m", workplace.client)
        assert [workplace.client.next_event(), workplace.client.next_event()] != [None, None]
        assert lease.state is LeaseState.GRACE


def test_a_lease_that_is_dropped_is_given_back_and_so_is_a_client(workplace: Workplace) -> None:
    gc.disable()
    try:
        lease = workplace.client.acquire_lease()
        gone = weakref.ref(lease)
        del lease
        assert gone() is None, "a cycle keeps it"
        soon(lambda: workplace.slots() == [])

        client = Client(workplace.config)
        lease = client.acquire_lease()
        session = weakref.ref(client._session)
        del client
        assert lease.state is LeaseState.ACTIVE, "a lease keeps its client"
        assert session() is not None
        del lease
        assert session() is None, "a cycle keeps it"
        soon(lambda: workplace.slots() == [])
    finally:
        gc.enable()


def test_a_cycle_of_leases_and_clients_is_collected_in_any_order(workplace: Workplace) -> None:
    for _ in range(20):
        holder: dict[str, Any] = {"client": Client(workplace.config)}
        holder["lease"], holder["self"] = holder["client"].acquire_lease(), holder
        del holder
    gc.collect()
    soon(lambda: workplace.slots() == [])


def test_a_state_that_is_newer_than_the_package_is_no_hindrance() -> None:
    assert LeaseState(9).name == "STATE_9"
    assert LeaseState(9) == 9
    assert LeaseState(1) is LeaseState.ACTIVE


def test_who_reads_a_state_in_every_frame_does_not_let_threads_in_that_compute(workplace: Workplace) -> None:
    lease, interval = workplace.client.acquire_lease(), sys.getswitchinterval()
    turns = [threading.Lock() for _ in range(4)]
    ready: list[Any] = []
    ran: list[Any] = []

    def compute(turn: Any) -> None:
        ready.append(turn)
        with turn:
            ran.append(turn)

    for turn in turns:
        turn.acquire()
    threads = [threading.Thread(target=compute, args=(turn,)) for turn in turns]
    for thread in threads:
        thread.start()
    soon(lambda: len(ready) == len(turns))
    # From here on nobody gets the interpreter from this thread, unless it lets go of it.
    sys.setswitchinterval(60)
    try:
        for turn in turns:
            turn.release()
        for _ in range(20_000):
            assert lease.is_licensed
            assert lease.remaining_ms
            assert not workplace.client.events_waiting
        assert ran == []
    finally:
        sys.setswitchinterval(interval)
        for thread in threads:
            thread.join()


def test_events_that_nobody_reads_are_counted(workplace: Workplace) -> None:
    for number in range(MAX_UNREAD_EVENTS + 5):
        workplace.client._session.queue._add_event({"event": "NEWS", "lease": number})
    first = workplace.client.next_event()
    assert first == {"event": "NEWS", "lease": 5, "missed": 5}
    assert workplace.client.next_event() == {"event": "NEWS", "lease": 6}


def test_a_wait_for_events_ends_with_cancel_and_with_close(workplace: Workplace) -> None:
    ended: list[int] = []

    def wait() -> None:
        with pytest.raises((NetworkError, UsageError)) as caught:
            workplace.client.next_event(60_000)
        ended.append(caught.value.status)

    for end, status in ((workplace.client.cancel, Status.CANCELLED), (workplace.client.close, Status.HANDLE)):
        threads = [threading.Thread(target=wait) for _ in range(2)]
        for thread in threads:
            thread.start()
        soon(lambda: workplace.client._session.queue._reader)
        # Again and again: one of the two may only be about to wait.
        while any(thread.is_alive() for thread in threads):
            if workplace.client._session.close.alive:
                end()
            for thread in threads:
                thread.join(0.05)
        assert ended == [status] * 2
        ended.clear()
