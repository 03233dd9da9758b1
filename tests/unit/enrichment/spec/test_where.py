"""where.py: one boolean expression over a row, evaluated without touching rows."""

from __future__ import annotations

from decimal import Decimal

import pyarrow as pa
import pytest

from include.enrichment.errors import SpecError, WarehouseError
from include.enrichment.requests.row_expression import expression_problems
from include.enrichment.spec.where import Where

ROWS = pa.record_batch(
    {
        "Id": [1, 2, 3, 4],
        "body": ["x", "10", "'; drop table source; --", None],
        "tags": pa.array([["a"], ["b"], [], None]),
        "payload": pa.array([{"kind": "x"}, {"kind": "y"}, None, {"kind": None}]),
        "seen": pa.array([0, 1, 2, None], pa.timestamp("ns", "Europe/Berlin")),
        "price": pa.array([Decimal("1.50"), Decimal("2.50"), Decimal("2.51"), None], pa.decimal128(10, 2)),
        "wide": pa.array([Decimal(1)] * 4, pa.decimal256(50, 0)),
    }
)


def select(text: str, rows: pa.RecordBatch = ROWS) -> pa.RecordBatch:
    with Where(text=text, location="tickets/pipeline.yaml:4: source.where").open(rows.schema) as chosen:
        return chosen.select(rows, "s3://bucket/part.parquet")


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("id > 2", [3, 4]),
        ('"Id" = 1 -- the first', [1]),
        ("body = 'x' or\n  body is null", [1, 4]),
        ("body <> 'x'", [2, 3]),
        ("not (body = 'x')", [2, 3]),
        ("contains(body, 'drop table')", [3]),
        ("try_cast(body as int) > 3", [2]),
        ("list_contains(tags, 'a')", [1]),
        ("len(list_filter(tags, lambda tag: tag = 'b')) > 0", [2]),
        ("payload.kind = 'y' or payload is null", [2, 3]),
        ("price > 2.50", [3]),
        ("seen >= '1970-01-01 00:00:00.000000001+00'", [2, 3]),
        ("true", [1, 2, 3, 4]),
        ("1 > 2", []),
    ],
)
def test_the_rows_for_which_it_is_true_stay_as_they_are(text: str, ids: list[int]) -> None:
    assert list(expression_problems(text)) == []
    chosen = select(text)
    assert chosen["Id"].to_pylist() == ids
    assert chosen.schema == ROWS.schema
    assert chosen.to_pylist() == [row for row in ROWS.to_pylist() if row["Id"] in ids]


def test_times_are_compared_in_utc() -> None:
    moments = pa.record_batch({"moment": pa.array([1_793_487_600_000_000], pa.timestamp("us", "America/New_York"))})
    assert select("moment = '2026-10-31 23:00:00'::timestamptz and hour(moment) = 23", moments).num_rows == 1


@pytest.mark.parametrize(
    ("text", "fact"),
    [
        ("idd > 1", "the source has no column 'idd'; did you mean 'Id'? It has: Id, body, "),
        ("current_date > '2026-01-01'", "the source has no column 'current_date'"),
        ("payloads.kind = 'x'", "no column 'payloads'; did you mean 'payload'?"),
        ("id", "is BIGINT, not a boolean expression: write a comparison"),
        ("null", "not a boolean expression"),
        ("(id, body)", "not a boolean expression"),
        ("body > 5", "Cannot compare values of type VARCHAR and type INTEGER"),
        ("count(*) > 1", "cannot contain aggregates"),
        ("unnest([true])", "UNNEST not supported here"),
        ("wide > 1", "Decimal"),
        ("nosuchfunction(id)", "nosuchfunction does not exist"),
        ("payload.size > 1", "size"),
    ],
)
def test_what_does_not_fit_the_columns_is_a_mistake_in_the_pipelines_folder(text: str, fact: str) -> None:
    with pytest.raises(SpecError) as raised:
        select(text)
    assert str(raised.value).startswith("tickets/pipeline.yaml:4: source.where: ")
    assert fact in str(raised.value)


def test_columns_that_differ_in_case_cannot_be_told_apart() -> None:
    rows = pa.record_batch({"a": [1], "A": [2], "b": [3]})
    with pytest.raises(SpecError, match="cannot tell the columns a, A apart"):
        select("a = 1", rows)
    assert select("b = 3", rows).num_rows == 1


def test_a_value_that_the_expression_cannot_take_is_an_error_of_the_rows() -> None:
    with pytest.raises(
        WarehouseError, match=r"row of s3://bucket/part\.parquet: Could not convert.*try_cast"
    ) as raised:
        select("cast(body as int) > 3")
    assert not raised.value.retryable


@pytest.mark.parametrize("text", ["read_text('/etc/passwd') = 'x'", "getenv('HOME') = 'x'", "glob('/*') = 'x'"])
def test_it_reaches_nothing_outside_the_row(text: str) -> None:
    with pytest.raises(SpecError):
        select(text)


def test_it_reads_only_the_columns_that_it_names() -> None:
    where = Where(text="ID > 1 and contains(Body, 'x')", location="")
    assert where.columns(ROWS.schema.names) == ["Id", "body"]
    assert where.unknown_columns(["Id"]) == ["Body"]
