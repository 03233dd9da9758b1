"""keys.py: a key is stored exactly, or rejected with its name."""

from __future__ import annotations

import enum
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from include.enrichment.answers.schema import keys
from include.enrichment.answers.schema.keys import (
    KEY_TYPES,
    are_alike,
    key_array,
    key_type,
    kind_of_published,
    kind_of_type,
    kind_of_value,
)
from include.enrichment.answers.table import repeated_keys, rows_batch, rows_schema
from include.enrichment.errors import WarehouseError

NAMES = [*KEY_TYPES, "decimal(38,0)", "decimal(20,10)"]
BERLIN = ZoneInfo("Europe/Berlin")
_zones = st.timezones() | st.builds(timezone, st.timedeltas(timedelta(hours=-23), timedelta(hours=23)))
_scalars: list[st.SearchStrategy[Any]] = [
    st.text(st.characters(codec=None, exclude_categories=()), max_size=5),
    st.integers(-(2**63) - 1, 2**63),
    st.integers(-2, 2),
    st.booleans(),
    st.floats(),
    st.integers(-9, 9).map(float),
    st.decimals(),
    st.integers(-(10**20), 10**20).map(lambda number: Decimal(number).scaleb(-1)),
    st.dates(),
    st.datetimes(),
    st.datetimes(timezones=_zones),
    st.datetimes(timezones=st.just(UTC)),
    st.integers(-(2**63) + 1, 2**63 - 1).map(pd.Timestamp),
    st.integers(-(2**53), 2**53).map(lambda number: pd.Timestamp(number * 1_000, tz="Europe/Berlin")),
    st.uuids(),
    st.binary(max_size=3),
    st.timedeltas(),
    st.integers(0, 2**64 - 1).map(np.uint64),
    st.just(pd.NaT),
]
_columns = st.one_of([st.lists(scalar, min_size=1, max_size=5) for scalar in _scalars]) | st.lists(
    st.one_of(_scalars), min_size=2, max_size=4
)


@given(values=_columns, named=st.sampled_from(sorted(NAMES)))
@settings(max_examples=400, deadline=None, derandomize=True)
def test_every_key_is_stored_exactly_or_rejected_with_its_name(values: list[Any], named: str) -> None:
    for kind in {named, kind_of_value(values[0]) or named}:
        schema = rows_schema([pa.field("k", key_type(kind), nullable=False)])
        rows = [{"k": value, "request_id": "r", "params": "{}", "problem": None} for value in values]
        try:
            batch = rows_batch(rows, schema)
        except WarehouseError as error:
            event("refused")
            message = str(error)
            assert message.startswith("The key column 'k' has a value that is not ")
            assert "Nothing was sent." in message
            assert any(type(value).__name__ in message for value in values)
            continue
        event(f"survives as {kind}")
        sink = pa.BufferOutputStream()
        pq.write_table(pa.Table.from_batches([batch]), sink)
        read = pq.read_table(pa.BufferReader(sink.getvalue()))["k"]
        assert read.null_count == 0
        assert read.to_pylist() == [_as_stored(value, kind) for value in values]
        # Keys that differ in the source differ here too.
        distinct = len({(type(value) is UUID, _as_stored(value, kind)) for value in values})
        repeats = repeated_keys(pa.table({"k": read}))["count"].to_pylist()
        assert len(values) - sum(repeats) + len(repeats) == distinct


def _as_stored(value: Any, kind: str) -> Any:
    """Return the stored key, as docs/warehouses.md describes: a UUID is its text, a time without a zone is UTC."""
    if kind == "uuid":
        return UUID(str(value))
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    return int(value) if isinstance(value, np.integer) else value  # numpy's cannot be compared with a Decimal


class _Colour(enum.StrEnum):
    RED = "red"


class _Loud(str):
    """Text with a different str()."""

    __slots__ = ()

    def __str__(self) -> str:
        return self.upper()


