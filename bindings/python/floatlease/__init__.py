"""Take, hold and give back floating licenses.

    from floatlease import Client

    with Client(product="XY", license_key="…", api_key="…", shared_key="…") as client:
        with client.lease(features=["MESH"]) as lease:
            ...                                     # it is kept alive; lease.state says how it stands

`AsyncClient` is the same for asyncio; `floatlease.sandbox` is a license server for tests.
"""

from ._aio import Acquiring, AsyncClient, AsyncLease, Events
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
from ._lease import LeaseState
from ._replies import Borrowed, Consumed, Event, Feature, LeaseInfo, License, Report, Synced
from ._requests import Config, LeaseRequest, Request
from ._session import version
from ._status import Status

__version__ = version()
"""Of the native library, and of this package with it."""

__all__ = [
    "Acquiring",
    "AsyncClient",
    "AsyncLease",
    "AuthorizationError",
    "Borrowed",
    "Call",
    "Client",
    "Config",
    "Consumed",
    "ConsumptionError",
    "CustomerError",
    "DeviceError",
    "Event",
    "Events",
    "Feature",
    "FeatureError",
    "FloatLeaseError",
    "InternalError",
    "Lease",
    "LeaseInfo",
    "LeaseRequest",
    "LeaseState",
    "License",
    "LicenseError",
    "LocalError",
    "NetworkError",
    "ProductError",
    "ReplyError",
    "Report",
    "Request",
    "RequestError",
    "Status",
    "Synced",
    "UsageError",
    "version",
]
