"""The client and the lease of programs whose calls wait."""

from __future__ import annotations

import json
import operator
from collections.abc import Mapping
from ctypes import byref, c_void_p
from typing import TYPE_CHECKING, Any, cast

from ._base import MAX_UINT32, ClientBase, LeaseBase
from ._calls import Call
from ._json import encoded
from ._replies import (
    BorrowReply,
    ConsumptionReply,
    DeviceVariablesReply,
    DiagnoseReport,
    Event,
    FeatureReply,
    InstallationFileReply,
    LeaseInfo,
    LicenseReply,
    LicensesReply,
    MessageReply,
    ProductReply,
    ReleaseAllReply,
    SyncReply,
    TrialReply,
    VersionsReply,
)
from ._session import WITH_RELEASE_MS, release_all, unchanged, wait_for_calls
from ._user_replies import SsoUrlReply, UserLicensesReply

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
        ConsumptionRequest,
        Date,
        DeactivateRequest,
        FeatureConsumptionRequest,
        FeatureRequest,
        InstallationFileRequest,
        LeaseRequest,
        PasswordRequest,
        ProductRequest,
        Request,
        SsoUrlRequest,
        TrackVariablesRequest,
        TrialRequest,
        VersionsRequest,
    )


class Client(ClientBase):
    """A client: one product, one device, one server.

        with Client(product="XY", license_key="…", api_key="…", shared_key="…") as client:
            with client.acquire_lease() as lease:
                ...

    The config is given as keywords, which `Config` lists, or as one dict. Opening a client touches no network. Any
    thread may use it. Each call waits for the server, at most for its deadline `timeout_ms`; Ctrl-C in the main thread
    cancels it at once. A call that fails raises a `FloatLeaseError`. Replies are the server's, unchanged.

    The end of a `with` gives back the leases of this client, and waits for that for 5 seconds at most. The end of the
    interpreter gives back what is still held, within 2 seconds. A client that is only dropped closes itself; its slots
    are given back in the background, which ends with the process.
    """

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            release_all([self._session], WITH_RELEASE_MS)
        finally:
            self.close()

    def activate_license(self, **request: Unpack[ActivateRequest]) -> LicenseReply:
        """Makes this device known to the license. It takes no slot.

        Call it once on each machine, before all other operations; until then they fail with `Status.DEVICE_NOT_FOUND`.
        """
        return cast("LicenseReply", self._session.call("activate_license", request))

    def check_license(self, **request: Unpack[CheckRequest]) -> LicenseReply:
        """Asks the server about the license. On a floating license this takes this device's slot, or renews it.

        Raises a `LicenseError` with `Status.FLOATING_NOT_AVAILABLE` if no slot is free.
        """
        return cast("LicenseReply", self._session.call("check_license", request))

    def deactivate_license(self, **request: Unpack[DeactivateRequest]) -> MessageReply:
        """Makes the license forget this device. The server frees all its slots, borrowed ones too."""
        return cast("MessageReply", self._session.call("deactivate_license", request))

    def borrow_license(self, **request: Unpack[BorrowRequest]) -> BorrowReply:
        """Borrows the license: its slot is this device's until a date, with or without a network.

        It takes a slot if the device holds none. Borrowing again moves the date. `Lease.borrow` also keeps the proof
        that a start without a network needs.
        """
        return cast("BorrowReply", self._session.call("borrow_license", request))

    def release_license(self, **request: Unpack[ChangeRequest]) -> dict[str, Any]:
        """Gives the license's slot back, borrowed or not.

        Raises a `LicenseError` with `Status.FLOATING_NOT_AVAILABLE` if this device holds none.
        """
        return self._session.call("release_license", request)

    def check_feature(self, **request: Unpack[CheckFeatureRequest]) -> FeatureReply:
        """Asks the server about a feature. If the feature floats, this takes this device's slot of it, or renews it."""
        return cast("FeatureReply", self._session.call("check_feature", request))

    def borrow_feature(self, **request: Unpack[BorrowFeatureRequest]) -> BorrowReply:
        """Borrows a feature whose slot this device holds already; `check_feature` takes the slot."""
        return cast("BorrowReply", self._session.call("borrow_feature", request))

    def release_feature(self, **request: Unpack[FeatureRequest]) -> dict[str, Any]:
        """Gives a feature's slot back, borrowed or not."""
        return self._session.call("release_feature", request)

    def add_consumption(self, **request: Unpack[ConsumptionRequest]) -> ConsumptionReply:
        """Books consumptions on a license of type consumption: all of them or none.

        With `offline="queue"` they are kept on disk while the server can't be reached, and booked later.
        """
        return cast("ConsumptionReply", self._session.call("add_consumption", request))

    def add_feature_consumption(self, **request: Unpack[FeatureConsumptionRequest]) -> ConsumptionReply:
        """Books consumptions on a feature that counts: all of them or none.

        With `offline="queue"` they are kept on disk while the server can't be reached, and booked later.
        """
        return cast("ConsumptionReply", self._session.call("add_feature_consumption", request))

    def product_details(self, **request: Unpack[ProductRequest]) -> ProductReply:
        """Asks the server about the product: its names, its trials, its latest version."""
        return cast("ProductReply", self._session.call("product_details", request))

    def trial_key(self, **request: Unpack[TrialRequest]) -> TrialReply:
        """Gives this device a trial of the product, or returns the one that it has.

        `license` of the reply is the license key.
        """
        return cast("TrialReply", self._session.call("trial_key", request))

    def versions(self, **request: Unpack[VersionsRequest]) -> VersionsReply:
        """Lists the versions of the product that the license includes, the newest first."""
        return cast("VersionsReply", self._session.call("versions", request))

    def installation_file(self, **request: Unpack[InstallationFileRequest]) -> InstallationFileReply:
        """Tells where the file of a version is, by default of the newest."""
        return cast("InstallationFileReply", self._session.call("installation_file", request))

    def device_licenses(self, **request: Unpack[Request]) -> LicensesReply:
        """Lists the licenses that are active on this device."""
        return cast("LicensesReply", self._session.call("device_licenses", request))

    def get_device_variables(self, **request: Unpack[Request]) -> DeviceVariablesReply:
        """Lists the values that the server keeps for this device."""
        return cast("DeviceVariablesReply", self._session.call("get_device_variables", request))

    def track_device_variables(self, **request: Unpack[TrackVariablesRequest]) -> DeviceVariablesReply:
        """Keeps values for this device at the server, and returns them."""
        return cast("DeviceVariablesReply", self._session.call("track_device_variables", request))

    def change_password(self, **request: Unpack[PasswordRequest]) -> MessageReply:
        """Changes the password of the user.

        The config of this client keeps the old password, so open a new client.
        """
        return cast("MessageReply", self._session.call("change_password", request))

    def user_licenses(self, **request: Unpack[Request]) -> UserLicensesReply:
        """Lists the licenses of the product that the user may use. It needs no device and no activation."""
        return cast("UserLicensesReply", self._session.call("user_licenses", request))

    def sso_url(self, **request: Unpack[SsoUrlRequest]) -> SsoUrlReply:
        """Tells where a user of a customer account signs in by single sign-on."""
        return cast("SsoUrlReply", self._session.call("sso_url", request))

    def activate_bundle(self, **request: Unpack[ActivateRequest]) -> LicensesReply:
        """Activates the licenses of a bundle on this device.

        `product` names the bundle, if the config has no `bundle_code`.
        """
        return cast("LicensesReply", self._session.call("activate_bundle", request))

    def check_bundle(self, **request: Unpack[CheckRequest]) -> LicensesReply:
        """Checks the licenses of a bundle. It takes this device's slots of those that float, or renews them."""
        return cast("LicensesReply", self._session.call("check_bundle", request))

    def deactivate_bundle(self, **request: Unpack[DeactivateRequest]) -> MessageReply:
        """Makes the licenses of a bundle forget this device.

        The server frees all its slots of them, borrowed ones too.
        """
        return cast("MessageReply", self._session.call("deactivate_bundle", request))

    def sync_consumptions(self, **request: Unpack[Request]) -> SyncReply:
        """Books the consumptions that are queued because the server could not be reached.

        A server that still can't be reached is no error: `waiting` and `reason` of the reply say so.
        """
        return cast("SyncReply", self._session.call("sync_consumptions", request))

    def call(self, operation: str, request: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Performs an operation by its name, for example `"borrow_license"`, and returns the reply."""
        return self._session.call(operation, request or {})

    def diagnose(self) -> DiagnoseReport:
        """Checks each step from this machine to the server's signature, and returns what it found. It takes no slot.

        Ctrl-C does not cancel it: it ends at its deadline.
        """
        return cast(
            "DiagnoseReport", json.loads(self._session.invoke("floatlease_client_diagnose", self._session.handle))
        )

    def acquire_lease(self, **request: Unpack[LeaseRequest]) -> Lease:
        """Takes a slot, or the slots of several features, and keeps them: the library renews them in time.

        With `activate=True` a device that is new to the license is activated first. Otherwise this raises a
        `DeviceError` with `Status.DEVICE_NOT_FOUND` there. With `wait_ms` it queues while all slots are taken.
        """

        def directly() -> Lease:
            handle, session = c_void_p(), self._session
            text = session.invoke("floatlease_lease_acquire", session.handle, encoded(request), byref(handle))
            return Lease(session, handle.value or 0, json.loads(text))

        return self._session.perform("lease_acquire", request, self._accept_lease, directly)

    def release_all(self, *, timeout_ms: int = WITH_RELEASE_MS) -> ReleaseAllReply:
        """Releases every lease of this client at once, for the end of a program, within `timeout_ms` milliseconds.

        Borrows are kept, and acquires that are under way are cancelled. If the server can't be reached, it tries again
        as long as the time lasts. What could not be released is no error: `left` of the reply tells it. Slots that
        verbs have taken are released by verbs.
        """
        # Also of numpy's integers, which ctypes does not take.
        timeout_ms = operator.index(timeout_ms)

        def directly() -> dict[str, Any]:
            # ctypes silently cuts off what does not fit into the library's 32 bits.
            limit_ms = min(max(timeout_ms, 0), MAX_UINT32)
            text = self._session.invoke("floatlease_client_release_all", self._session.handle, limit_ms)
            reply: dict[str, Any] = json.loads(text)
            return reply

        request = {"timeout_ms": timeout_ms}
        return cast("ReleaseAllReply", self._session.perform("release_all", request, unchanged, directly))

    @property
    def events_waiting(self) -> int:
        """The number of events and of completions of calls that were not read yet. Reading it never waits.

        A game reads it in every frame, because `next_event` returns None while it is 0. With leases of `keep_alive`
        "host" it counts no transition that is due: `next_event` applies the time first.
        """
        return self._session.events_waiting()

    def close(self, *, release_within_ms: int | None = None) -> None:
        """Closes the client and all of its leases. Borrowed slots stay borrowed. Closing twice is allowed.

        With `release_within_ms` it first releases every lease within that time, as `release_all` does, and closes the
        client also if that raises. Otherwise it waits for nothing: the library gives the slots back in the background,
        if the process lives long enough.
        """
        try:
            if release_within_ms is not None and self._session.is_open:
                self.release_all(timeout_ms=release_within_ms)
        finally:
            super().close()

    def next_event(self, wait_ms: int = 0) -> Event | None:
        """Returns the oldest event that was not read yet; None if none comes within `wait_ms` milliseconds.

        while event := client.next_event():
            ...
        """
        return cast("Event | None", self._session.next_event(wait_ms))

    def _accept_lease(self, call: Call[Any], info: dict[str, Any]) -> Lease:
        return Lease(self._session, self._session.accept_lease(call), info)


class Lease(LeaseBase):
    """One or more slots that the library keeps for this program. `Client.acquire_lease` returns it.

    The end of a `with` gives the slots back and waits for the server, for 5 seconds at most. It never raises, so an
    exception of the body comes through; a slot that can't be given back is freed by the server after its timeout.
    Borrowed slots stay borrowed.
    """

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            wait_for_calls(self._session.begin_release([self], WITH_RELEASE_MS), WITH_RELEASE_MS)
        finally:
            self.close()

    def renew(self) -> LeaseInfo:
        """Renews the lease now, and returns its info. Needed with `keep_alive="host"` only.

        If it fails, `state` says whether the slot is still yours.
        """
        return self._do("lease_renew", {})

    def borrow(self, borrowed_until: Date = None, *, timeout_ms: int | None = None) -> LeaseInfo:
        """Borrows all slots of the lease, or none, until a date, so that this machine needs no network until then.

        None borrows for as long as the license allows. The config must have a `storage_dir`. If it fails, the lease
        goes on as it was.
        """
        request = {"borrowed_until": borrowed_until, "timeout_ms": timeout_ms}
        return self._do("lease_borrow", request, encoded(request))

    def release(self) -> LeaseInfo:
        """Gives the slots back, borrowed or not, and waits for the server. Returns the info of the released lease.

        If it fails, the lease is still held. Other processes of this machine that share a slot keep it.
        """
        return self._do("lease_release", {})

    def _do(self, operation: str, request: dict[str, Any], *arguments: bytes) -> LeaseInfo:
        def directly() -> dict[str, Any]:
            text = self._session.invoke(f"floatlease_{operation}", self._handle, *arguments)
            info: dict[str, Any] = json.loads(text)
            return info

        if not self._free.alive:
            # The number of a closed lease means nothing; the handle makes the library say what is wrong.
            return cast("LeaseInfo", directly())
        submitted = {**request, "lease": self.number}
        return cast("LeaseInfo", self._session.perform(operation, submitted, unchanged, directly))


__all__ = ["Client", "Lease"]
