"""The types of replies and events. Expect members that are not named here: a newer server may send them.

In a type that is not total, members that are not `Required` are in some replies only: read them by `get`.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Optional, TypedDict, Union

if TYPE_CHECKING:
    from typing_extensions import Required
elif sys.version_info >= (3, 11):
    from typing import Required
else:
    # For programs that read these types at run time, on a Python that has no such word.
    Required = Optional


class FloatingReply(TypedDict, total=False):
    """The members that replies about a license and about a feature share."""

    id: Required[int]
    """The server's number of the license, or of the feature."""
    is_expired: Required[bool]
    """True if the license, or the feature, has expired."""
    is_floating_cloud: Required[bool]
    """True if the server counts slots. `acquire_lease` takes one of them."""
    is_floating: Required[bool]
    """True if a server that the vendor runs at the site counts slots. This library does not support those."""
    floating_users: int
    """The number of slots that the license, or the feature, has."""
    floating_in_use_devices: int
    """The number of slots that are in use."""
    floating_timeout: int
    """Minutes without a renewal after which the server frees a slot."""
    can_borrow: bool
    """True if a slot may be borrowed."""
    is_borrowed: bool
    """True if this device has borrowed a slot."""
    borrowed_until: Optional[str]
    """The date until which this device has borrowed its slot; None if it has not."""
    max_borrow_time: int
    """The longest borrow in hours."""
    total_consumptions: int
    """The consumptions that were booked so far."""


class LicenseReply(FloatingReply, total=False):
    """The license as the server describes it: the reply of `activate_license` and `check_license`."""

    device_id: Required[int]
    """The server's number of this device."""
    license_type: Required[str]
    """The type of the license: `"perpetual"`, `"subscription"`, `"time-limited"` or `"consumption"`."""
    license_active: Required[bool]
    """True if the license is active. The vendor activates it."""
    license_enabled: Required[bool]
    """True if the license is enabled. The vendor can disable it."""
    is_trial: Required[bool]
    """True if the license is a trial."""
    license_key: Required[Optional[str]]
    """The license key; None for a license that belongs to a user."""
    validity_period: Required[Optional[str]]
    """The date at which the license expires; None if it never does."""
    maintenance_period: Required[Optional[str]]
    """The date at which the maintenance of the license ends; None if it never does."""
    max_consumptions: int
    """The consumptions that the license includes."""
    product_features: Required[list[dict[str, Any]]]
    """The features of the license."""


class FeatureReply(FloatingReply, total=False):
    """A feature as the server describes it: the reply of `check_feature`."""

    code: Required[str]
    """The code that names the feature in requests."""
    name: Required[str]
    """The name of the feature, for people."""
    license_id: Required[int]
    """The server's number of the license that has the feature."""
    feature_type: Required[str]
    """The type of the feature: `"activation"` or `"consumption"`."""
    expiry_date: Required[Optional[str]]
    """The date at which the feature expires; None if it never does."""
    max_consumption: int
    """The consumptions that the feature includes. Replies about licenses spell this member `max_consumptions`."""


class BorrowReply(TypedDict):
    """The reply of `borrow_license` and `borrow_feature`."""

    borrowed_until: str
    """The date until which the slot is this device's."""
    max_borrow_time: int
    """The longest borrow in hours."""
    device_id: int
    """The server's number of this device."""
    license_id: int
    """The server's number of the license."""
    floating_in_use_devices: int
    """The number of slots that are in use."""


class ConsumptionReply(TypedDict, total=False):
    """The reply of `add_consumption` and `add_feature_consumption`."""

    total_consumptions: int
    """The consumptions that were booked so far, these included."""
    max_consumptions: int
    """The consumptions that the license or the feature includes."""
    queued: bool
    """True if the server could not be reached, so that the consumption is kept on disk and booked later."""
    queued_consumptions: int
    """The number of queued consumptions of this license on this device, if this one was queued."""
    idempotency_key: str
    """The key of the queued consumption. The reply of `sync_consumptions` names it if it is refused."""
    status: int
    """The status that explains why the consumption was queued, for example `Status.CONNECT`."""
    name: str
    """The name of the status that explains why the consumption was queued, for example `"CONNECT"`."""
    reason: str
    """A sentence that explains why the consumption was queued."""


class MessageReply(TypedDict):
    """The reply of `deactivate_license`, `deactivate_bundle` and `change_password`."""

    message: str
    """The server's message, for example `"license_deactivated"`."""


class LicensesReply(TypedDict):
    """Several licenses: the reply of `device_licenses`, `activate_bundle` and `check_bundle`."""

    items: list[LicenseReply]
    """The licenses."""


