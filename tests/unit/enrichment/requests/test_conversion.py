"""conversion.py: a value from any source has one text in a prompt."""

from __future__ import annotations

import enum
from collections import OrderedDict, deque, namedtuple
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from ipaddress import ip_address
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import psycopg2.extras
import pyarrow as pa
import pytest
from psycopg.types.multirange import Multirange
from psycopg.types.range import Range

from include.enrichment.requests.conversion import convert_result, to_prompt_value
from include.enrichment.requests.prompt_values import UnsupportedValue


class Mood(enum.Enum):
    CALM = "calm"


class Level(enum.IntEnum):
    HIGH = 3


class Code(enum.StrEnum):
    A = "a"


BERLIN = ZoneInfo("Europe/Berlin")
ID = "0b1c2d3e-0000-4000-8000-000000000001"
Address = namedtuple("Address", ["street", "zip"])

#: A value from any source, its text, and its text within a list.
SPELLED: list[tuple[Any, str, str]] = [
    ("it's", "it's", '"it\'s"'),
    (np.str_("x"), "x", "'x'"),
    (12, "12", "12"),
    (np.int16(12), "12", "12"),
    (True, "True", "True"),
    (np.bool_(True), "True", "True"),
    (0.1, "0.1", "0.1"),
    (np.float64(0.1), "0.1", "0.1"),
    (np.float32(0.1), "0.1", "0.1"),
    (np.float16(0.1), "0.1", "0.1"),
    (pa.scalar(0.1, pa.float32()), "0.1", "0.1"),
    (np.array(0.1, np.float32), "0.1", "0.1"),
    (1e-07, "1e-07", "1e-07"),
    (float("nan"), "nan", "nan"),
    (Decimal("12.50"), "12.50", "12.50"),
    (Decimal("1E-7"), "0.0000001", "0.0000001"),
    (Decimal("1E+3"), "1000", "1000"),
    (Decimal("-0.00"), "0.00", "0.00"),
    (Decimal("-1E-7"), "-0.0000001", "-0.0000001"),
    (Decimal("NaN"), "NaN", "NaN"),
    (Decimal("-sNaN"), "NaN", "NaN"),
    (Decimal("-Infinity"), "-Infinity", "-Infinity"),
    (date(2026, 11, 1), "2026-11-01", "'2026-11-01'"),
    (np.datetime64("2026-11-01"), "2026-11-01", "'2026-11-01'"),
    (time(10, 0), "10:00:00", "'10:00:00'"),
    (time(10, 0, tzinfo=timezone(timedelta(hours=2))), "10:00:00+02:00", "'10:00:00+02:00'"),
    (datetime(2026, 11, 1, 8, tzinfo=UTC), "2026-11-01 08:00:00+00:00", "'2026-11-01 08:00:00+00:00'"),
    (datetime(2026, 11, 1, 9, tzinfo=BERLIN), "2026-11-01 08:00:00+00:00", "'2026-11-01 08:00:00+00:00'"),
    (
        datetime(2026, 11, 1, 9, tzinfo=timezone(timedelta(hours=1))),
        "2026-11-01 08:00:00+00:00",
        "'2026-11-01 08:00:00+00:00'",
    ),
    (
        datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN, fold=1),
        "2026-10-25 01:30:00+00:00",
        "'2026-10-25 01:30:00+00:00'",
    ),
    (
        datetime.fromisoformat("2026-11-01 08:00:00.000005"),
        "2026-11-01 08:00:00.000005",
        "'2026-11-01 08:00:00.000005'",
    ),
    (pd.Timestamp("2026-11-01 08:00", tz=BERLIN), "2026-11-01 07:00:00+00:00", "'2026-11-01 07:00:00+00:00'"),
    (
        pd.Timestamp("2026-11-01 08:00:00.000000007", tz=UTC),
        "2026-11-01 08:00:00.000000007+00:00",
        "'2026-11-01 08:00:00.000000007+00:00'",
    ),
    (
        np.datetime64("1969-12-31T23:59:59.123456789"),
        "1969-12-31 23:59:59.123456789",
        "'1969-12-31 23:59:59.123456789'",
    ),
    (timedelta(days=2, minutes=90), "2 days, 1:30:00", "'2 days, 1:30:00'"),
    (pd.Timedelta("90min"), "1:30:00", "'1:30:00'"),
    (pd.Timedelta("1ns"), "0:00:00.000000001", "'0:00:00.000000001'"),
    (np.timedelta64(90, "m"), "1:30:00", "'1:30:00'"),
    (UUID(ID), ID, f"'{ID}'"),
    (ip_address("10.0.0.1"), "10.0.0.1", "'10.0.0.1'"),
    (Mood.CALM, "calm", "'calm'"),
    (Code.A, "a", "'a'"),
    (Level.HIGH, "3", "3"),
    (Range(1, 5), "[1, 5)", "'[1, 5)'"),
    (psycopg2.extras.NumericRange(1, 5), "[1, 5)", "'[1, 5)'"),
    (Range(Decimal("1E-7"), None), "[0.0000001, )", "'[0.0000001, )'"),
    (psycopg2.extras.DateRange(date(2026, 11, 1), None, "(]"), "(2026-11-01, )", "'(2026-11-01, )'"),
    (Range(empty=True), "empty", "'empty'"),
    (Multirange([Range(1, 5), Range(7, 9)]), "{[1,5),[7,9)}", "'{[1,5),[7,9)}'"),
    (None, "", "''"),
    (pd.NaT, "", "''"),
    (pd.NA, "", "''"),
    (np.datetime64("NaT"), "", "''"),
    (pa.scalar(None, pa.string()), "", "''"),
    ({"d", "a", "c", "b"}, "['a', 'b', 'c', 'd']", "['a', 'b', 'c', 'd']"),
    (frozenset({10, 9, 8}), "[8, 9, 10]", "[8, 9, 10]"),
    ({"a", 1, None}, "['', 'a', 1]", "['', 'a', 1]"),
    ((1, "a"), "(1, 'a')", "(1, 'a')"),
    (deque([1]), "[1]", "[1]"),
    (np.array([0.1], np.float32), "[0.1]", "[0.1]"),
    (OrderedDict(b=1, a=None), "{'b': 1, 'a': ''}", "{'b': 1, 'a': ''}"),
    (Address("x", Decimal("1.0")), "Address(street='x', zip=1.0)", "Address(street='x', zip=1.0)"),
]


