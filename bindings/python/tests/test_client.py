from __future__ import annotations

import pickle
import threading
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Callable

import floatlease
import pytest
from conftest import Workplace, soon
from floatlease import (
    AsyncClient,
    Client,
    DeviceError,
    FeatureError,
    FloatLeaseError,
    LicenseError,
    NetworkError,
    Status,
    UsageError,
)
from floatlease._errors import CLASSES, error_from_object, error_from_status
from floatlease._status import CATEGORIES

ADA = {"username": "ada@example.com", "password": "correct-horse"}
ENDS = ("deactivate_license", "deactivate_bundle", "release_license", "release_feature")
"""The verbs that end what they are about, so that they can't be performed again."""

VERBS: list[tuple[str, dict[str, Any], str]] = [
    ("activate_license", {}, "device_id"),
    ("check_license", {}, "floating_in_use_devices"),
    ("borrow_license", {}, "borrowed_until"),
    ("release_license", {}, ""),
    ("check_feature", {"feature": "MESH"}, "floating_in_use_devices"),
    ("borrow_feature", {"feature": "MESH"}, "borrowed_until"),
    ("release_feature", {"feature": "MESH"}, ""),
    ("add_feature_consumption", {"feature": "RENDER-MINUTES", "consumptions": 2}, "total_consumptions"),
    ("product_details", {}, "product_name"),
    ("trial_key", {}, "license"),
    ("versions", {"env": "win64"}, "items"),
    ("installation_file", {"env": "win64"}, "installation_file"),
    ("device_licenses", {}, "items"),
    ("track_device_variables", {"variables": {"room": 12}}, "items"),
    ("get_device_variables", {}, "items"),
    ("activate_bundle", {"product": "SUITE", "hardware_id": "another-desk"}, "items"),
    ("check_bundle", {"product": "SUITE", "hardware_id": "another-desk"}, "items"),
    ("deactivate_bundle", {"product": "SUITE", "hardware_id": "another-desk"}, "message"),
    ("sso_url", {"product": "STUDIO", "customer_account_code": "EXAMPLE"}, "url"),
    ("user_licenses", {"product": "STUDIO", **ADA}, "items"),
    ("change_password", {**ADA, "new_password": "better-horse"}, "message"),
    ("deactivate_license", {}, "message"),
]


def here(work: Callable[[], Any]) -> Any:
    """What it gives on the main thread."""
    return work()


def in_thread(work: Callable[[], Any]) -> Any:
    """What it gives on a thread that is not the main one, where calls take the direct way."""
    found: list[Any] = []

    def run() -> None:
        try:
            found.append(work())
        except BaseException as error:
            found.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if isinstance(found[0], BaseException):
        raise found[0]
    return found[0]


@pytest.mark.parametrize("on", [here, in_thread], ids=["main thread", "another thread"])
def test_every_verb_is_performed_and_so_is_every_name(workplace: Workplace, on: Any) -> None:
    for verb, request, member in VERBS:
        reply = on(lambda verb=verb, request=request: getattr(workplace.client, verb)(**request))
        assert member in reply or not member
        assert workplace.asked(verb) >= 1
        if verb not in ENDS:
            workplace.client.call(verb, request)
    workplace.client.activate_license(license_key="CADP-CONS-UMPT-0100")
    counted = on(lambda: workplace.client.add_consumption(license_key="CADP-CONS-UMPT-0100", consumptions=3))
    assert counted["total_consumptions"] == 3


@pytest.mark.parametrize("on", [here, in_thread], ids=["main thread", "another thread"])
def test_a_failure_is_an_exception_of_its_category_that_carries_all(workplace: Workplace, on: Any) -> None:
    with pytest.raises(DeviceError) as caught:
        on(lambda: workplace.client.check_license(hardware_id="unknown"))
    error = caught.value
    assert error.status is Status.DEVICE_NOT_FOUND
    assert (error.name, error.category, error.outcome) == ("DEVICE_NOT_FOUND", "device", "rejected")
    assert (error.http_status, error.server_code, error.attempts) == (400, "device_not_found", 1)
    assert error.message.startswith("This device is not activated")
    assert error.advice.startswith("Call activate_license first")
    assert error.retryable is False
    assert error.retry_after_ms is None
    assert error.elapsed_ms >= 0
    assert error.json["server_code"] == "device_not_found"
    assert str(error) == f"DEVICE_NOT_FOUND: {error.message} {error.advice}"

    with pytest.raises(UsageError, match='"feture" is not a key'):
        on(lambda: workplace.client.call("check_feature", {"feture": "MESH"}))
    with pytest.raises(UsageError, match='"borow_license" is not an operation') as unknown:
        on(lambda: workplace.client.call("borow_license"))
    assert unknown.value.status == Status.UNKNOWN_OPERATION
    workplace.sandbox.fault(do={"before": {"http": {"status": 429, "retry_after_s": 100}}})
    with pytest.raises(NetworkError) as limited:
        on(lambda: workplace.client.release_license())
    assert (limited.value.retryable, limited.value.retry_after_ms) == (True, 100_000)


