"""The client and the lease of asyncio programs: calls are awaited, and a cancelled task cancels its call."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Generator, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Callable, TypeVar, cast

from ._base import ClientBase, LeaseBase
from ._calls import Call, Converter
from ._replies import (
    BorrowReply,
    ConsumptionReply,
    DeviceVariablesReply,
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
from ._session import WITH_RELEASE_MS, Session, left_ms, unchanged
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

T = TypeVar("T")

POLL_MS = 10
"""Milliseconds between two looks at calls whose completions no thread reads."""


class AsyncClient(ClientBase):
    """A client for asyncio. It has the methods of `Client`; those that wait for the server are awaited.

        async with AsyncClient(product="XY", …) as client, client.acquire_lease(features=["MESH"]) as lease:
            async for event in client.events():
                ...

    One thread for each client reads the completions; no call starts a thread. Up to 64 calls run at the same
    time (`max_parallel`), and 1,000 may be under way. A call's deadline counts from its start, and what releases or
    renews waits for no other call. A task that is cancelled cancels its call at once. Use a client from one
    event loop. If the system gives no thread, a call raises a `RuntimeError` before anything is sent, and the next one
    tries again.
    """

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        try:
            end = time.monotonic() + WITH_RELEASE_MS / 1_000
            # This list keeps the leases alive that these calls are granted meanwhile.
            acquires = self._session.pending_acquires()
            leases = self._session.leases()
            calls = self._session.begin_release(leases, WITH_RELEASE_MS)
            await _wait_for_calls(self._session, acquires, end)
            granted = [lease for lease in self._session.leases() if lease not in leases]
            calls += self._session.begin_release(granted, left_ms(end))
            await _wait_for_calls(self._session, calls, end)
        finally:
            self.close()

    async def activate_license(self, **request: Unpack[ActivateRequest]) -> LicenseReply:
        """Makes this device known to the license. It takes no slot.

        Call it once on each machine, before all other operations; until then they fail with `Status.DEVICE_NOT_FOUND`.
        """
        return cast("LicenseReply", await self.call("activate_license", request))

    async def check_license(self, **request: Unpack[CheckRequest]) -> LicenseReply:
        """Asks the server about the license. On a floating license this takes this device's slot, or renews it.

        Raises a `LicenseError` with `Status.FLOATING_NOT_AVAILABLE` if no slot is free.
        """
        return cast("LicenseReply", await self.call("check_license", request))

    async def deactivate_license(self, **request: Unpack[DeactivateRequest]) -> MessageReply:
        """Makes the license forget this device. The server frees all its slots, borrowed ones too."""
        return cast("MessageReply", await self.call("deactivate_license", request))

    async def borrow_license(self, **request: Unpack[BorrowRequest]) -> BorrowReply:
        """Borrows the license: its slot is this device's until a date, with or without a network.

        It takes a slot if the device holds none. Borrowing again moves the date. `Lease.borrow` also keeps the proof
        that a start without a network needs.
        """
        return cast("BorrowReply", await self.call("borrow_license", request))

    async def release_license(self, **request: Unpack[ChangeRequest]) -> dict[str, Any]:
        """Gives the license's slot back, borrowed or not.

        Raises a `LicenseError` with `Status.FLOATING_NOT_AVAILABLE` if this device holds none.
        """
        return await self.call("release_license", request)

    async def check_feature(self, **request: Unpack[CheckFeatureRequest]) -> FeatureReply:
        """Asks the server about a feature. If the feature floats, this takes this device's slot of it, or renews it."""
        return cast("FeatureReply", await self.call("check_feature", request))

    async def borrow_feature(self, **request: Unpack[BorrowFeatureRequest]) -> BorrowReply:
        """Borrows a feature whose slot this device holds already; `check_feature` takes the slot."""
        return cast("BorrowReply", await self.call("borrow_feature", request))

    async def release_feature(self, **request: Unpack[FeatureRequest]) -> dict[str, Any]:
        """Gives a feature's slot back, borrowed or not."""
        return await self.call("release_feature", request)

    async def add_consumption(self, **request: Unpack[ConsumptionRequest]) -> ConsumptionReply:
        """Books consumptions on a license of type consumption: all of them or none.

        With `offline="queue"` they are kept on disk while the server can't be reached, and booked later.
        """
        return cast("ConsumptionReply", await self.call("add_consumption", request))

    async def add_feature_consumption(self, **request: Unpack[FeatureConsumptionRequest]) -> ConsumptionReply:
        """Books consumptions on a feature that counts: all of them or none.

        With `offline="queue"` they are kept on disk while the server can't be reached, and booked later.
        """
        return cast("ConsumptionReply", await self.call("add_feature_consumption", request))

    async def product_details(self, **request: Unpack[ProductRequest]) -> ProductReply:
        """Asks the server about the product: its names, its trials, its latest version."""
        return cast("ProductReply", await self.call("product_details", request))

    async def trial_key(self, **request: Unpack[TrialRequest]) -> TrialReply:
        """Gives this device a trial of the product, or returns the one that it has.

        `license` of the reply is the license key.
        """
        return cast("TrialReply", await self.call("trial_key", request))

    async def versions(self, **request: Unpack[VersionsRequest]) -> VersionsReply:
        """Lists the versions of the product that the license includes, the newest first."""
        return cast("VersionsReply", await self.call("versions", request))

    async def installation_file(self, **request: Unpack[InstallationFileRequest]) -> InstallationFileReply:
        """Tells where the file of a version is, by default of the newest."""
        return cast("InstallationFileReply", await self.call("installation_file", request))

    async def device_licenses(self, **request: Unpack[Request]) -> LicensesReply:
        """Lists the licenses that are active on this device."""
        return cast("LicensesReply", await self.call("device_licenses", request))

    async def get_device_variables(self, **request: Unpack[Request]) -> DeviceVariablesReply:
        """Lists the values that the server keeps for this device."""
        return cast("DeviceVariablesReply", await self.call("get_device_variables", request))

    async def track_device_variables(self, **request: Unpack[TrackVariablesRequest]) -> DeviceVariablesReply:
        """Keeps values for this device at the server, and returns them."""
        return cast("DeviceVariablesReply", await self.call("track_device_variables", request))

    async def change_password(self, **request: Unpack[PasswordRequest]) -> MessageReply:
        """Changes the password of the user.

        The config of this client keeps the old password, so open a new client.
        """
        return cast("MessageReply", await self.call("change_password", request))

    async def user_licenses(self, **request: Unpack[Request]) -> UserLicensesReply:
        """Lists the licenses of the product that the user may use. It needs no device and no activation."""
        return cast("UserLicensesReply", await self.call("user_licenses", request))

    async def sso_url(self, **request: Unpack[SsoUrlRequest]) -> SsoUrlReply:
        """Tells where a user of a customer account signs in by single sign-on."""
        return cast("SsoUrlReply", await self.call("sso_url", request))

    async def activate_bundle(self, **request: Unpack[ActivateRequest]) -> LicensesReply:
        """Activates the licenses of a bundle on this device.

        `product` names the bundle, if the config has no `bundle_code`.
        """
        return cast("LicensesReply", await self.call("activate_bundle", request))

    async def check_bundle(self, **request: Unpack[CheckRequest]) -> LicensesReply:
        """Checks the licenses of a bundle. It takes this device's slots of those that float, or renews them."""
        return cast("LicensesReply", await self.call("check_bundle", request))

    async def deactivate_bundle(self, **request: Unpack[DeactivateRequest]) -> MessageReply:
        """Makes the licenses of a bundle forget this device.

        The server frees all its slots of them, borrowed ones too.
        """
        return cast("MessageReply", await self.call("deactivate_bundle", request))

    async def sync_consumptions(self, **request: Unpack[Request]) -> SyncReply:
        """Books the consumptions that are queued because the server could not be reached.

        A server that still can't be reached is no error: `waiting` and `reason` of the reply say so.
        """
        return cast("SyncReply", await self.call("sync_consumptions", request))

    async def call(self, operation: str, request: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Performs an operation by its name, for example `"borrow_license"`, and returns the reply."""
        return await _perform(self._session, operation, request or {}, unchanged)

    def acquire_lease(self, **request: Unpack[LeaseRequest]) -> PendingLease:
        """Takes a slot, or the slots of several features, and keeps them: the library renews them in time.

        `await` it, or use it in an `async with`, whose end gives the slots back. With `activate=True` a device that is
        new to the license is activated first. Otherwise this raises a `DeviceError` with `Status.DEVICE_NOT_FOUND`
        there. With `wait_ms` it queues while all slots are taken.
        """
        return PendingLease(self._session, request)

    async def release_all(self, *, timeout_ms: int = WITH_RELEASE_MS) -> ReleaseAllReply:
        """Releases every lease of this client at once, for the end of a program, within `timeout_ms` milliseconds.

        Borrows are kept, and acquires that are under way are cancelled. If the server can't be reached, it tries again
        as long as the time lasts. What could not be released is no error: `left` of the reply tells it. Slots that
        verbs have taken are released by verbs.
        """
        return cast("ReleaseAllReply", await self.call("release_all", {"timeout_ms": timeout_ms}))

    def events(self) -> Events:
        """Returns the events of this client's leases, for `async for`, until the client is closed."""
        return Events(self._session)

    def _accept_lease(self, call: Call[Any], info: dict[str, Any]) -> AsyncLease:
        return AsyncLease(self._session, self._session.accept_lease(call), info)


class Events:
    """The events of a client, for `async for`. `AsyncClient.events` returns it.

    A wait that is cancelled, as by `asyncio.wait_for`, loses no event: wait again.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        loop, changed, queue = asyncio.get_running_loop(), asyncio.Event(), self._session.queue
        wake = functools.partial(_call_in_loop, loop, changed.set)
        if queue.is_inherited:
            # Raises FORKED without touching a lock, whose holder may have stayed with the parent.
            queue.wait_until(lambda: False, 0)
        queue.add_waker(wake)
        try:
            _read_in_background(self._session)
            while (event := queue.take_event()) is None:
                if queue.is_closed:
                    raise StopAsyncIteration
                await changed.wait()
                changed.clear()
            return event
        finally:
            queue.remove_waker(wake)


class AsyncLease(LeaseBase):
    """One or more slots that the library keeps for this asyncio program. `AsyncClient.acquire_lease` returns it."""

    async def renew(self) -> LeaseInfo:
        """Renews the lease now, and returns its info. Needed with `keep_alive="host"` only.

        If it fails, `state` says whether the slot is still yours.
        """
        return await self._do("lease_renew", {})

    async def borrow(self, borrowed_until: Date = None, *, timeout_ms: int | None = None) -> LeaseInfo:
        """Borrows all slots of the lease, or none, until a date, so that this machine needs no network until then.

        None borrows for as long as the license allows. The config must have a `storage_dir`. If it fails, the lease
        goes on as it was.
        """
        return await self._do("lease_borrow", {"borrowed_until": borrowed_until, "timeout_ms": timeout_ms})

    async def release(self, *, timeout_ms: int | None = None) -> LeaseInfo:
        """Gives the slots back, borrowed or not, and waits for the server. Returns the info of the released lease.

        If it fails, the lease is still held. Other processes of this machine that share a slot keep it.
        """
        return await self._do("lease_release", {"timeout_ms": timeout_ms})

    async def _do(self, operation: str, request: dict[str, Any]) -> LeaseInfo:
        if not self._free.alive:
            # The number of a closed lease means nothing; the handle makes the library say what is wrong.
            self.info()
        submitted = {**request, "lease": self.number}
        return cast("LeaseInfo", await _perform(self._session, operation, submitted, unchanged))


class PendingLease:
    """A lease that is to be acquired. `AsyncClient.acquire_lease` returns it.

    `await` it for the lease, or use it in an `async with`, whose end gives the lease back.
    """

    def __init__(self, session: Session, request: Mapping[str, Any]) -> None:
        self._session = session
        self._request = request
        # Each `async with` acquires a lease of its own.
        self._leases: list[AsyncLease] = []

    def __await__(self) -> Generator[Any, None, AsyncLease]:
        return self._acquire().__await__()

    async def __aenter__(self) -> AsyncLease:
        self._leases.append(await self._acquire())
        return self._leases[-1]

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        lease = self._leases.pop()
        try:
            await _release(self._session, [lease])
        finally:
            lease.close()

    async def _acquire(self) -> AsyncLease:
        session = self._session

        def accept_lease(call: Call[Any], info: dict[str, Any]) -> AsyncLease:
            return AsyncLease(session, session.accept_lease(call), info)

        return await _perform(session, "lease_acquire", self._request, accept_lease)


def _call_in_loop(loop: asyncio.AbstractEventLoop, function: Callable[[], object]) -> None:
    try:
        loop.call_soon_threadsafe(function)
    except RuntimeError:
        # The loop is closed, so no task of it waits any more.
        return


async def _perform(session: Session, operation: str, request: Mapping[str, Any], convert: Converter[T]) -> T:
    """Submits a call and awaits it, and cancels it if the task is cancelled."""
    # First, because it may fail: a call that is under way, and that no task awaits, could take a lease.
    _read_in_background(session)
    call, done = session.submit(operation, request, convert), asyncio.Event()
    call.then(functools.partial(_call_in_loop, asyncio.get_running_loop(), done.set))
    try:
        await done.wait()
    finally:
        # Also if the coroutine is thrown away together with its loop.
        if not done.is_set():
            call.cancel()
    return call.result()


def _read_in_background(session: Session) -> None:
    """Starts the thread that reads the completions, if there is none."""
    if session.is_inherited:
        # Its locks may be held by threads that stayed with the parent. The submit says what is wrong.
        return
    try:
        session.queue.read_in_background()
    except RuntimeError as error:
        raise RuntimeError(
            f"{error}: an AsyncClient needs one to read its replies. Nothing was sent. End other threads, or raise "
            "their number (ulimit -u, the container's pids limit); then call again."
        ) from error


async def _release(session: Session, leases: Iterable[LeaseBase]) -> None:
    """Gives leases back and waits for that within the time limit of a `with`. It ignores errors.

    If the task is cancelled meanwhile, the slots are given back in the background all the same.
    """
    calls = session.begin_release(leases, WITH_RELEASE_MS)
    await _wait_for_calls(session, calls, time.monotonic() + WITH_RELEASE_MS / 1_000)


async def _wait_for_calls(session: Session, calls: list[Call[Any]], end: float) -> None:
    """Waits for calls until `end` on the monotonic clock, and cancels those that are not done. It ignores errors."""
    if not calls:
        return
    loop, changed = asyncio.get_running_loop(), asyncio.Event()
    for call in calls:
        call.then(functools.partial(_call_in_loop, loop, changed.set))
    try:
        _read_in_background(session)
        has_thread = True
    except RuntimeError:
        # This ends a `with`, which must give the slots back, and must not hide the exception of its body.
        has_thread = False

    async def all_are_done() -> None:
        while not all(call.done() for call in calls):
            if has_thread:
                await changed.wait()
                changed.clear()
            else:
                await asyncio.sleep(POLL_MS / 1_000)

    try:
        await asyncio.wait_for(all_are_done(), left_ms(end) / 1_000)
    except asyncio.TimeoutError:
        for call in calls:
            call.cancel()


__all__ = ["AsyncClient", "AsyncLease", "Events", "PendingLease"]
