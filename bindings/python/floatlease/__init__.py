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
    DeviceVariable,
    DeviceVariablesReply,
    DiagnoseReport,
    Event,
    FeatureReply,
    FloatingReply,
    InstallationFileReply,
    LeaseInfo,
    LicenseReply,
    LicensesReply,
    MessageReply,
    ProductReply,
    ProductVersion,
    ReleaseAllReply,
    SyncReply,
    TrialReply,
    UnreleasedLease,
    VersionsReply,
)
from ._requests import Config, LeaseRequest, Request
from ._session import version
from ._state import LeaseState
from ._status import Status
from ._user_replies import LicenseUser, OpenidConfiguration, OwnedLicense, SsoUrlReply, UserLicense, UserLicensesReply

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
    "DeviceVariable",
    "DeviceVariablesReply",
    "DiagnoseReport",
    "Event",
    "Events",
    "FeatureError",
    "FeatureReply",
    "FloatLeaseError",
    "FloatingReply",
    "InstallationFileReply",
    "InternalError",
    "Lease",
    "LeaseInfo",
    "LeaseRequest",
    "LeaseState",
    "LicenseError",
    "LicenseReply",
    "LicenseUser",
    "LicensesReply",
    "LocalError",
    "MessageReply",
    "NetworkError",
    "OpenidConfiguration",
    "OwnedLicense",
    "PendingLease",
    "ProductError",
    "ProductReply",
    "ProductVersion",
    "ReleaseAllReply",
    "ReplyError",
    "Request",
    "RequestError",
    "SsoUrlReply",
    "Status",
    "SyncReply",
    "TrialReply",
    "UnreleasedLease",
    "UsageError",
    "UserLicense",
    "UserLicensesReply",
    "VersionsReply",
    "version",
]
