"""What a call that failed raises."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Optional

from ._status import CATEGORIES, Status


class FloatLeaseError(Exception):
    """A call failed. Each category of failures has a class of its own, derived from this one.

    `str()` of it is for the user: what happened, and what to do about it.
    """

    status: int
    """The number: a `Status`, or a plain int that this version does not know."""
    name: str
    """Its name, for example `"FLOATING_NOT_AVAILABLE"`."""
    category: str
    """What it is about, for example `"license"`."""
    message: str
    """What happened."""
    advice: str
    """What to do about it."""
    retryable: bool
    """Whether the same call may succeed later without anybody changing anything."""
    retry_after_ms: Optional[int]
    """When the server wants the next request, if it said so."""
    outcome: str
    """What to know before trying again: `"not_sent"`, `"rejected"`, or `"unknown"`: it may have been carried out."""
    http_status: Optional[int]
    """The HTTP status of the last reply."""
    server_code: Optional[str]
    """The `code` in the last reply."""
    attempts: int
    """How many requests were tried."""
    elapsed_ms: int
    """How long the call took."""
    json: dict[str, Any]
    """The whole error object, as it came."""

    def __init__(self, error: Mapping[str, Any]) -> None:
        # The one argument, so that it can be pickled: errors travel between processes.
        super().__init__(dict(error))
        self.json = dict(error)
        self.status = status_of(error.get("status", Status.INTERNAL))
        self.name = error.get("name", "UNKNOWN_STATUS")
        self.category = error.get("category", "")
        self.message = error.get("message", "")
        self.advice = error.get("advice", "")
        self.retryable = error.get("retryable", False)
        self.retry_after_ms = error.get("retry_after_ms")
        self.outcome = error.get("outcome", "unknown")
        self.http_status = error.get("http_status")
        self.server_code = error.get("server_code")
        self.attempts = error.get("attempts", 0)
        self.elapsed_ms = error.get("elapsed_ms", 0)

    def __str__(self) -> str:
        return " ".join(filter(None, [f"{self.name}: {self.message}", self.advice]))


class UsageError(FloatLeaseError):
    """The caller's mistake: an argument, the config, a client or lease that is closed or of another process."""


class NetworkError(FloatLeaseError):
    """On the way to the server and back: no connection, no answer in time, cancelled."""


class ReplyError(FloatLeaseError):
    """A reply that must not be believed."""


class LocalError(FloatLeaseError):
    """This machine: its disk, its clock, its certificates."""


class InternalError(FloatLeaseError):
    """A defect of the library."""


class AuthorizationError(FloatLeaseError):
    """The server refused the keys or the request's headers."""


class RequestError(FloatLeaseError):
    """The server refused the request itself."""


class ProductError(FloatLeaseError):
    """The server refused because of the product."""


class LicenseError(FloatLeaseError):
    """The server refused because of the license: its state, or no slot of it is free."""


class DeviceError(FloatLeaseError):
    """The server refused this device: it is not activated, or is shut out."""


class FeatureError(FloatLeaseError):
    """The server refused because of a feature, or no slot of it is free."""


class ConsumptionError(FloatLeaseError):
    """The server refused a consumption."""


class CustomerError(FloatLeaseError):
    """The server refused because of the customer or the user."""


CLASSES: dict[str, type[FloatLeaseError]] = {
    "usage": UsageError,
    "network": NetworkError,
    "reply": ReplyError,
    "local": LocalError,
    "internal": InternalError,
    "authorization": AuthorizationError,
    "request": RequestError,
    "product": ProductError,
    "license": LicenseError,
    "device": DeviceError,
    "feature": FeatureError,
    "consumption": ConsumptionError,
    "customer": CustomerError,
}


def status_of(number: int) -> int:
    """The `Status` of that number, or the number itself if it is newer than this package."""
    try:
        return Status(number)
    except ValueError:
        return number


def error_from(error: Mapping[str, Any]) -> FloatLeaseError:
    """The exception for an error object; a category that is not known here is no hindrance."""
    return CLASSES.get(error.get("category", ""), FloatLeaseError)(error)


def error_of(status: int, text: str | None, name: str) -> FloatLeaseError:
    """The exception for a call that gave this status, and this text or none."""
    if text:
        return error_from(json.loads(text))
    sentence = name.replace("_", " ").capitalize() + "."
    outcome = "unknown" if status == Status.CANCELLED else "not_sent"
    category = CATEGORIES.get(status, "")
    return error_from({"status": status, "name": name, "category": category, "message": sentence, "outcome": outcome})
