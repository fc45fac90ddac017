"""The types of a client's config and of requests. The library refuses keys that it does not know, and names them."""

from __future__ import annotations

from datetime import datetime
from os import PathLike
from typing import Any, TypedDict, Union

Date = Union[str, datetime, None]
"""A date as text, such as `"2026-09-27 23:30"` (UTC), or a `datetime` with a time zone."""


class Config(TypedDict, total=False):
    """The config of a client: one product, one device, one server.

    Required are `product`; what authorises requests: `api_key` with `shared_key`, or `client_id` with `client_secret`;
    and what names the license: `license_key`; or `username` with `password`; or an SSO token or code with
    `customer_account_code`.
    """

    product: str
    """The product's short code. Required."""
    license_key: str
    """The license key. It names the license of a key-based product."""
    username: str
    """The user whose license is used, for a user-based product. Needs `password`."""
    password: str
    """The password of `username`."""
    id_token: str
    """An SSO token that names the user. Needs `customer_account_code`."""
    code: str
    """An SSO code that names the user. Needs `customer_account_code`, and perhaps `redirect_uri`."""
    customer_account_code: str
    """The customer account that an SSO token or code belongs to."""
    redirect_uri: str
    """The address to which the SSO provider sent `code`."""
    license_id: int
    """The server's number of the license, for a user who has several."""
    bundle_code: str
    """The code of the bundle that the license came with."""
    api_key: str
    """The API key of the vendor's account. Needs `shared_key`."""
    shared_key: str
    """The secret that belongs to `api_key`; it signs requests."""
    client_id: str
    """The OAuth client of the vendor, by which the library fetches access tokens. Needs `client_secret`."""
    client_secret: str
    """The secret that belongs to `client_id`."""
    oauth_url: str
    """The address of the token endpoint for `client_id`; by default the server names it."""
    base_url: str
    """The address of the server's API, which ends in `/api/v4`; by default the vendor's cloud."""
    public_key: str
    """The PEM public key or certificate that proves the server's replies. Required for any other `base_url`."""
    verify: str
    """`"on"` (default), or `"off"` to believe replies without proof."""
    hardware_id: str
    """The id that names this device; by default derived from an id of the system."""
    timeout_ms: int
    """The deadline in milliseconds of a call that names none; default 15000."""
    connect_timeout_ms: int
    """The longest time in milliseconds for resolving the name, connecting and TLS together; default 5000."""
    max_parallel: int
    """How many submitted calls run at the same time, from 1 to 1,000; default 64. As many again release or renew."""
    proxy: str
    """`"env"` (default) for the proxy of the environment, `"none"`, or `"http://name:password@host:port"`."""
    tls_roots: str
    """The trusted certificate authorities: `"platform"` (default), `"bundled"`, or PEM certificates."""
    allow_http: bool
    """True allows plain `http://` to another machine, where others can read the license key."""
    storage_dir: Union[str, PathLike[str]]
    """The absolute path of a folder for what outlives the process. Without it the library writes no file."""
    app_name: str
    """The name of your program, for the server's logs."""
    app_version: str
    """The version of your program, for the server's logs."""


class Request(TypedDict, total=False):
    """The keys that every request may have. Each is taken from the config if it is left out."""

    product: str
    """The short code of another product than the config's."""
    hardware_id: str
    """The id of another device than the config's."""
    license_key: str
    """The key of another license than the config's."""
    username: str
    """The user of another license than the config's. Needs `password`."""
    password: str
    """The password of `username`."""
    id_token: str
    """An SSO token that names the user. Needs `customer_account_code`."""
    code: str
    """An SSO code that names the user. Needs `customer_account_code`, and perhaps `redirect_uri`."""
    customer_account_code: str
    """The customer account that an SSO token or code belongs to."""
    redirect_uri: str
    """The address to which the SSO provider sent `code`."""
    license_id: int
    """The server's number of the license, for a user who has several."""
    bundle_code: str
    """The code of the bundle that the license came with."""
    sdk_ver: str
    """The version of the library that the server is told, if it should not be this one's."""
    timeout_ms: int
    """The deadline of this call in milliseconds."""
    extra: dict[str, Any]
    """Members that are sent to the server unchanged. Use it for keys that this library does not know."""


class ChangeRequest(Request, total=False):
    """A request that changes something at the server."""

    idempotency_key: str
    """A name of your choice for this change. floatlease-server books a consumption once for each key."""


class DeviceRequest(Request, total=False):
    """A request that may describe the device. The server shows the description to the vendor."""

    os_ver: str
    """The version of the device's operating system."""
    hostname: str
    """The name of the device in the network."""
    os_hostname: str
    """The name that the operating system has for the device."""
    ip: str
    """The public IP address of the device."""
    ip_local: str
    """The IP address of the device in its local network."""
    mac_address: str
    """The MAC address of the device's network card."""
    app_ver: str
    """The version of your program."""
    vm_info: str
    """The name of the hypervisor, if the device is a virtual machine."""
    is_vm: bool
    """True if the device is a virtual machine."""


class ActivateRequest(ChangeRequest, DeviceRequest, total=False):
    """The request of `activate_license` and `activate_bundle`. All keys are optional."""

    variables: dict[str, Any]
    """Device variables that the license keeps for this device, by name."""


class CheckRequest(DeviceRequest, total=False):
    """The request of `check_license` and `check_bundle`. All keys are optional."""

    include_expired_features: bool
    """True makes the reply list expired features too."""
    env: str
    """The environment whose latest version the reply names, for example `"win64"` or `"linux64"`."""
    channel: str
    """The release channel whose latest version the reply names."""