def test_an_error_travels_between_processes(workplace: Workplace) -> None:
    with pytest.raises(FloatLeaseError) as caught:
        workplace.client.check_license(hardware_id="unknown")
    error = pickle.loads(pickle.dumps(caught.value))
    assert type(error) is DeviceError
    assert error.json == caught.value.json


def test_each_category_has_a_class_and_an_unknown_one_the_common() -> None:
    assert set(CATEGORIES.values()) - {"ok"} == CLASSES.keys()
    assert len(set(CLASSES.values())) == len(CLASSES)
    error = error_from_object({"status": 777, "name": "NEW", "category": "newer", "more": [1]})
    assert type(error) is FloatLeaseError
    assert (error.status, error.name, error.json["more"], error.outcome) == (777, "NEW", [1], "unknown")
    assert str(error_from_object({})) == "UNKNOWN_STATUS: "
    bare = error_from_status(Status.TOO_MANY_CALLS, None, "TOO_MANY_CALLS")
    assert (type(bare), bare.message, bare.outcome) == (UsageError, "Too many calls.", "not_sent")


def test_a_config_is_a_dict_or_names_or_the_environments(workplace: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    for client in (Client(workplace.config, timeout_ms=1_000), Client(**workplace.config)):
        with client:
            assert client.check_license()["floating_in_use_devices"] == 1
    with pytest.raises(UsageError, match="missing from the config") as missing:
        Client()
    assert missing.value.status == Status.MISSING_KEY
    with pytest.raises(UsageError, match="license_key"):
        Client({**workplace.config, "licence_key": "x"})  # type: ignore[arg-type]

    monkeypatch.delenv("FLOATLEASE_CONFIG", raising=False)
    for kind in (Client, AsyncClient):
        with pytest.raises(LookupError, match="FLOATLEASE_CONFIG is not set"):
            kind.from_environment()
    monkeypatch.setenv("FLOATLEASE_CONFIG", floatlease._json.encoded(workplace.config).decode())
    with Client.from_environment(hardware_id="another-desk") as client, pytest.raises(DeviceError):
        client.check_license()


def test_dates_and_paths_may_be_pythons_own(workplace: Workplace, tmp_path: Path) -> None:
    clock = workplace.sandbox.control("GET /clock")["now"]
    now = datetime.fromisoformat(clock.replace("Z", "+00:00"))
    until = (now + timedelta(hours=3)).astimezone(timezone(timedelta(hours=5, minutes=30)))
    borrowed = workplace.client.borrow_license(borrowed_until=until)["borrowed_until"]
    assert datetime.fromisoformat(borrowed.replace("Z", "+00:00")) == now + timedelta(hours=3)
    mean = datetime(2030, 1, 1, 12, tzinfo=timezone(timedelta(minutes=53, seconds=28)))
    assert floatlease._json.encoded({"at": mean}) == b'{"at": "2030-01-01T11:06:32.000+00:00"}'
    with pytest.raises(ValueError, match="has no time zone"):
        workplace.client.borrow_license(borrowed_until=datetime(2030, 1, 1))
    with pytest.raises(TypeError, match="set has no place in JSON"):
        workplace.client.check_license(extra={"what": set()})
    with pytest.raises(ValueError, match="not JSON compliant"):
        workplace.client.check_license(extra={"what": float("nan")})
    with Client(workplace.config, storage_dir=tmp_path / "Größe") as client, client.acquire_lease():
        assert (tmp_path / "Größe").is_dir()


def test_texts_of_all_scripts_and_numbers_of_all_sizes_arrive(workplace: Workplace) -> None:
    workplace.client.activate_license(hardware_id="机器-ß-\U0001f600", extra={"big": 2**63 - 1})
    workplace.client.check_license(hardware_id="机器-ß-\U0001f600")
    assert workplace.sandbox.control("GET /slots")["slots"][0]["hardware_id"] == "机器-ß-\U0001f600"
    with pytest.raises(UsageError):
        workplace.client.check_license(hardware_id="half of a pair: \ud83d")


def test_a_closed_client_says_so_whatever_it_is_asked(workplace: Workplace) -> None:
    client = workplace.client
    assert repr(client) == "<floatlease.Client open>"
    client.close()
    client.close()
    assert repr(client) == "<floatlease.Client closed>"
    calls: list[Any] = [
        client.check_license,
        client.acquire_lease,
        client.diagnose,
        client.next_event,
        client.release_all,
        client.cancel,
        lambda: client.submit("check_license"),
        lambda: client.advance_clock(1),
        lambda: client.next_event(1_000),
    ]
    for call in calls:
        for on in (here, in_thread):
            with pytest.raises(UsageError) as caught:
                on(call)
            assert caught.value.status == Status.HANDLE
            assert caught.value.message.startswith("The client was closed")
            assert caught.value.advice


def test_a_client_can_not_be_pickled_and_the_error_says_what_to_do(workplace: Workplace) -> None:
    with pytest.raises(TypeError, match="send its config"):
        pickle.dumps(workplace.client)
    with workplace.client.acquire_lease() as lease, pytest.raises(TypeError, match="open a client there"):
        pickle.dumps(lease)


def test_cancel_ends_what_is_under_way_in_the_main_thread_and_in_others(workplace: Workplace) -> None:
    workplace.hang()
    ended: list[int] = []

    def call() -> None:
        with pytest.raises(NetworkError) as caught:
            workplace.client.check_license()
        ended.append(caught.value.status)

    threads = [threading.Thread(target=call) for _ in range(6)]
    for thread in threads:
        thread.start()

    def cancel_when_all_hang() -> None:
        soon(lambda: workplace.asked("check_license") >= 7)
        workplace.client.cancel()

    # All seven at once: from other threads, calls run side by side, however many they are.
    canceller = threading.Thread(target=cancel_when_all_hang)
    canceller.start()
    call()
    for thread in [*threads, canceller]:
        thread.join()
    assert ended == [Status.CANCELLED] * 7


def test_a_call_has_a_deadline_of_its_own(workplace: Workplace) -> None:
    workplace.hang()
    for on in (here, in_thread):
        with pytest.raises(NetworkError) as caught:
            on(lambda: workplace.client.borrow_license(timeout_ms=200))
        assert (caught.value.status, caught.value.outcome) == (Status.TIMEOUT, "unknown")


def test_a_slot_that_is_taken_is_a_license_error_and_a_feature_a_feature_error(workplace: Workplace) -> None:
    for colleague in ("office-1", "office-2"):
        workplace.client.activate_license(hardware_id=colleague)
        workplace.client.check_license(hardware_id=colleague)
    with pytest.raises(LicenseError) as caught:
        workplace.client.check_license()
    assert caught.value.status == Status.FLOATING_NOT_AVAILABLE
    with pytest.raises(FeatureError):
        workplace.client.release_feature(feature="MESH")


def test_a_diagnosis_names_each_step(workplace: Workplace) -> None:
    report = workplace.client.diagnose()
    assert report["ok"] is True
    assert {"hardware_id", "tcp", "signature"} <= {check["check"] for check in report["checks"]}


def test_the_version_is_the_librarys(workplace: Workplace) -> None:
    assert floatlease.__version__ == floatlease.version() == workplace.client.diagnose()["version"]


def test_a_call_waits_no_longer_than_it_must(workplace: Workplace) -> None:
    # Not by slices of the waiting, nor for another thread that waits for events.
    over = threading.Event()

    def listen() -> None:
        while not over.is_set():
            workplace.client.next_event(100)

    listener = threading.Thread(target=listen)
    listener.start()
    began = time.monotonic()
    for _ in range(200):
        workplace.client.product_details()
    took = time.monotonic() - began
    over.set()
    listener.join()
    assert took < 200 * 0.025
