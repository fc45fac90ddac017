"""What may be said: the config of a client, and requests. The library refuses what it does not know, and names it."""

from __future__ import annotations

from datetime import datetime
from os import PathLike
from typing import Any, TypedDict, Union

Date = Union[str, datetime, None]
"""A date as text, such as `"2026-09-27 23:30"` (UTC), or a `datetime` with a time zone."""


class Config(TypedDict, total=False):
    """A client's config: one product, one device, one server."""

    product: str
    """Required: the product's short code."""
    license_key: str
    """Names the license; or give username and password; or an SSO token."""
    username: str
    password: str
    id_token: str
    code: str
    customer_account_code: str
    redirect_uri: str
    license_id: int
    bundle_code: str
    api_key: str
    """Required, as is shared_key: the keys of the vendor's account."""
    shared_key: str
    base_url: str
    """Default: the vendor's cloud. Any other server needs public_key."""
    public_key: str
    """PEM public key or certificate that proves replies."""
    verify: str
    """`"on"` (default), or `"off"`: believe replies without proof."""
    hardware_id: str
    """Names this device; default: derived from an id of the system."""
    timeout_ms: int
    """The deadline of a call that names none; default 15000."""
    connect_timeout_ms: int
    proxy: str
    """`"env"` (default), `"none"` or `"http://name:password@host:port"`."""
    tls_roots: str
    """`"platform"` (default), `"bundled"` or PEM certificates."""
    allow_http: bool
    storage_dir: Union[str, PathLike[str]]
    """The absolute path of a folder for what leases and consumptions keep beyond the process."""
    app_name: str
    app_version: str


class Request(TypedDict, total=False):
    """What any request may hold. Left out, it comes from the config."""

    product: str
    hardware_id: str
    license_key: str
    username: str
    password: str
    id_token: str
    code: str
    customer_account_code: str
    redirect_uri: str
    license_id: int
    bundle_code: str
    sdk_ver: str
    timeout_ms: int
    """The deadline of this call."""
    extra: dict[str, Any]
    """Members that go to the server untouched."""


class ChangeRequest(Request, total=False):
    """A request that does more than ask."""

    idempotency_key: str
    """Names the wish, so that a repetition is known as one."""


class DeviceRequest(Request, total=False):
    """What the device may tell of itself."""

    os_ver: str
    hostname: str
    os_hostname: str
    ip: str
    ip_local: str
    mac_address: str
    app_ver: str
    vm_info: str
    is_vm: bool


class ActivateRequest(ChangeRequest, DeviceRequest, total=False):
    """Of `activate_license`."""

    variables: dict[str, Any]


class CheckRequest(DeviceRequest, total=False):
    """Of `check_license`."""

    include_expired_features: bool
    env: str
    channel: str


class DeactivateRequest(ChangeRequest, total=False):
    """Of `deactivate_license`."""

    variables: dict[str, Any]


class BorrowRequest(ChangeRequest, total=False):
    """Of `borrow_license`."""

    borrowed_until: Date
    """None (default): as long as the license allows."""


class FeatureRequest(ChangeRequest, total=False):
    """Of `release_feature`. The feature is required."""

    feature: str


class CheckFeatureRequest(Request, total=False):
    """Of `check_feature`. The feature is required."""

    feature: str
    include_metadata_string: bool


class BorrowFeatureRequest(FeatureRequest, total=False):
    """Of `borrow_feature`."""

    borrowed_until: Date


class ConsumptionRequest(ChangeRequest, total=False):
    """Of `add_consumption`."""

    consumptions: int
    max_overages: int
    allow_overages: bool
    event: list[str]
    ignore_events: bool
    offline: str
    """`"queue"`: kept on disk, in storage_dir, and booked later if the server can't be reached."""


class FeatureConsumptionRequest(FeatureRequest, total=False):
    """Of `add_feature_consumption`."""

    consumptions: int
    event: list[str]
    offline: str


class ProductRequest(Request, total=False):
    """Of `product_details`."""

    include_latest_version: bool
    include_custom_fields: bool
    env: str


class LeaseRequest(Request, total=False):
    """Of a lease; all optional."""

    feature: str
    """The floating feature to take; without it, the license's own slot."""
    features: list[str]
    """Several: all of them or none."""
    keep_alive: str
    """`"thread"` (default): a thread of the library renews. `"host"`: your program does."""
    grace_ms: int
    """How long to run on when the slot is no longer surely yours; default 300000."""
    borrow_ending_hours: int
    """How long before its end a borrow is announced to end; default 2."""
    wait_ms: int
    """How long to queue for a slot while all are taken; default 0."""
    release_on_close_ms: int
    """How long the slot may still be given back in the background after `close`; default 5000."""
