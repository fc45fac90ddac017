"""A client and a lease, for programs whose calls wait."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from ctypes import byref, c_void_p
from typing import TYPE_CHECKING, Any, NoReturn, cast

from ._calls import Call, refusal
from ._json import encoded
from ._lease import HeldLease, LeaseState
from ._replies import Borrowed, Consumed, Event, Feature, LeaseInfo, License, Report, Synced
from ._session import LEAVE_MS, Session, as_it_came, give_back, settle

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self, Unpack

    from ._requests import (
        ActivateRequest,
        BorrowFeatureRequest,
        BorrowRequest,
        ChangeRequest,
        CheckFeatureRequest,
        CheckRequest,
        Config,
        ConsumptionRequest,
        Date,
        DeactivateRequest,
        FeatureConsumptionRequest,
        FeatureRequest,
        LeaseRequest,
        ProductRequest,
        Request,
    )

MOST_MS = 2**32 - 1


def config_of_environment() -> dict[str, Any]:
    """What FLOATLEASE_CONFIG holds, as `floatlease-server exec` sets it."""
    text = os.environ.get("FLOATLEASE_CONFIG")
    if not text:
        raise LookupError(
            "FLOATLEASE_CONFIG is not set. It holds a client's config as one JSON object; "
            "`floatlease-server exec -- COMMAND` runs a command with one."
        )
    config: dict[str, Any] = json.loads(text)
    return config


class AnyClient:
    """What a client is, whether its calls wait or are awaited. It never waits itself."""

    def __init__(self, config: Config | None = None, /, **more: Unpack[Config]) -> None:
        self._session = Session({**(config or {}), **more})

    @classmethod
    def from_environment(cls, **changes: Unpack[Config]) -> Self:
        """A client of the config in the environment variable FLOATLEASE_CONFIG, with some of it changed."""
        return cls(cast("Config", config_of_environment()), **changes)

    def __repr__(self) -> str:
        return f"<floatlease.{type(self).__name__} {'open' if self._session.close.alive else 'closed'}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a client can't be sent to another process; send its config, and open one there")

    def submit(self, operation: str, request: Mapping[str, Any] | None = None) -> Call[Any]:
        """Has any operation that `call` knows done in the background, or `"lease_acquire"`, whose result is a lease.

        Returns at once: for a game, which draws a frame meanwhile, and asks `done()` in the next. Up to four are done
        at the same time.
        """
        if operation == "lease_acquire":
            return self._session.submit(operation, request or {}, self._accepted)
        return self._session.submit(operation, request or {}, as_it_came)

    def cancel(self) -> None:
        """Ends every call that is under way, from another thread. Leases go on."""
        if not self._session.inherited:
            self._session.mailbox.cancel_all()
        self._expect_ok(self._session.library.dll.floatlease_client_cancel(self._session.handle))

    def advance_clock(self, by_ms: int) -> None:
        """Puts the clock of this client's leases ahead, as a sleep of the machine would. For tests."""
        if by_ms < 0:
            raise ValueError("a clock can't be put back")
        # ctypes cuts off what the library's 32 bits don't hold, and says nothing.
        for part in (*[MOST_MS] * (by_ms // MOST_MS), by_ms % MOST_MS):
            self._expect_ok(self._session.library.dll.floatlease_client_advance_clock(self._session.handle, part))

    def close(self) -> None:
        """Ends it and all of its leases. Waits for nothing.

        What they held is given back in the background, if the process lives so long; what is borrowed stays borrowed.
        The end of a `with` waits until it is given back.
        """
        self._session.close()

    def _accepted(self, call: Call[Any], info: dict[str, Any]) -> HeldLease:
        raise NotImplementedError

    def _expect_ok(self, status: int) -> None:
        if status:
            raise refusal(self._session.library, self._session.handle, status)


class Client(AnyClient):
    """One product, one device, one server.

        with Client(product="XY", license_key="…", api_key="…", shared_key="…") as client, client.lease() as lease:
            ...

    The keys of the config are those of `Config`; they may also be given as one dict. Opening it touches no network. Use
    it from any thread. Every call has a deadline, `timeout_ms`, and Ctrl-C ends one in the main thread at once; each
    raises a `FloatLeaseError` when it fails. Replies are the server's, as they came.

    The end of a `with` gives back what leases of this client hold, and waits for it, for 5 seconds at most. What is
    still held when the interpreter ends is given back too, within 2 seconds. A client that is just dropped closes
    itself, and gives back in the background, which ends with the process.
    """

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            give_back([self._session], LEAVE_MS)
        finally:
            self.close()

    def activate_license(self, **request: Unpack[ActivateRequest]) -> License:
        """Makes this device known to the license. Takes no slot. Must precede everything below, once."""
        return cast("License", self._session.call("activate_license", request))

    def check_license(self, **request: Unpack[CheckRequest]) -> License:
        """Asks how the license stands; on a floating one this takes the device's slot, or renews it."""
        return cast("License", self._session.call("check_license", request))

    def deactivate_license(self, **request: Unpack[DeactivateRequest]) -> dict[str, Any]:
        """Makes the license forget this device; all its slots are free."""
        return self._session.call("deactivate_license", request)

    def borrow_license(self, **request: Unpack[BorrowRequest]) -> Borrowed:
        """Makes the slot this device's until a date, with or without a network."""
        return cast("Borrowed", self._session.call("borrow_license", request))

    def release_license(self, **request: Unpack[ChangeRequest]) -> dict[str, Any]:
        """Gives the license's slot back, borrowed or not."""
        return self._session.call("release_license", request)

    def check_feature(self, **request: Unpack[CheckFeatureRequest]) -> Feature:
        """Asks how a feature stands; if it floats, this takes the device's slot of it, or renews it."""
        return cast("Feature", self._session.call("check_feature", request))

    def borrow_feature(self, **request: Unpack[BorrowFeatureRequest]) -> Borrowed:
        """Borrows a feature whose slot this device holds already."""
        return cast("Borrowed", self._session.call("borrow_feature", request))

    def release_feature(self, **request: Unpack[FeatureRequest]) -> dict[str, Any]:
        """Gives a feature's slot back, borrowed or not."""
        return self._session.call("release_feature", request)

    def add_consumption(self, **request: Unpack[ConsumptionRequest]) -> Consumed:
        """Books consumptions on a license: all of them or none."""
        return cast("Consumed", self._session.call("add_consumption", request))

    def add_feature_consumption(self, **request: Unpack[FeatureConsumptionRequest]) -> Consumed:
        """Books consumptions on a feature: all of them or none."""
        return cast("Consumed", self._session.call("add_feature_consumption", request))

    def product_details(self, **request: Unpack[ProductRequest]) -> dict[str, Any]:
        """Describes the product."""
        return self._session.call("product_details", request)

    def sync_consumptions(self, **request: Unpack[Request]) -> Synced:
        """Books what waits since the server could not be reached."""
        return cast("Synced", self._session.call("sync_consumptions", request))

    def call(self, operation: str, request: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Any of the above by name."""
        return self._session.call(operation, request or {})

    def diagnose(self) -> Report:
        """Tries each step from here to the server's signature, and tells how it went. Ctrl-C waits for it."""
        return cast("Report", json.loads(self._session.invoke("floatlease_client_diagnose", self._session.handle)))

    def lease(self, **request: Unpack[LeaseRequest]) -> Lease:
        """Takes a slot, or several features all or none, and keeps them: renews in time, comes back when it can.

        The device must be known: a `DeviceError` with `Status.DEVICE_NOT_FOUND` asks for `activate_license`, once.
        """

        def directly() -> Lease:
            handle, session = c_void_p(), self._session
            text = session.invoke("floatlease_lease_acquire", session.handle, encoded(request), byref(handle))
            return Lease(session, handle.value or 0, json.loads(text))

        return self._session.perform("lease_acquire", request, self._accepted, directly)

    def next_event(self, wait_ms: int = 0) -> Event | None:
        """The oldest thing that happened to a lease by itself and was not read yet; waits for one so long at most.

        while event := client.next_event():
            ...
        """
        return cast("Event | None", self._session.next_event(wait_ms))

    def _accepted(self, call: Call[Any], info: dict[str, Any]) -> Lease:
        return Lease(self._session, self._session.accepted(call), info)


class Lease(HeldLease):
    """A slot, or several, that the library keeps for this program; `Client.lease` makes it.

    The end of a `with` gives it back and waits for the server, for 5 seconds at most; it never raises, so the body's
    own exception comes through, and what can't be given back is left to time. What is borrowed stays borrowed.
    """

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            settle(self._session.begin_release([self], LEAVE_MS), LEAVE_MS)
        finally:
            self.close()

    def renew(self) -> LeaseInfo:
        """Renews it now, whoever keeps it alive."""
        return self._do("lease_renew", {})

    def borrow(self, borrowed_until: Date = None, *, timeout_ms: int | None = None) -> LeaseInfo:
        """Makes its slots this machine's until a date, None: as long as the license allows. Needs `storage_dir`."""
        request = {"borrowed_until": borrowed_until, "timeout_ms": timeout_ms}
        return self._do("lease_borrow", request, encoded(request))

    def release(self) -> LeaseInfo:
        """Gives it back, borrowed or not, and waits for the server."""
        return self._do("lease_release", {})

    def _do(self, operation: str, request: dict[str, Any], *arguments: bytes) -> LeaseInfo:
        def directly() -> dict[str, Any]:
            text = self._session.invoke(f"floatlease_{operation}", self._handle, *arguments)
            info: dict[str, Any] = json.loads(text)
            return info

        if not self._free.alive:
            # Of a closed one the number says nothing, the handle says it.
            return cast("LeaseInfo", directly())
        submitted = {**request, "lease": self.number}
        return cast("LeaseInfo", self._session.perform(operation, submitted, as_it_came, directly))


__all__ = ["Client", "Lease", "LeaseState"]