class ProductReply(TypedDict, total=False):
    """The reply of `product_details`."""

    product_id: Required[int]
    """The server's number of the product."""
    product_name: Required[str]
    """The name of the product, for people."""
    short_code: Required[str]
    """The code that names the product in configs and requests."""
    authorization_method: Required[str]
    """The way in which licenses of the product are named: `"license-key"` or `"user"`."""
    allow_trial: Required[bool]
    """True if the product offers trials: `trial_key` gives one."""
    trial_days: Required[int]
    """The number of days that a trial lasts."""
    floating_timeout: Required[int]
    """Minutes without a renewal after which the server frees a slot, unless the license says otherwise."""
    latest_version: Optional[InstallationFileReply]
    """The latest version, if `include_latest_version` asked for it; None if there is none."""
    custom_fields: list[dict[str, Any]]
    """The custom fields of the product, if `include_custom_fields` asked for them."""


class TrialReply(TypedDict, total=False):
    """The trial of a product that this device has: the reply of `trial_key`.

    Only a device that had no trial before gets the members that are not required.
    """

    license: Required[str]
    """The key of the trial's license, for `license_key`. A device that asks again gets the same."""
    license_type: Required[str]
    """The type of the license, for example `"time-limited"`."""
    is_trial: Required[bool]
    """True if the license is a trial."""
    id: int
    """The server's number of the license."""
    trial_days: int
    """The number of days that the trial lasts from its activation on."""
    created_at: Union[int, str]
    """The time at which the trial was given: milliseconds since 1970, or a date."""
    max_activations: int
    """The number of devices that may activate the license."""
    is_floating_cloud: bool
    """True if the server counts slots: `acquire_lease` takes one."""


class ProductVersion(TypedDict):
    """A version of a product, as `versions` lists it."""

    version: str
    """The name of the version, for example `"1.0.0"`. `installation_file` takes it."""
    release_date: Optional[str]
    """The date of the release; None if the server knows none."""


class VersionsReply(TypedDict):
    """The versions that a license includes: the reply of `versions`."""

    items: list[ProductVersion]
    """The versions, the newest first."""


class InstallationFileReply(TypedDict):
    """The place of a version's file: the reply of `installation_file`."""

    id: int
    """The server's number of the version."""
    version: str
    """The name of the version, for example `"1.0.0"`."""
    installation_file: str
    """The address of the file."""
    release_date: Optional[str]
    """The date of the release; None if the server knows none."""
    hash_md5: str
    """The MD5 hash of the file in hexadecimal digits; empty if the server knows none."""
    size: Union[int, str, None]
    """The size of the file in bytes, which some servers write as a text; None or empty if they know none."""
    requires_version: Optional[str]
    """The version that must be installed before; None if there is none."""
    environment: str
    """The environment that the file is for, for example `"win64"`; empty if it is for any."""
    eula_link: str
    """The address of the license agreement; empty if there is none."""
    release_notes_link: str
    """The address of the release notes; empty if there are none."""
    channel: str
    """The release channel, for example `"beta"`; empty if the version is in none."""


class DeviceVariable(TypedDict, total=False):
    """A value that the server keeps for a device."""

    variable: Required[str]
    """The name of the variable."""
    value: Required[str]
    """The value. The server keeps numbers and booleans as texts."""
    device_id: Required[int]
    """The server's number of the device."""
    created_at: Required[Union[int, str]]
    """The time at which the value was set: a date, or after `track_device_variables` milliseconds since 1970."""
    id: int
    """The server's number of the variable. Only `get_device_variables` has it."""


class DeviceVariablesReply(TypedDict):
    """The reply of `get_device_variables` and `track_device_variables`."""

    items: list[DeviceVariable]
    """The variables: all of the device, or those that were set."""


class SyncReply(TypedDict):
    """The result of booking queued consumptions: the reply of `sync_consumptions`, and of an event."""

    event: str
    """Always `"CONSUMPTIONS_SYNCED"`."""
    booked: int
    """The number of consumptions that were booked."""
    refused: list[dict[str, Any]]
    """The consumptions that the server refused. Each is reported once and not booked."""
    unknown: list[dict[str, Any]]
    """The consumptions that may have been booked or not. Each is reported once and not sent again."""
    waiting: int
    """The number of consumptions that are still queued."""
    status: int
    """The status that explains why consumptions are still queued; `Status.OK` if none is."""
    name: str
    """The name of that `status`, for example `"CONNECT"`."""
    reason: Optional[str]
    """A sentence that explains why consumptions are still queued; None if none is."""


