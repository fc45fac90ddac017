"""Writes Python's values as the JSON that the library reads."""

from __future__ import annotations

import json
import math
import operator
import os
import sys
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

MOST_NESTED = 100
"""The number of values that may be nested in one another; more would exceed the library's limit."""


def encoded(values: Mapping[str, Any]) -> bytes:
    """Returns one JSON object.

    Besides JSON's own types it takes numpy's numbers and booleans, other integers, paths, and `datetime` values with a
    time zone. Any other value raises an error that names its key and its type, and never its content, which may be
    secret.
    """
    return json.dumps(_plain(values, "", 0)).encode("ascii")


def _plain(value: Any, key: str, depth: int) -> Any:
    """Returns a value as one of JSON's own types."""
    if depth > MOST_NESTED:
        raise ValueError(f"{key[:60]}…: more than {MOST_NESTED} values are nested; does one of them contain itself?")
    if value is None or isinstance(value, (str, int)):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{key} is {float(value)}, which is not JSON compliant; expected a finite number")
        return float(value)
    # By another name, whose parts stay Any in the checks below.
    whole: Any = value
    if isinstance(value, Mapping):
        return {
            _name(name, key): _plain(one, f"{key}.{name}" if key else name, depth + 1) for name, one in whole.items()
        }
    if isinstance(value, (list, tuple)):
        return [_plain(one, f"{key}[{at}]", depth + 1) for at, one in enumerate(whole)]
    if isinstance(value, datetime):
        return _date(value, key)
    if isinstance(value, os.PathLike):
        return os.fsdecode(whole)
    return _number(value, key, depth)


def _name(name: Any, key: str) -> str:
    if isinstance(name, str):
        return name
    raise TypeError(f"a key of {key or 'the request'} is of type {_type(name)}; expected str")


def _date(value: datetime, key: str) -> str:
    if value.utcoffset() is None:
        raise ValueError(f"{key}: {value!r} has no time zone, so it names no moment; give it one, such as timezone.utc")
    # In UTC, because some time zones, such as those of pytz, have offsets with seconds.
    return value.astimezone(timezone.utc).isoformat(timespec="milliseconds")


def _number(value: Any, key: str, depth: int) -> Any:
    """Returns the Python value of a number or boolean of another library, such as numpy."""
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, numpy.generic) and value.dtype.kind in "biuf":
        # Not by __index__, which its booleans and fractions lack. A longdouble, which Python can't hold, gives itself.
        item = value.item()
        if isinstance(item, (int, float)):
            return _plain(item, key, depth)
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(
            f"{key or 'the request'}: {_type(value)} has no place in JSON; expected a str, bool, int, float, list, "
            "dict or path, or a datetime with a time zone"
        ) from None


def _type(value: Any) -> str:
    module, name = type(value).__module__, type(value).__qualname__
    return name if module == "builtins" else f"{module}.{name}"
