from __future__ import annotations

import json
import uuid
from datetime import date, datetime, timezone
from decimal import Decimal
from enum import Enum, IntEnum, IntFlag
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy
import pytest
from conftest import Workplace
from floatlease import AsyncClient, Client, UsageError
from floatlease._json import MOST_NESTED, encoded
from floatlease.sandbox import Sandbox


class Number(IntEnum):
    TEN = 10


class Flag(IntFlag):
    FOUR = 4


class Text(str, Enum):
    MESH = "MESH"


class Plain(Enum):
    ONE = 1


class Index:
    """An integer of another library, as sympy's and gmpy2's."""

    def __index__(self) -> int:
        return 7


TAKEN: list[tuple[Any, str]] = [
    (numpy.int8(-3), "-3"),
    (numpy.int64(5), "5"),
    (numpy.uint64(2**64 - 1), "18446744073709551615"),
    (numpy.array(6), "6"),
    (numpy.bool_(True), "true"),
    (numpy.bool_(False), "false"),
    (numpy.float64(0.25), "0.25"),
    (numpy.float32(0.5), "0.5"),
    (numpy.float16(2), "2.0"),
    (numpy.str_("x"), '"x"'),
    (Index(), "7"),
    (Number.TEN, "10"),
    (Flag.FOUR, "4"),
    (Text.MESH, '"MESH"'),
    (True, "true"),
    (10**30, str(10**30)),
    (Path("/a/b"), '"/a/b"'),
    (("a", numpy.int32(1)), '["a", 1]'),
    (MappingProxyType({"a": numpy.bool_(True)}), '{"a": true}'),
    (datetime(2030, 1, 1, tzinfo=timezone.utc), '"2030-01-01T00:00:00.000+00:00"'),
    (None, "null"),
]

REFUSED: list[tuple[Any, str]] = [
    (Decimal("1.5"), "decimal.Decimal has no place in JSON"),
    (Fraction(1, 3), "fractions.Fraction has no place"),
    (1j, "complex has no place"),
    (b"secret", "bytes has no place"),
    (bytearray(b"secret"), "bytearray has no place"),
    ({"secret"}, "set has no place"),
    (iter(["secret"]), "list_iterator has no place"),
    (Plain.ONE, "test_json.Plain has no place"),
    (uuid.UUID(int=0), "uuid.UUID has no place"),
    (date(2030, 1, 1), "datetime.date has no place"),
    (Plain, "enum.EnumType has no place|enum.EnumMeta has no place"),
    (numpy.array([1, 2]), "numpy.ndarray has no place"),
    (numpy.complex64(1), "numpy.complex64 has no place"),
    (numpy.longdouble(1), "numpy.longdouble has no place"),
    (numpy.datetime64("2030-01-01"), "numpy.datetime64 has no place"),
    (numpy.datetime64(1, "ns"), "numpy.datetime64 has no place"),
    (numpy.timedelta64(5, "ns"), "numpy.timedelta64 has no place"),
    (datetime(2030, 1, 1), "has no time zone"),
    (float("nan"), "is nan, which is not JSON compliant"),
    (float("-inf"), "is -inf, which is not JSON compliant"),
    (numpy.float32("nan"), "is nan, which is not JSON compliant"),
]


@pytest.mark.parametrize(("value", "text"), TAKEN, ids=[repr(value) for value, _ in TAKEN])
def test_numbers_and_truths_of_other_libraries_are_written_as_pythons(value: Any, text: str) -> None:
    assert encoded({"key": value}).decode() == f'{{"key": {text}}}'


@pytest.mark.parametrize(("value", "words"), REFUSED, ids=[repr(value) for value, _ in REFUSED])
def test_what_json_has_no_place_for_is_refused_by_its_key_and_its_type(value: Any, words: str) -> None:
    with pytest.raises((TypeError, ValueError), match=words) as caught:
        encoded({"extra": {"list": [0, value]}})
    assert str(caught.value).startswith("extra.list[1]")
    assert "secret" not in str(caught.value)


def test_a_key_that_is_no_text_and_a_value_in_itself_are_refused() -> None:
    for key in (1, True, None, numpy.int64(1), b"x"):
        with pytest.raises(TypeError, match=r"a key of extra is of type .*; expected str"):
            encoded({"extra": {key: 1}})
    circle: dict[str, Any] = {}
    circle["again"] = [circle]
    with pytest.raises(ValueError, match="does one of them contain itself"):
        encoded(circle)
    deep: Any = 0
    for _ in range(MOST_NESTED - 1):
        deep = [deep]
    assert json.loads(encoded({"deep": deep}))


def test_numpys_numbers_are_taken_wherever_a_number_or_a_truth_is(workplace: Workplace) -> None:
    config = {**workplace.config, "timeout_ms": numpy.int64(20_000), "allow_http": numpy.bool_(True)}
    with Client(config) as client:  # type: ignore[arg-type]
        reply = client.check_license(timeout_ms=numpy.int32(10_000), include_expired_features=numpy.bool_(False))  # type: ignore[arg-type]
        assert client.check_license(license_id=numpy.uint64(reply["id"]))["id"] == reply["id"]  # type: ignore[arg-type]
        assert client.submit("check_license").result(numpy.int64(20_000))["id"] == reply["id"]  # type: ignore[arg-type]
        assert client.next_event(numpy.int16(1)) is None  # type: ignore[arg-type]
        client.advance_clock(numpy.int64(2**33))  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="float"):
            client.advance_clock(1.5)  # type: ignore[arg-type]
        with pytest.raises(UsageError, match="include_expired_features"):
            client.check_license(include_expired_features=numpy.int64(1))  # type: ignore[arg-type]
    with Sandbox(rate=numpy.float32(0), presets=numpy.bool_(False)) as sandbox:  # type: ignore[arg-type]
        assert sandbox.control("GET /clock")["rate"] == 0


def test_the_name_of_a_call_is_a_text(workplace: Workplace) -> None:
    asking: list[Any] = [workplace.client.call, workplace.client.submit, AsyncClient(workplace.config).submit]
    for ask in asking:
        for name in (b"check_license", None, 5):
            with pytest.raises(TypeError, match=r"the name of a call is of type .*; expected str"):
                ask(name)
