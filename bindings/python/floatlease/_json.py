"""Writes Python's values as the JSON that the library reads."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any


def encoded(values: Mapping[str, Any]) -> bytes:
    """Returns one JSON object. Besides JSON's own types it takes paths, and `datetime` values with a time zone."""
    return json.dumps(values, default=_other, allow_nan=False).encode("ascii")


def _other(value: Any) -> Any:
    if isinstance(value, datetime):
        if value.utcoffset() is None:
            raise ValueError(f"{value!r} has no time zone, so it names no moment; give it one, such as timezone.utc")
        # In UTC, because some time zones, such as those of pytz, have offsets with seconds.
        return value.astimezone(timezone.utc).isoformat(timespec="milliseconds")
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} has no place in JSON")
