"""What is told: replies as the server sent them, and events. Expect members that are not named here."""

from __future__ import annotations

from typing import Any, Optional, TypedDict


class License(TypedDict, total=False):
    """The reply of `activate_license` and `check_license`."""

    id: int
    device_id: int
    license_type: str
    license_active: bool
    license_enabled: bool
    is_expired: bool
    is_trial: bool
    license_key: Optional[str]
    validity_period: Optional[str]
    maintenance_period: Optional[str]
    is_floating_cloud: bool
    """Whether the license floats: its slots are what `lease` takes."""
    is_floating: bool
    """Whether it floats on a server that the vendor runs at the site, which this library does not know."""
    floating_users: int
    floating_in_use_devices: int
    floating_timeout: int
    can_borrow: bool
    is_borrowed: bool
    borrowed_until: Optional[str]
    max_borrow_time: int
    total_consumptions: int
    max_consumptions: int
    product_features: list[dict[str, Any]]


class Feature(TypedDict, total=False):
    """The reply of `check_feature`."""

    id: int
    code: str
    name: str
    license_id: int
    feature_type: str
    expiry_date: Optional[str]
    is_expired: bool
    is_floating_cloud: bool
    """Whether the feature floats: its slots are what `lease` takes."""
    is_floating: bool
    """Whether it floats on a server that the vendor runs at the site, which this library does not know."""
    floating_users: int
    floating_in_use_devices: int
    floating_timeout: int
    can_borrow: bool
    is_borrowed: bool
    max_borrow_time: int
    total_consumptions: int
    max_consumption: int
    """The limit. The replies about a license and about consumptions spell it `max_consumptions`."""


class Borrowed(TypedDict, total=False):
    """The reply of `borrow_license` and `borrow_feature`."""

    borrowed_until: str
    max_borrow_time: int
    device_id: int
    license_id: int
    floating_in_use_devices: int


class Consumed(TypedDict, total=False):
    """The reply of `add_consumption` and `add_feature_consumption`."""

    total_consumptions: int
    max_consumptions: int
    queued: bool
    """With `offline="queue"`: it is on disk, and booked later."""
    queued_consumptions: int
    idempotency_key: str
    status: int
    name: str
    reason: str


class Synced(TypedDict, total=False):
    """The reply of `sync_consumptions`, and the event CONSUMPTIONS_SYNCED."""

    event: str
    booked: int
    refused: list[dict[str, Any]]
    unknown: list[dict[str, Any]]
    waiting: int
    status: int
    name: str
    reason: Optional[str]


class LeaseInfo(TypedDict, total=False):
    """All that is known of a lease."""

    lease: int
    state: str
    remaining_ms: int
    renews_in_ms: Optional[int]
    status: int
    name: str
    reason: Optional[str]
    borrowed_until: Optional[str]
    keep_alive: str
    slots: list[dict[str, Any]]


class Event(TypedDict, total=False):
    """What happened to a lease by itself.

    `event` is DEGRADED, RENEWED, GRACE_STARTED, LOST, REGAINED, BORROW_ENDING, EXPIRING, WAITING or
    CONSUMPTIONS_SYNCED; expect others.
    """

    event: str
    lease: int
    """The lease's `number`."""
    state: str
    remaining_ms: int
    status: int
    name: str
    reason: Optional[str]
    borrowed_until: Optional[str]
    at: str
    asks_again_in_ms: int
    left_ms: int
    booked: int
    refused: list[dict[str, Any]]
    unknown: list[dict[str, Any]]
    waiting: int
    missed: int
    """So many events before this one were dropped, because nobody read them."""


class Check(TypedDict, total=False):
    """One line of a report."""

    check: str
    verdict: str
    ms: float
    detail: str


class Report(TypedDict, total=False):
    """What `diagnose` found. It holds no secret."""

    ok: bool
    version: str
    base_url: str
    product: str
    hardware_id: str
    checks: list[Check]