@pytest.mark.parametrize(
    ("kind", "values", "stored"),
    [
        ("string", ["a\0b", "", "é", "e\u0301"], ["a\0b", "", "é", "e\u0301"]),
        ("string", [_Colour.RED, _Loud("x"), np.str_("y"), "z"], ["red", "x", "y", "z"]),
        ("string", [UUID(int=5)], ["00000000-0000-0000-0000-000000000005"]),
        ("int64", [7, Decimal("7.0"), 8.0, np.int8(9), Decimal("1E+3")], [7, 7, 8, 9, 1000]),
        ("int64", [-(2**63), 2**63 - 1, np.uint64(2**63 - 1)], [-(2**63), 2**63 - 1, 2**63 - 1]),
        ("decimal(38,0)", [Decimal("9" * 38), 7, np.int8(8), Decimal("1E+3")], [Decimal("9" * 38), 7, 8, 1000]),
        ("decimal(5,2)", [Decimal("1.5"), Decimal("-999.99")], [Decimal("1.50"), Decimal("-999.99")]),
        ("uuid", [UUID(int=5), UUID(int=2**128 - 1)], [UUID(int=5), UUID(int=2**128 - 1)]),
        ("uuid", ["ABCDEF00-0000-0000-0000-000000000005"], [UUID("abcdef00-0000-0000-0000-000000000005")]),
        ("timestamp", [pd.Timestamp(1_700_000_000_123_456_000)], [datetime(2023, 11, 14, 22, 13, 20, 123456, UTC)]),
        ("timestamp", [pd.Timestamp("9999-12-31").as_unit("us")], [datetime(9999, 12, 31, tzinfo=UTC)]),
        (
            "timestamp",
            [datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN, fold=fold) for fold in (0, 1)],
            [datetime(2026, 10, 25, 0, 30, tzinfo=UTC), datetime(2026, 10, 25, 1, 30, tzinfo=UTC)],
        ),
        (
            "timestamp",
            [datetime(2026, 1, 1, tzinfo=timezone(timedelta(microseconds=1)))],
            [datetime(2025, 12, 31, 23, 59, 59, 999_999, UTC)],
        ),
    ],
)
def test_a_key_of_an_unusual_python_type_keeps_its_value(kind: str, values: list[Any], stored: list[Any]) -> None:
    assert key_array(values, key_type(kind)).to_pylist() == stored


@pytest.mark.parametrize(
    ("kind", "values", "fact"),
    [
        ("int64", [1, "a"], "'a' (str), together with 1 (int)"),
        ("int64", [1, True], "True (bool), together with 1 (int)"),
        ("int64", [np.True_], "np.True_ (bool)"),
        ("int64", [Decimal("1.0"), Decimal("1.5")], "Decimal('1.5') (Decimal): not a whole number"),
        ("int64", [-0.0], "-0.0 (float): an integer cannot be negative zero"),
        ("int64", [Decimal("-0.0")], "Decimal('-0.0') (Decimal): an integer cannot be negative zero"),
        ("int64", [float("inf")], "inf (float): cannot convert float infinity to integer"),
        ("int64", [Decimal("sNaN")], "Decimal('sNaN') (Decimal): cannot convert NaN to integer"),
        ("int64", [5, 2**63], "9223372036854775808 (int): "),
        ("int64", [np.uint64(2**63)], "np.uint64(9223372036854775808) (uint64): "),
        ("string", ["7", 7], "7 (int), together with '7' (str)"),
        (
            "string",
            [UUID(int=5), str(UUID(int=5))],
            "(UUID), together with '00000000-0000-0000-0000-000000000005' (str)",
        ),
        ("string", ["a\ud800"], r"'a\ud800' (str): 'utf-8' codec can't encode"),
        ("string", [b"a"], "b'a' (bytes)"),
        (
            "decimal(5,2)",
            [Decimal("1.555")],
            "Decimal('1.555') (Decimal): Rescaling Decimal value would cause data loss",
        ),
        ("decimal(5,2)", [Decimal("1000")], "Decimal('1000') (Decimal): "),
        ("decimal(38,0)", [Decimal("NaN")], "Decimal('NaN') (Decimal): "),
        ("decimal(38,0)", [Decimal(1), "1"], "'1' (str), together with Decimal('1') (Decimal)"),
        ("decimal(38,0)", [1.0], "1.0 (float)"),
        ("decimal(38,0)", [True], "True (bool)"),
        ("uuid", ["0" * 32], f"'{'0' * 32}' (str): not a UUID with hyphens"),
        ("uuid", ["x"], "'x' (str): badly formed hexadecimal UUID string"),
        ("uuid", [UUID(int=5), str(UUID(int=5))], "(UUID), together with '00000000-0000-0000-0000-000000000005' (str)"),
        ("uuid", [5], "5 (int)"),
        ("boolean", [True, 1], "1 (int), together with True (bool)"),
        (
            "date",
            [date(2026, 1, 1), datetime(2026, 1, 1, tzinfo=UTC)],
            "(datetime), together with datetime.date(2026, 1, 1) (d",
        ),
        ("date", [pd.Timestamp("2026-01-01", tz="UTC")], "Timestamp('2026-01-01 00:00:00+0000', tz='UTC') (Timestamp)"),
        ("timestamp", [date(2026, 1, 1)], "datetime.date(2026, 1, 1) (date)"),
        ("timestamp", [pd.NaT], "NaT (NaTType"),
        ("timestamp", [np.datetime64("2026-01-01")], "np.datetime64('2026-01-01') (datetime64)"),
        (
            "timestamp",
            [datetime(2026, 1, 1), datetime(2026, 1, 1, tzinfo=UTC)],  # noqa: DTZ001 (what this is about)
            "(datetime without a time zone), together with"
            " datetime.datetime(2026, 1, 1, 0, 0, tzinfo=datetime.timezone.utc)",
        ),
        ("timestamp", [datetime(9999, 12, 31, 23, tzinfo=timezone(timedelta(hours=-5)))], "date value out of range"),
        (
            "timestamp",
            [pd.Timestamp(n, tz="UTC") for n in (1_000, 1_700_000_000_123_456_789)],
            "Timestamp('2023-11-14 22:13:20.123456789+0000', tz='UTC') (Timestamp): it would become 2023-11-14"
            " 22:13:20.123456+00:00",
        ),
    ],
)
def test_a_key_that_would_change_is_rejected_with_value_and_type(kind: str, values: list[Any], fact: str) -> None:
    with pytest.raises(ValueError, match=re.escape(fact)):
        key_array(values, key_type(kind))


