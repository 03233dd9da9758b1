"""carried.py: a carried column has the source's type, and each value is stored exactly or rejected with its name."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from ipaddress import ip_address
from typing import Any
from uuid import UUID

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from include.enrichment.answers.schema.carried import (
    CARRIED_TYPE_NAMES,
    carried_array,
    carried_fields,
    carried_type,
    columns_without_type,
)
from include.enrichment.answers.table import changed_types
from include.enrichment.errors import SpecError
from include.enrichment.requests.float32 import widen_float32

NAN = float("nan")
NESTED = pa.struct([("a", pa.list_(pa.struct([("b", pa.decimal128(9, 2)), ("c", pa.float32())])))])
#: Types of Parquet files, each with values.
STORED: list[tuple[pa.DataType, list[Any]]] = [
    (pa.string(), ["a", "", None]),
    (pa.large_string(), ["a"]),
    (pa.dictionary(pa.int32(), pa.string()), ["a", "b", "a", None]),
    (pa.binary(), [b"\xff", None]),
    (pa.binary(4), [b"abcd", None]),
    (pa.bool_(), [True, None, False]),
    *((kind, [1, None, 127]) for kind in (pa.int8(), pa.int16(), pa.int32(), pa.uint8(), pa.uint64())),
    (pa.int64(), [-(2**63), None, 2**63 - 1]),
    (pa.float32(), [0.1, NAN, None, -0.0]),
    (pa.float64(), [0.1, NAN, float("-inf"), None]),
    (pa.decimal128(10, 2), [Decimal("12.50"), None]),
    (pa.decimal256(60, 2), [Decimal("1" * 50), None]),
    (pa.date32(), [date(2026, 11, 1), None]),
    (pa.time32("s"), [time(10, 0, 1), None]),
    (pa.time64("us"), [time(10, 0, 0, 1), None]),
    *((pa.timestamp(unit), [datetime(2026, 11, 1, 8), None]) for unit in ("s", "ms", "us")),  # noqa: DTZ001 (as files give it)
    (pa.timestamp("us", "Europe/Berlin"), [datetime(2026, 11, 1, 8, tzinfo=timezone(timedelta(hours=1))), None]),
    (pa.timestamp("ns", "UTC"), [pd.Timestamp(1_700_000_000_123_456_789, tz="UTC"), None]),
    (pa.uuid(), [UUID(int=5), None]),
    (pa.json_(), ['{"a": 1}', None]),
    (pa.list_(pa.string()), [["a", None], [], None]),
    (pa.large_list(pa.large_string()), [["a"]]),
    (pa.list_(pa.int8(), 2), [[1, 2], None]),
    (pa.list_(pa.list_(pa.float64())), [[[0.5, NAN], None]]),
    (pa.map_(pa.string(), pa.timestamp("us")), [[("a", datetime(2026, 11, 1))], None]),  # noqa: DTZ001 (as files give it)
    (NESTED, [{"a": [{"b": Decimal("1.50"), "c": 0.1}, None]}, {"a": None}, None]),
]


def fields(*rows: dict[str, Any], carry: str | None = None, **described: pa.DataType | None) -> pa.DataType:
    """The type of the carried column ``x``."""
    published = {"x": str(described.pop("published"))} if "published" in described else {}
    (field,) = carried_fields({"x": carry}, rows, described=described, published=published)
    assert (field.name, field.nullable) == ("x", True)
    return field.type


@pytest.mark.parametrize(("described", "values"), STORED, ids=lambda value: str(value)[:40])
def test_a_described_column_is_stored_exactly_and_its_type_survives_parquet(
    described: pa.DataType, values: list[Any]
) -> None:
    kind = fields(x=described)
    field = pa.field("x", kind)
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_arrays([carried_array(values, kind)], schema=pa.schema([field])), sink)
    read = pq.read_table(pa.BufferReader(sink.getvalue()))
    assert str(read.schema.field("x").type) == str(kind)
    assert changed_types([field], {"x": str(read.schema.field("x").type)}) == []
    stored = widen_float32(read.combine_chunks().to_batches()[0])["x"].to_pylist()
    assert repr(stored) == repr(values) or stored == values


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (pa.string(), pa.large_string()),
        (pa.string(), pa.dictionary(pa.int8(), pa.large_string())),
        (pa.list_(pa.string()), pa.large_list(pa.field("element", pa.string_view()))),
        (pa.timestamp("us", "UTC"), pa.timestamp("us", "Europe/Berlin")),
        (pa.date32(), pa.date64()),
    ],
    ids=str,
)
def test_the_same_column_from_another_exporter_has_the_same_type(one: pa.DataType, other: pa.DataType) -> None:
    assert fields(x=one) == fields(x=other)


@pytest.mark.parametrize(
    "described",
    [
        *(pa.duration("us"), pa.month_day_nano_interval(), pa.struct([]), pa.bool8()),
        *(pa.dense_union([pa.field("a", pa.int64())]), pa.list_(pa.duration("s")), pa.map_(pa.string(), pa.struct([]))),
    ],
    ids=str,
)
def test_a_type_that_parquet_lacks_is_rejected_with_its_name(described: pa.DataType) -> None:
    fact = f"pipeline.yaml: source.carry: 'x' is {described} in the source, a type that Parquet does not have. Nothing"
    with pytest.raises(SpecError, match=re.escape(fact)):
        fields(x=described)
    with pytest.raises(SpecError, match=re.escape(fact)):
        columns_without_type({"x": None}, {"x": described}, {})


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([None, "a"], pa.string()),
        ([True], pa.bool_()),
        ([5, 6], pa.int64()),
        ([5, None, 4.5], pa.float64()),
        ([Decimal("12.5")], pa.decimal128(38, 9)),
        ([date(2026, 11, 1)], pa.date32()),
        ([datetime(2026, 11, 1, tzinfo=UTC)], pa.timestamp("us", "UTC")),
        ([datetime(2026, 11, 1)], pa.timestamp("us")),  # noqa: DTZ001 (as databases give it)
        ([time(10)], pa.time64("us")),
        ([b"x"], pa.binary()),
        ([UUID(int=5)], pa.string()),
        ([{"a": 1}], pa.string()),
        ([[1]], pa.string()),
        ([ip_address("10.0.0.1")], pa.string()),
    ],
    ids=str,
)
@pytest.mark.parametrize("described", [{}, {"x": None}, {"x": pa.null()}])
def test_without_a_description_the_values_give_the_type_and_the_next_days_keep_it(
    values: list[Any], kind: pa.DataType, described: dict[str, pa.DataType | None]
) -> None:
    assert columns_without_type({"x": None}, described, {}) == ["x"]
    assert fields(*({"x": value} for value in values), **described) == kind
    carried_array(values, kind)
    for rows in ([], [{"x": "another value"}], [{"x": None}]):
        assert fields(*rows, published=kind, **described) == kind
    assert columns_without_type({"x": None}, described, {"x": str(kind)}) == []


@pytest.mark.parametrize("rows", [[], [{"x": None}] * 3])
def test_a_type_that_nothing_tells_must_be_named(rows: list[dict[str, Any]]) -> None:
    fact = f"the type of 'x' is unknown: .* NULL in the first {len(rows)} rows.*source\\.carry: {{x: string}}"
    with pytest.raises(SpecError, match=fact):
        fields(*rows)


@pytest.mark.parametrize("name", [name.strip('"').replace("p,s", "9,2") for name in CARRIED_TYPE_NAMES])
def test_a_named_type_is_used_for_any_rows_and_description(name: str) -> None:
    kind = carried_type(name)
    assert fields({"x": object()}, carry=name, x=pa.int64(), published="string") == kind
    assert fields(published=kind) == kind


def test_an_unknown_name_is_not_a_type() -> None:
    assert carried_type("text") is None


def test_a_description_overrules_the_published_type() -> None:
    assert fields({"x": "a"}, x=pa.string(), published="int64") == pa.string()


def test_a_published_type_that_only_a_description_gives_does_not_count() -> None:
    assert fields({"x": "a"}, published="list<element: string>") == pa.string()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (UUID(int=5), "00000000-0000-0000-0000-000000000005"),
        ({"b": [1, None], "a": Decimal("1.50")}, '{"a": 1.50, "b": [1, null]}'),
        (["é", date(2026, 11, 1)], '["é", "2026-11-01"]'),
        (ip_address("10.0.0.1"), "10.0.0.1"),
    ],
)
def test_a_text_column_has_the_text_of_values_without_a_type(value: object, text: str) -> None:
    assert carried_array([value, None, "x"], pa.string()).to_pylist() == [text, None, "x"]


@pytest.mark.parametrize(
    ("kind", "values", "fact"),
    [
        (pa.string(), ["a", 7], "7 (int), together with 'a' (str)"),
        (pa.string(), [b"a"], "b'a' (bytes)"),
        (pa.string(), [[b"a"]], "[b'a'] (list): a binary value has no text"),
        (pa.int64(), [5, None, 4.5], "4.5 (float), together with 5 (int): not a whole number"),
        (pa.int64(), ["5"], "'5' (str)"),
        (pa.bool_(), [1], "1 (int)"),
        (pa.float64(), [0.5, "x"], "'x' (str): "),
        (pa.float64(), [1.5, True], "True (bool): not double"),
        (pa.float64(), [2**60 + 1], "(int): "),
        (pa.float32(), [1e300], "1e+300 (float): it would become inf (float)"),
        (pa.decimal128(9, 2), [Decimal("1.555")], "Decimal('1.555') (Decimal): Rescaling"),
        (pa.date32(), [datetime(2026, 11, 1, 5, tzinfo=UTC)], "(datetime)"),
        (pa.timestamp("us"), [5], "5 (int): it would become datetime.datetime(1970, 1, 1, 0, 0, 0, 5)"),
        (pa.timestamp("ms"), [datetime(2026, 1, 1, 0, 0, 0, 1)], "(datetime without a time zone): "),  # noqa: DTZ001 (as files give it)
        (pa.time64("us"), [time(1, tzinfo=UTC)], "it would become datetime.time(1, 0)"),
        (pa.binary(), ["a"], "'a' (str): it would become b'a' (bytes)"),
        (pa.list_(pa.date32()), [[date(2026, 1, 1)], [1]], "[1] (list): it would become [datetime.date(1970, 1, 2)]"),
        (pa.struct([("a", pa.int64())]), [{"a": 1, "b": 2}], "(dict): it would become {'a': 1} (dict)"),
    ],
    ids=str,
)
def test_a_value_that_its_type_would_change_is_rejected_with_value_and_type(
    kind: pa.DataType, values: list[Any], fact: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(fact)):
        carried_array(values, kind)


@pytest.mark.parametrize("kind", [pa.string(), pa.int64(), NESTED, pa.uuid(), pa.map_(pa.string(), pa.int64())])
@pytest.mark.parametrize("values", [[], [None], [None, None]])
def test_a_column_may_be_empty_or_only_null(kind: pa.DataType, values: list[None]) -> None:
    assert carried_array(values, kind) == pa.array(values, kind)


@pytest.mark.parametrize("value", [[1.0, float("nan")], {"a": float("inf")}])
def test_a_list_with_a_number_that_json_lacks_is_not_carried_as_text(value: object) -> None:
    with pytest.raises(ValueError, match="JSON has no NaN and no infinity"):
        carried_array([value], pa.string())
    assert carried_array([["NaN", "Infinity"]], pa.string()).to_pylist() == ['["NaN", "Infinity"]']