class LeaseInfo(TypedDict):
    """Everything that the library knows about a lease."""

    lease: int
    """The number that names the lease in events."""
    features: list[str]
    """The features of the lease; empty for the license's own slot."""
    tag: Optional[str]
    """The `tag` of the acquire; None without one."""
    state: str
    """The name of the lease's state, for example `"ACTIVE"`."""
    remaining_ms: int
    """Milliseconds until licensed work must stop."""
    renews_in_ms: Optional[int]
    """Milliseconds until the next renewal; None if the lease is not going to be renewed."""
    status: int
    """The status of the last failure; `Status.OK` if the last request succeeded."""
    name: str
    """The name of that `status`, for example `"CONNECT"`."""
    reason: Optional[str]
    """A sentence about the last failure; None if the last request succeeded."""
    borrowed_until: Optional[str]
    """The date until which the lease is borrowed; None if it is not."""
    keep_alive: str
    """The part that renews the lease: `"thread"` for the library, `"host"` for your program."""
    slots: list[dict[str, Any]]
    """The slots of the lease, each with its `feature` and the server's last `reply`."""


class UnreleasedLease(TypedDict):
    """A lease that could not be released in time, as a `ReleaseAllReply` tells it."""

    lease: int
    """The number of the lease."""
    status: int
    """The status that explains why the lease could not be released, for example `Status.CONNECT`."""
    name: str
    """The name of that `status`, for example `"CONNECT"`."""
    reason: str
    """A sentence that explains why the lease could not be released."""


class ReleaseAllReply(TypedDict):
    """The reply of `release_all`. Leases are named by their `number`."""

    released: list[int]
    """The leases that were released."""
    kept: list[int]
    """The leases that are borrowed: their slots stay borrowed until their dates."""
    left: list[UnreleasedLease]
    """The leases that could not be released in time.

    The server frees their slots after their timeout, or the next start releases them.
    """


class Event(TypedDict, total=False):
    """An event of a lease, or the result of booking queued consumptions.

    `event` is one of DEGRADED, RENEWED, GRACE_STARTED, LOST, REGAINED, BORROW_ENDING, EXPIRING, WAITING and
    CONSUMPTIONS_SYNCED. Expect names that are not listed here.
    """

    event: Required[str]
    """The name of the event, for example `"GRACE_STARTED"`."""
    lease: int
    """The `number` of the lease that the event is about."""
    features: list[str]
    """The features of that lease; empty for the license's own slot."""
    tag: Optional[str]
    """The `tag` of the acquire; None without one."""
    ticket: int
    """The `ticket` of an acquire that was submitted. Only WAITING has it."""
    state: str
    """The name of the lease's state, for example `"GRACE"`."""
    remaining_ms: int
    """Milliseconds until licensed work must stop."""
    status: int
    """The status of the last failure; `Status.OK` if the last request succeeded."""
    name: str
    """The name of that `status`, for example `"CONNECT"`."""
    reason: Optional[str]
    """A sentence about the last failure; None if the last request succeeded."""
    borrowed_until: Optional[str]
    """The date until which the lease is borrowed; None if it is not."""
    at: str
    """The time of the event in UTC."""
    asks_again_in_ms: int
    """Milliseconds until the acquire asks the server again. Only WAITING has it."""
    left_ms: int
    """Milliseconds until the acquire gives up. Only WAITING has it."""
    booked: int
    """The number of consumptions that were booked. Only CONSUMPTIONS_SYNCED has it."""
    refused: list[dict[str, Any]]
    """The consumptions that the server refused. Only CONSUMPTIONS_SYNCED has it."""
    unknown: list[dict[str, Any]]
    """The consumptions that may have been booked or not. Only CONSUMPTIONS_SYNCED has it."""
    waiting: int
    """The number of consumptions that are still queued. Only CONSUMPTIONS_SYNCED has it."""
    missed: int
    """The number of events that were dropped before this one, because the program did not read them."""


class DiagnoseCheck(TypedDict):
    """One check of a `DiagnoseReport`."""

    check: str
    """The name of the check, for example `"dns"`."""
    verdict: str
    """The result: `"ok"`, `"warning"`, `"failed"` or `"skipped"`."""
    ms: Optional[float]
    """Milliseconds that the check took; None if it made no request."""
    detail: str
    """A sentence about what the check found."""


class DiagnoseReport(TypedDict):
    """The report of `Client.diagnose`. It holds no secret, so it may be shown and sent."""

    ok: bool
    """True if no check failed."""
    version: str
    """The version of the library."""
    base_url: str
    """The address of the server."""
    product: str
    """The product's short code."""
    hardware_id: str
    """The id that names this device to the server."""
    checks: list[DiagnoseCheck]
    """The checks, in the order in which they were made."""