class DeactivateRequest(ChangeRequest, total=False):
    """The request of `deactivate_license` and `deactivate_bundle`. All keys are optional."""

    variables: dict[str, Any]
    """Device variables that the license keeps for this device, by name."""


class BorrowRequest(ChangeRequest, total=False):
    """The request of `borrow_license`. All keys are optional."""

    borrowed_until: Date
    """The date until which to borrow. None (default) borrows for as long as the license allows."""


class FeatureRequest(ChangeRequest, total=False):
    """The request of `release_feature`."""

    feature: str
    """The code of the feature. Required."""


class CheckFeatureRequest(Request, total=False):
    """The request of `check_feature`."""

    feature: str
    """The code of the feature. Required."""
    include_metadata_string: bool
    """True makes the reply include the feature's metadata as a text too."""


class BorrowFeatureRequest(FeatureRequest, total=False):
    """The request of `borrow_feature`."""

    borrowed_until: Date
    """The date until which to borrow. None (default) borrows for as long as the license allows."""


class ConsumptionRequest(ChangeRequest, total=False):
    """The request of `add_consumption`. All keys are optional."""

    consumptions: int
    """The number of consumptions to book; default 1. Negative numbers are allowed if the license says so."""
    max_overages: int
    """The number of consumptions that may be booked beyond those that the license includes."""
    allow_overages: bool
    """True allows more consumptions than the license includes."""
    event: list[str]
    """A list of one kind of booking, `"consumption_add"` (default) or `"offline_floating_consumptions_sync"`."""
    ignore_events: bool
    """True counts the consumptions whatever `event` says."""
    offline: str
    """`"queue"` keeps the consumptions in `storage_dir` while the server can't be reached, and books them later."""


class FeatureConsumptionRequest(FeatureRequest, total=False):
    """The request of `add_feature_consumption`. `feature` is required."""

    consumptions: int
    """The number of consumptions to book; default 1. Negative numbers are allowed if the feature says so."""
    event: list[str]
    """A list of one kind of booking, `"consumption_add"` (default) or `"offline_floating_consumptions_sync"`."""
    offline: str
    """`"queue"` keeps the consumptions in `storage_dir` while the server can't be reached, and books them later."""


class ProductRequest(Request, total=False):
    """The request of `product_details`. All keys are optional."""

    include_latest_version: bool
    """True makes the reply name the latest version of the product."""
    include_custom_fields: bool
    """True makes the reply include the product's custom fields."""
    env: str
    """The environment whose latest version the reply names, for example `"win64"` or `"linux64"`."""
    channel: str
    """The release channel whose latest version the reply names, for example `"beta"`."""


class TrialRequest(Request, total=False):
    """The request of `trial_key`. All keys are optional; some policies require `email`."""

    license_policy: str
    """The trial's policy, if the product has several. The default one otherwise."""
    email: str
    """The e-mail address of the user."""
    first_name: str
    """The first name of the user."""
    last_name: str
    """The last name of the user."""
    phone: str
    """The phone number of the user."""
    address: str
    """The street and house number of the user."""
    postcode: str
    """The postcode of the user."""
    state: str
    """The state or province of the user."""
    country: str
    """The country of the user."""
    city: str
    """The city of the user."""
    reference: str
    """A text of yours that the vendor sees beside the user."""
    company_name: str
    """The company of the user."""


class VersionsRequest(Request, total=False):
    """The request of `versions`. All keys are optional."""

    env: str
    """The environment whose versions are meant, for example `"win64"`. Every environment without it."""
    channel: str
    """The release channel whose versions are meant. Those that are in no channel without it."""


class InstallationFileRequest(VersionsRequest, total=False):
    """The request of `installation_file`. All keys are optional."""

    version: str
    """The version whose file is meant, for example `"1.0.0"`. The newest without it."""


class TrackVariablesRequest(ChangeRequest, total=False):
    """The request of `track_device_variables`."""

    variables: dict[str, Any]
    """The values to keep, by name: texts, numbers or booleans. Required."""


class PasswordRequest(ChangeRequest, total=False):
    """The request of `change_password`."""

    new_password: str
    """The password that replaces `password`. Required."""


class SsoUrlRequest(Request, total=False):
    """The request of `sso_url`. `customer_account_code` is required."""

    response_type: str
    """`"code"` (default) or `"token"`: what the browser brings back."""


class LeaseRequest(Request, total=False):
    """The request of `acquire_lease`. All keys are optional. `timeout_ms` holds for each request about the lease."""

    feature: str
    """The code of the floating feature to take. Without it the lease takes the license's own slot."""
    features: list[str]
    """The codes of up to 64 features. The lease takes the slots of all of them, or none."""
    tag: str
    """Any text of up to 256 bytes in UTF-8. The events and the info of the lease repeat it."""
    activate: bool
    """True activates a device that is new to the license first, as part of the same call; default False."""
    keep_alive: str
    """`"thread"` (default): a thread of the library renews the lease. `"host"`: your program calls `renew`."""
    grace_ms: int
    """Milliseconds that licensed work may go on after the slot may have gone to another device; default 300000."""
    borrow_ending_hours: int
    """Hours before the end of a borrow at which BORROW_ENDING announces it; default 2. EXPIRING uses it too."""
    wait_ms: int
    """Milliseconds to queue for a slot while all are taken; default 0, which fails at once."""
    release_on_close_ms: int
    """Milliseconds within which `close` gives the slot back in the background; default 5000, 0 gives nothing back."""
