"""The exceptions that failed calls raise."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Optional

from ._status import CATEGORIES, Status


class FloatLeaseError(Exception):
    """A call failed. Each category of failures has a class of its own, derived from this one.

    `str()` of it can be shown to a user: it says what happened and what to do.
    """

    status: int
    """The status of the failure: a `Status`, or a plain int for one that is newer than this package."""
    name: str
    """The name of the status, for example `"FLOATING_NOT_AVAILABLE"`."""
    category: str
    """The category of the failure, for example `"license"` or `"network"`."""
    message: str
    """A sentence that says what happened."""
    advice: str
    """A sentence that says what to do about the failure."""
    retryable: bool
    """True if the same call may succeed later, although no setting is changed."""
    retry_after_ms: Optional[int]
    """Milliseconds after which the server accepts the next request; None if it did not say."""
    outcome: str
    """The progress of the call, which a program must know before it tries again.

    `"not_sent"`: the request did not leave this machine. `"rejected"`: the server refused it and did nothing.
    `"unknown"`: the server may have carried it out, so ask first.
    """
    http_status: Optional[int]
    """The HTTP status of the last reply; None if there was no reply."""
    server_code: Optional[str]
    """The error code in the last reply, for example `"floating_not_available"`; None if it has none."""
    attempts: int
    """The number of requests that the call has tried."""
    elapsed_ms: int
    """Milliseconds that the call took."""
    json: dict[str, Any]
    """The whole error object of the library, with members that have no attribute here."""

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
    """Your program made a mistake: an argument or the config is invalid, or a client or lease is closed."""


class NetworkError(FloatLeaseError):
    """The request or its reply did not get through: no connection, no answer in time, or a cancelled call."""


class ReplyError(FloatLeaseError):
    """A reply came that the server's public key does not prove, or that is no reply to this request."""


class LocalError(FloatLeaseError):
    """This machine is the reason: its disk, its clock, its certificates, or a resource that it has run out of."""


class InternalError(FloatLeaseError):
    """The library has a defect. Please report it with the message."""


class AuthorizationError(FloatLeaseError):
    """The server refused the API key, the shared key or the request's headers."""


class RequestError(FloatLeaseError):
    """The server refused the request's parameters."""


class ProductError(FloatLeaseError):
    """The server refused because of the product."""


class LicenseError(FloatLeaseError):
    """The server refused because of the license: it is expired or disabled, or no slot of it is free."""


class DeviceError(FloatLeaseError):
    """The server refused this device: it is not activated, or it is blocked."""


class FeatureError(FloatLeaseError):
    """The server refused because of a feature: the license lacks it, or no slot of it is free."""


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
    """Returns the `Status` of a number, or the number itself if it is newer than this package."""
    try:
        return Status(number)
    except ValueError:
        return number


def error_from_object(error: Mapping[str, Any]) -> FloatLeaseError:
    """Returns the exception for an error object. A category that is newer than this package gives the base class."""
    return CLASSES.get(error.get("category", ""), FloatLeaseError)(error)


def error_from_status(status: int, text: str | None, name: str, message: str = "") -> FloatLeaseError:
    """Returns the exception for a call that gave this status, and an error object as a text or none.

    Without an error object, `message` says what happened; its default is the name of the status.
    """
    if text:
        return error_from_object(json.loads(text))
    sentence = message or name.replace("_", " ").capitalize() + "."
    outcome = "unknown" if status == Status.CANCELLED else "not_sent"
    category = CATEGORIES.get(status, "")
    return error_from_object(
        {"status": status, "name": name, "category": category, "message": sentence, "outcome": outcome}
    )