def spelled(value: object) -> str:
    """The id of a test: the same in every process, which the order of a set is not."""
    return repr(sorted(value, key=repr) if isinstance(value, set | frozenset) else value)


@pytest.mark.parametrize(("value", "text", "within"), SPELLED, ids=spelled)
def test_a_value_has_one_text_at_any_depth(value: Any, text: str, within: str) -> None:
    found = to_prompt_value(value)
    assert str(found) == f"{found}" == "%s" % (found,) == text  # noqa: UP031
    assert str(to_prompt_value([value])) == f"[{within}]"
    assert str(to_prompt_value({"a": {"b": (value,)}})) == f"{{'a': {{'b': ({within},)}}}}"
    assert str(to_prompt_value(found)) == text
    assert str(convert_result(found, "x")) == text


@pytest.mark.parametrize("value", [b"x", bytearray(b"x"), memoryview(b"x"), np.bytes_(b"x")])
def test_bytes_have_no_text_at_any_depth(value: Any) -> None:
    for holder in (value, [value], {"a": {"b": [value]}}, (value,), {value} if value.__hash__ else [value]):
        for spell in (str, repr, "{}".format, "%s".__mod__):
            with pytest.raises(UnsupportedValue, match="a binary value has no text: decode it in extract"):
                spell((to_prompt_value(holder),) if spell == "%s".__mod__ else to_prompt_value(holder))


@pytest.mark.parametrize(
    "value", [object(), iter([1]), len, lambda: 1, pa.py_buffer(b"x"), (number for number in range(3)), object]
)
def test_a_value_that_prints_its_memory_address_has_no_text(value: Any) -> None:
    with pytest.raises(UnsupportedValue, match=r"^a value of type \w+ has no text: cast it in extract\.sql"):
        str(to_prompt_value([value]))


def test_a_time_outside_the_range_of_utc_is_rejected() -> None:
    with pytest.raises(UnsupportedValue, match=r"^0001-01-01 00:00:00\+01:00 is outside the years 1 to 9999 UTC"):
        to_prompt_value(datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=1))))


def test_a_text_that_looks_like_a_memory_address_is_a_text() -> None:
    text = "<generator object at 0x7f3a5c0d1e40>"
    assert to_prompt_value(text) == text
    assert str(to_prompt_value([text])) == f"['{text}']"
