"""The same for asyncio: what waits is awaited, and a task that is cancelled cancels its call."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Generator, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Callable, TypeVar, cast

from ._calls import Call
from ._client import AnyClient
from ._lease import HeldLease
from ._replies import Borrowed, Consumed, Event, Feature, LeaseInfo, License, Report, Synced
from ._session import LEAVE_MS, Session, as_it_came, left_ms

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
        LeaseRequest,
        ProductRequest,
        Request,
    )

T = TypeVar("T")


class AsyncClient(AnyClient):
    """`Client` for asyncio.

        async with AsyncClient(product="XY", …) as client, client.lease(features=["MESH"]) as lease:
            async for event in client.events():
                ...

    One thread for each client reads what happens, and none is started for a call. Up to four calls are done at the same
    time, and 1,000 may be under way. A task that is cancelled cancels its call at once. Use it from one event loop.
    """

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        try:
            end = time.monotonic() + LEAVE_MS / 1_000
            # What they are granted meanwhile lives as long as this.
            acquires = self._session.acquires()
            leases = self._session.leases()
            calls = self._session.begin_release(leases, LEAVE_MS)
            await _wait(self._session, acquires, end)
            granted = [lease for lease in self._session.leases() if lease not in leases]
            calls += self._session.begin_release(granted, left_ms(end))
            await _wait(self._session, calls, end)
        finally:
            self.close()

    async def activate_license(self, **request: Unpack[ActivateRequest]) -> License:
        """Makes this device known to the license. Takes no slot. Must precede everything below, once."""
        return cast("License", await self.call("activate_license", request))

    async def check_license(self, **request: Unpack[CheckRequest]) -> License:
        """Asks how the license stands; on a floating one this takes the device's slot, or renews it."""
        return cast("License", await self.call("check_license", request))

    async def deactivate_license(self, **request: Unpack[DeactivateRequest]) -> dict[str, Any]:
        """Makes the license forget this device; all its slots are free."""
        return await self.call("deactivate_license", request)

    async def borrow_license(self, **request: Unpack[BorrowRequest]) -> Borrowed:
        """Makes the slot this device's until a date, with or without a network."""
        return cast("Borrowed", await self.call("borrow_license", request))

    async def release_license(self, **request: Unpack[ChangeRequest]) -> dict[str, Any]:
        """Gives the license's slot back, borrowed or not."""
        return await self.call("release_license", request)

    async def check_feature(self, **request: Unpack[CheckFeatureRequest]) -> Feature:
        """Asks how a feature stands; if it floats, this takes the device's slot of it, or renews it."""
        return cast("Feature", await self.call("check_feature", request))

    async def borrow_feature(self, **request: Unpack[BorrowFeatureRequest]) -> Borrowed:
        """Borrows a feature whose slot this device holds already."""
        return cast("Borrowed", await self.call("borrow_feature", request))

    async def release_feature(self, **request: Unpack[FeatureRequest]) -> dict[str, Any]:
        """Gives a feature's slot back, borrowed or not."""
        return await self.call("release_feature", request)

    async def add_consumption(self, **request: Unpack[ConsumptionRequest]) -> Consumed:
        """Books consumptions on a license: all of them or none."""
        return cast("Consumed", await self.call("add_consumption", request))

    async def add_feature_consumption(self, **request: Unpack[FeatureConsumptionRequest]) -> Consumed:
        """Books consumptions on a feature: all of them or none."""
        return cast("Consumed", await self.call("add_feature_consumption", request))

    async def product_details(self, **request: Unpack[ProductRequest]) -> dict[str, Any]:
        """Describes the product."""
        return await self.call("product_details", request)

    async def sync_consumptions(self, **request: Unpack[Request]) -> Synced:
        """Books what waits since the server could not be reached."""
        return cast("Synced", await self.call("sync_consumptions", request))

    async def call(self, operation: str, request: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Any of the above by name."""
        return await _done(self._session, self._session.submit(operation, request or {}, as_it_came))

    def lease(self, **request: Unpack[LeaseRequest]) -> Acquiring:
        """Takes a slot, or several features all or none, and keeps them: `await` it, or use it in `async with`.

        The device must be known: a `DeviceError` with `Status.DEVICE_NOT_FOUND` asks for `activate_license`, once.
        """
        return Acquiring(self._session, request)

    def events(self) -> Events:
        """What happens to leases by itself, until the client is closed."""
        return Events(self._session)

    def _accepted(self, call: Call[Any], info: dict[str, Any]) -> AsyncLease:
        return AsyncLease(self._session, self._session.accepted(call), info)


class Events:
    """Of `AsyncClient.events`: for `async for`. A wait that is given up, as by `asyncio.wait_for`, does not end it."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        loop, news, mailbox = asyncio.get_running_loop(), asyncio.Event(), self._session.mailbox
        wake = functools.partial(_in_loop, loop, news.set)
        if mailbox.inherited:
            # Says so, and touches no lock: it may be held for ever.
            mailbox.until(lambda: False, 0)
        mailbox.add_waker(wake)
        try:
            mailbox.read_in_background()
            while (event := mailbox.take_event()) is None:
                if mailbox.over:
                    raise StopAsyncIteration
                await news.wait()
                news.clear()
            return event
        finally:
            mailbox.remove_waker(wake)


class AsyncLease(HeldLease):
    """`Lease` for asyncio; `AsyncClient.lease` makes it. To read it never waits."""

    async def renew(self) -> LeaseInfo:
        """Renews it now, whoever keeps it alive."""
        return await self._do("lease_renew", {})

    async def borrow(self, borrowed_until: Date = None, *, timeout_ms: int | None = None) -> LeaseInfo:
        """Makes its slots this machine's until a date, None: as long as the license allows. Needs `storage_dir`."""
        return await self._do("lease_borrow", {"borrowed_until": borrowed_until, "timeout_ms": timeout_ms})

    async def release(self, *, timeout_ms: int | None = None) -> LeaseInfo:
        """Gives it back, borrowed or not."""
        return await self._do("lease_release", {"timeout_ms": timeout_ms})

    async def _do(self, operation: str, request: dict[str, Any]) -> LeaseInfo:
        if not self._free.alive:
            # What is wrong with the handle of a closed one is told by it, at once.
            self.info()
        call = self._session.submit(operation, {**request, "lease": self.number}, as_it_came)
        return cast("LeaseInfo", await _done(self._session, call))


class Acquiring:
    """A lease that is being taken: `await` it, or use it in `async with`, whose end gives it back."""

    def __init__(self, session: Session, request: Mapping[str, Any]) -> None:
        self._session = session
        self._request = request
        # Each `async with` takes a lease of its own.
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
            await _settle(self._session, [lease])
        finally:
            lease.close()

    async def _acquire(self) -> AsyncLease:
        session = self._session

        def accepted(call: Call[Any], info: dict[str, Any]) -> AsyncLease:
            return AsyncLease(session, session.accepted(call), info)

        return await _done(session, session.submit("lease_acquire", self._request, accepted))


def _in_loop(loop: asyncio.AbstractEventLoop, tell: Callable[[], object]) -> None:
    try:
        loop.call_soon_threadsafe(tell)
    except RuntimeError:
        # The loop is closed: nobody is left who would want to know.
        return


async def _done(session: Session, call: Call[T]) -> T:
    """Awaits a call, and ends it if the task is cancelled."""
    done = asyncio.Event()
    call.then(functools.partial(_in_loop, asyncio.get_running_loop(), done.set))
    try:
        session.mailbox.read_in_background()
        await done.wait()
    finally:
        # Also if the coroutine is thrown away with its loop.
        if not done.is_set():
            call.cancel()
    return call.result()


async def _settle(session: Session, leases: Iterable[HeldLease]) -> None:
    """Gives leases back, waits no longer than it may, and never raises because of it.

    If the task is cancelled meanwhile, the slots are given back all the same, in the background.
    """
    await _wait(session, session.begin_release(leases, LEAVE_MS), time.monotonic() + LEAVE_MS / 1_000)


async def _wait(session: Session, calls: list[Call[Any]], end: float) -> None:
    """Waits for calls, whatever they come to, and ends those that take too long."""
    if not calls:
        return
    loop, news = asyncio.get_running_loop(), asyncio.Event()
    for call in calls:
        call.then(functools.partial(_in_loop, loop, news.set))
    session.mailbox.read_in_background()

    async def all_are_done() -> None:
        while not all(call._done for call in calls):
            await news.wait()
            news.clear()

    try:
        await asyncio.wait_for(all_are_done(), left_ms(end) / 1_000)
    except asyncio.TimeoutError:
        for call in calls:
            call.cancel()


__all__ = ["AsyncClient", "AsyncLease", "Events", "Report"]
