from __future__ import annotations

import gc
import importlib.metadata
import weakref
from datetime import timedelta

import pytest
from floatlease import Client, DeviceError, FloatLeaseError, LocalError, NetworkError, Status
from floatlease.sandbox import Sandbox

pytest_plugins = ["pytester"]


def test_it_serves_a_client_and_ends_with_its_with() -> None:
    with Sandbox(rate=0) as sandbox:
        assert sandbox.info["client_config"]["product"] == "CAD-PRO"
        client = Client(sandbox.client_config(hardware_id="my-desk", timeout_ms=500))
        with pytest.raises(DeviceError):
            client.check_license()
        assert sandbox.control("GET /clock")["rate"] == 0
    with pytest.raises(NetworkError):
        client.check_license()
    with pytest.raises(FloatLeaseError) as caught:
        sandbox.control("GET /clock")
    assert caught.value.status == Status.HANDLE
    sandbox.stop()


def test_options_are_a_dict_or_names_and_a_wrong_one_is_named() -> None:
    for sandbox in (Sandbox({"now": "2028-02-29", "rate": 0}), Sandbox(now="2028-02-29", rate=0)):
        with sandbox:
            assert sandbox.control("GET /clock")["now"] == "2028-02-29T00:00:00.000Z"
    with pytest.raises(LocalError, match="rat"):
        Sandbox({"rat": 0})  # type: ignore[arg-type]


def test_time_passes_for_the_server_and_for_the_clients_that_are_named() -> None:
    with Sandbox(rate=0) as sandbox, Client(sandbox.client_config()) as near, Client(sandbox.client_config()) as far:
        near.activate_license()
        before = sandbox.control("GET /clock")["now"]
        leases = near.acquire_lease(feature="MESH"), far.acquire_lease(feature="SOLVER")
        sandbox.control("POST /faults/profile", {"profile": "outage"})
        answer = sandbox.advance("1h 5m", near)
        assert {event["event"] for event in answer["happened"]} == {"slot_expired"}
        sandbox.advance(timedelta(milliseconds=1))
        assert leases[0].remaining_ms == 0
        assert leases[1].remaining_ms > 0
        sandbox.advance(timedelta(minutes=40), near, far)
        assert leases[1].remaining_ms == 0
        assert sandbox.control("GET /clock")["now"] > before
        with pytest.raises(LocalError, match="invalid duration"):
            sandbox.advance("121")
        sandbox.control("DELETE /faults")


def test_faults_are_a_dict_or_names() -> None:
    with Sandbox(rate=0) as sandbox, Client(sandbox.client_config()) as client:
        client.activate_license()
        assert sandbox.fault(do={"before": {"code": "license_expired"}}, when={"times": 1})["id"] == 1
        sandbox.fault({"do": {"before": "html_page"}, "match": {"operation": "release_license"}})
        with pytest.raises(FloatLeaseError, match="LICENSE_EXPIRED"):
            client.check_license()
        with pytest.raises(FloatLeaseError, match="REPLY_NOT_API"):
            client.release_license()
        with pytest.raises(LocalError) as caught:
            sandbox.fault(do={"before": "nonsense"})
        assert caught.value.status == Status.SANDBOX


def test_one_that_is_dropped_is_stopped() -> None:
    sandbox = Sandbox()
    gone, config = weakref.ref(sandbox), sandbox.client_config(timeout_ms=500)
    del sandbox
    gc.collect()
    assert gone() is None
    with Client(config) as client, pytest.raises(NetworkError):
        client.check_license()


def test_the_fixture_gives_each_test_a_sandbox_of_its_own(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest
        from floatlease import Client

        seen = []

        @pytest.mark.parametrize("number", [1, 2])
        def test_each(floatlease_sandbox, number):
            with Client(floatlease_sandbox.client_config()) as client:
                client.activate_license()
                client.check_license()
            assert len(floatlease_sandbox.control("GET /slots")["slots"]) == 1
            assert floatlease_sandbox.control("GET /clock")["rate"] == 0
            assert floatlease_sandbox not in seen
            seen.append(floatlease_sandbox)

        class TestLater:
            @pytest.fixture
            def floatlease_sandbox_options(self):
                return {"now": "2028-02-29T00:00:00Z", "rate": 0}

            def test_now(self, floatlease_sandbox):
                assert floatlease_sandbox.control("GET /clock")["now"].startswith("2028-02-29")

        def test_a_server_that_is_gone(floatlease_sandbox):
            assert not floatlease_sandbox.is_stopped
            floatlease_sandbox.stop()
            assert floatlease_sandbox.is_stopped

        def test_what_must_never_be(floatlease_sandbox):
            control = floatlease_sandbox.control
            floatlease_sandbox.control = lambda call: {**control(call), "ok": False, "violations": ["three of two"]}
        """
    )
    result = pytester.runpytest(*named(), "-p", "no:cacheprovider")
    result.assert_outcomes(passed=5, errors=1)
    result.stdout.fnmatch_lines(["*in a state that must never be: *three of two*"])


def named() -> list[str]:
    """An installed wheel says itself that it has a plugin."""
    names = [plugin.metadata["Name"] for plugin in importlib.metadata.distributions()]
    return [] if "floatlease" in names else ["-p", "floatlease_pytest"]


def test_pytest_starts_where_the_library_is_missing_and_only_who_asks_for_a_sandbox_fails(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLOATLEASE_LIBRARY", "/nowhere/libfloatlease.so")
    pytester.makepyfile(
        """
        def test_of_something_else():
            pass

        def test_of_a_license(floatlease_sandbox):
            pass
        """
    )
    result = pytester.runpytest_subprocess(*named(), "-p", "no:cacheprovider")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*ImportError: *could not be loaded*", "*/nowhere/libfloatlease.so*"])


def test_a_time_that_is_longer_than_32_bits_of_milliseconds_passes_too_and_none_passes_backwards() -> None:
    with Sandbox(rate=0) as sandbox, Client(sandbox.client_config()) as client:
        client.activate_license()
        for by in (timedelta(milliseconds=2**32), timedelta(days=60)):
            lease = client.acquire_lease(keep_alive="host")
            assert lease.remaining_ms > 0
            sandbox.advance(by, client)
            assert lease.remaining_ms == 0
            lease.close()
        lease = client.acquire_lease(keep_alive="host")
        with pytest.raises(ValueError, match="can't be put back"):
            client.advance_clock(-1)
        assert lease.remaining_ms > 0