def test_a_long_key_is_abbreviated() -> None:
    with pytest.raises(ValueError, match="together with 'x") as refused:
        key_array(["x" * 1_000_000, 7], pa.string())
    assert len(str(refused.value)) < 150


@pytest.mark.parametrize("kind", NAMES)
def test_no_keys_give_an_empty_column(kind: str) -> None:
    assert key_array([], key_type(kind)) == pa.array([], key_type(kind))


@pytest.mark.parametrize(
    "described",
    [
        *(pa.null(), pa.float32(), pa.float64(), pa.decimal256(39, 0), pa.binary(), pa.time64("us"), pa.duration("us")),
        *(pa.list_(pa.string()), pa.struct([("a", pa.string())]), pa.json_(), pa.dictionary(pa.int8(), pa.float64())),
    ],
    ids=str,
)
def test_a_source_type_without_a_matching_key_type_has_none(described: pa.DataType) -> None:
    assert kind_of_type(described) is None


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *KEY_TYPES.items(),
        ("decimal(38,0)", pa.decimal128(38, 0)),
        ("decimal(10, 2)", pa.decimal128(10, 2)),
        ("decimal(39,0)", None),
        ("decimal(0,0)", None),
        ("decimal(2,3)", None),
        ("decimal(2)", None),
        ("integer", None),
    ],
)
def test_a_key_type_is_found_by_its_name_and_by_that_in_a_manifest(name: str, kind: pa.DataType | None) -> None:
    assert key_type(name) == kind
    if kind is not None:
        assert key_type(str(kind_of_published(str(kind)))) == kind


@pytest.mark.parametrize("published", ["double", "list<item: string>", "decimal256(40, 0)"])
def test_a_published_type_that_is_not_a_key_type_has_no_name(published: str) -> None:
    assert kind_of_published(published) is None


@pytest.mark.parametrize(
    ("value", "kind"), [("7", "decimal(38,0)"), ("1E+3", "decimal(38,0)"), ("1.5", None), ("NaN", None)]
)
def test_a_whole_decimal_is_a_key_without_a_named_type(value: str, kind: str | None) -> None:
    """NUMBER(38,0) of Oracle and Snowflake arrives so."""
    assert kind_of_value(Decimal(value)) == kind


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        (pa.int64(), pa.int16(), True),
        (pa.int64(), pa.decimal128(10, 0), True),
        (pa.decimal128(10, 2), pa.decimal128(12, 2), True),
        (pa.int64(), pa.string(), False),
        (pa.decimal128(10, 0), pa.string(), False),
        (pa.date32(), pa.timestamp("us"), False),
        (pa.float64(), pa.string(), True),
    ],
)
def test_numbers_are_alike_and_not_like_text(one: pa.DataType, other: pa.DataType, alike: bool) -> None:
    assert are_alike(one, other) == are_alike(other, one) == alike


@pytest.mark.parametrize(
    "make",
    [
        int,
        str,
        lambda number: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=number),
        lambda number: pd.Timestamp(number * 1_000, tz="UTC"),
        lambda number: date(2026, 1, 1) + timedelta(days=number),
        Decimal,
    ],
    ids=["int", "str", "datetime", "Timestamp", "date", "Decimal"],
)
def test_usual_keys_are_converted_by_pyarrow_at_once(
    monkeypatch: pytest.MonkeyPatch, make: Callable[[int], Any]
) -> None:
    def fail(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(keys, "_moment", fail)
    monkeypatch.setattr(keys, "_EXACT", {kind: (exact, fail) for kind, (exact, _) in keys._EXACT.items()})
    monkeypatch.setattr(keys, "_EXACT_DECIMAL", (Decimal, fail))
    values = [make(number) for number in range(100)]
    kind = key_type(str(kind_of_value(values[0])))
    assert key_array(values, kind).to_pylist() == values
