"""Take, hold and give back floating licenses.

    from floatlease import Client

    with Client(product="XY", license_key="…", api_key="…", shared_key="…") as client:
        with client.acquire_lease(features=["MESH"]) as lease:
            ...                                     # the lease is kept alive; lease.state says what to do

`AsyncClient` is the same for asyncio; `floatlease.sandbox` is a license server for tests.
"""

from ._aio import AsyncClient, AsyncLease, Events, PendingLease
from ._calls import Call
from ._client import Client, Lease
from ._errors import (
    AuthorizationError,
    ConsumptionError,
    CustomerError,
    DeviceError,
    FeatureError,
    FloatLeaseError,
    InternalError,
    LicenseError,
    LocalError,
    NetworkError,
    ProductError,
    ReplyError,
    RequestError,
    UsageError,
)
from ._replies import (
    BorrowReply,
    ConsumptionReply,
    DiagnoseReport,
    Event,
    FeatureReply,
    FloatingReply,
    LeaseInfo,
    LicenseReply,
    ReleaseAllReply,
    SyncReply,
    UnreleasedLease,
)
from ._requests import Config, LeaseRequest, Request
from ._session import version
from ._state import LeaseState
from ._status import Status

__version__ = version()
"""The version of the native library, which is also the version of this package."""

__all__ = [
    "AsyncClient",
    "AsyncLease",
    "AuthorizationError",
    "BorrowReply",
    "Call",
    "Client",
    "Config",
    "ConsumptionError",
    "ConsumptionReply",
    "CustomerError",
    "DeviceError",
    "DiagnoseReport",
    "Event",
    "Events",
    "FeatureError",
    "FeatureReply",
    "FloatLeaseError",
    "FloatingReply",
    "InternalError",
    "Lease",
    "LeaseInfo",
    "LeaseRequest",
    "LeaseState",
    "LicenseError",
    "LicenseReply",
    "LocalError",
    "NetworkError",
    "PendingLease",
    "ProductError",
    "ReleaseAllReply",
    "ReplyError",
    "Request",
    "RequestError",
    "Status",
    "SyncReply",
    "UnreleasedLease",
    "UsageError",
    "version",
]
