"""key_fields.py: the types of the business key, on days with and without rows."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pyarrow as pa
import pytest

from include.enrichment.answers.key_fields import key_fields
from include.enrichment.answers.schema.keys import KEY_TYPES, key_type
from include.enrichment.errors import SpecError, WarehouseError


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("a", "string"),
        (1, "int64"),
        (True, "boolean"),
        (date(2026, 11, 21), "date"),
        (datetime(2026, 11, 21, 5, tzinfo=UTC), "timestamp"),
        (UUID(int=5), "string"),
        (Decimal("7"), "decimal(38,0)"),
    ],
)
def test_an_unknown_type_comes_from_the_first_row(value: object, kind: str) -> None:
    assert key_fields({"k": None}, {"k": value}) == [pa.field("k", key_type(kind), nullable=False)]


@pytest.mark.parametrize("kind", [*KEY_TYPES, "decimal(20,0)"])
@pytest.mark.parametrize("first_row", [None, {"k": "text"}, {"k": 1.5}])
def test_a_named_type_is_used_for_any_rows(kind: str, first_row: dict[str, Any] | None) -> None:
    assert key_fields({"k": kind}, first_row) == [pa.field("k", key_type(kind), nullable=False)]


@pytest.mark.parametrize(
    ("described", "value", "kind"),
    [
        (pa.int16(), 1, "int64"),
        (pa.uint64(), 1, "int64"),
        (pa.large_string(), "a", "string"),
        (pa.string_view(), "a", "string"),
        (pa.dictionary(pa.int32(), pa.string()), "a", "string"),
        (pa.uuid(), UUID(int=5), "string"),
        (pa.decimal128(10, 2), Decimal("1.50"), "decimal(10,2)"),
        (pa.bool_(), True, "boolean"),
        (pa.date64(), date(2026, 11, 21), "date"),
        (pa.timestamp("ns"), datetime(2026, 11, 21, 5), "timestamp"),  # noqa: DTZ001 (as databases give it)
        (pa.timestamp("s", "Europe/Berlin"), datetime(2026, 11, 21, 5, tzinfo=UTC), "timestamp"),
    ],
    ids=str,
)
def test_a_described_type_is_the_same_with_and_without_rows(described: pa.DataType, value: object, kind: str) -> None:
    wanted = [pa.field("k", key_type(kind), nullable=False)]
    for first_row in (None, {"k": value}):
        assert key_fields({"k": None}, first_row, described={"k": described}) == wanted


@pytest.mark.parametrize("kind", [*KEY_TYPES, "decimal(20,0)"])
@pytest.mark.parametrize("described", [None, pa.null(), pa.float64(), pa.string()])
def test_a_day_without_rows_has_the_published_type(kind: str, described: pa.DataType | None) -> None:
    """pandas writes a table without rows with arbitrary types."""
    published = {"k": str(key_type(kind)), "label": "string"}
    found = key_fields({"k": None}, None, described={"k": described}, published=published)
    assert found == [pa.field("k", key_type(kind), nullable=False)]


def test_with_rows_the_description_overrules_the_published_type() -> None:
    found = key_fields({"k": None}, {"k": 1}, described={"k": pa.int64()}, published={"k": "string"})
    assert found == [pa.field("k", pa.int64(), nullable=False)]


@pytest.mark.parametrize("described", [None, {}, {"k": None}, {"k": pa.null()}])
def test_without_rows_and_description_the_type_must_be_named(described: dict[str, pa.DataType | None] | None) -> None:
    with pytest.raises(SpecError, match=r"type of 'k' is unknown.*Nothing was sent.*source\.key: {k: int64}"):
        key_fields({"k": None}, None, described=described, published={"other": "int64"})


@pytest.mark.parametrize("described", [pa.decimal256(40, 0), pa.float64(), pa.binary(), pa.list_(pa.int64())])
def test_without_rows_a_described_type_that_is_no_key_type_must_be_replaced(described: pa.DataType) -> None:
    with pytest.raises(SpecError, match=r"describes it as (decimal|double|binary|list).*source\.key: {k: int64}"):
        key_fields({"k": None}, None, described={"k": described})


def test_a_null_key_in_the_first_row_is_rejected() -> None:
    with pytest.raises(WarehouseError, match="'k' is NULL in 1 of the last 1 rows read"):
        key_fields({"k": None}, {"k": None})


def test_key_columns_keep_the_order_of_the_spec() -> None:
    assert [field.name for field in key_fields({"b": None, "a": None}, {"a": 1, "b": 2, "c": 3})] == ["b", "a"]


@pytest.mark.parametrize("described", [None, pa.float64(), pa.null()])
@pytest.mark.parametrize("value", [1.5, Decimal("1.5"), b"x", [1], {}, timedelta(1)])
def test_a_value_without_a_key_type_needs_a_named_type(value: object, described: pa.DataType | None) -> None:
    with pytest.raises(SpecError, match=rf"'k' comes from the warehouse as {type(value).__name__}.*key: {{k: int64}}"):
        key_fields({"k": None}, {"k": value}, described={"k": described})
