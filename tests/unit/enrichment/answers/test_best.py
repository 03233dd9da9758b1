"""best.py: what is an expression that gives a score."""

from __future__ import annotations

import pyarrow as pa
import pytest

from include.enrichment.answers.best import Best
from include.enrichment.errors import SpecError

COLUMNS: dict[str, pa.DataType | None] = {
    "id": None,
    "label": pa.string(),
    "stars": pa.int64(),
    "rate": pa.decimal128(5, 2),
    "good": pa.bool_(),
    "tags": pa.list_(pa.string()),
}


def best(text: str) -> Best:
    return Best(text=text, among="_sample", location="tickets/pipeline.yaml:9: keep.best")


@pytest.mark.parametrize(
    "text",
    [
        "stars",
        "-len(tags)",
        "rate * 2",
        "good",
        "GOOD",
        "len(label) / 10",
        "1",
        "list_sum(list_transform(tags, lambda t: len(t)))",
    ],
)
def test_a_number_or_a_condition_is_a_score(text: str) -> None:
    best(text).check(COLUMNS)


@pytest.mark.parametrize(
    ("text", "fact"),
    [
        ("label", "is VARCHAR, not a number or a boolean, so it cannot be ordered as a score"),
        ("tags", "is VARCHAR[], not a number or a boolean, so it cannot be ordered as a score"),
        ("star", "the table has no column 'star'; did you mean 'stars'? Nothing was sent."),
        ("-len(_warnings)", "the table has no column '_warnings' (no check has `warn: true`)"),
        ("_sample", "the table has no column '_sample'"),
        (
            "_cost_usd",
            "'_cost_usd' is not known yet when the score is made: use the key, the answer or carried columns",
        ),
        ("max(stars)", "WHERE clause cannot contain aggregates"),
        ("lenght(label)", "Scalar Function with name lenght does not exist! Did you mean"),
    ],
)
def test_anything_else_is_reported_with_its_line(text: str, fact: str) -> None:
    with pytest.raises(SpecError) as raised:
        best(text).check(COLUMNS)
    assert str(raised.value).startswith(f"tickets/pipeline.yaml:9: keep.best: {fact}")


def test_types_are_checked_once_those_of_all_its_columns_are_known() -> None:
    best("id || label").check(COLUMNS)
    with pytest.raises(SpecError, match="is VARCHAR, not a number"):
        best("id || label").check({**COLUMNS, "id": pa.string()})


def test_it_knows_the_columns_that_it_reads() -> None:
    schema = pa.schema([("a", pa.int64()), ("b", pa.int64())])
    assert best("B + 1").columns(schema) == ["b"]
