"""paired_rows.py: every case gives each pair of its answers in both orders."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from include.enrichment.errors import WarehouseError
from include.enrichment.spec.sources.pairs import PairSettings
from include.gateways.sources.paired_rows import paired

ROWS: list[dict[str, Any]] = [
    {"id": 1, "name": "vlc", "_variant": "current", "pitch": "a"},
    {"id": 1, "name": "vlc", "_variant": "brief", "pitch": "b"},
    {"id": 1, "name": "vlc", "_variant": "long", "pitch": "c"},
    {"id": 2, "name": None, "_variant": "brief", "pitch": "d"},
    {"id": 2, "name": None, "_variant": "current", "pitch": None},
    {"id": 3, "name": "gimp", "_variant": "long", "pitch": "e"},
]
COLUMNS = ["id", "first", "second", "name", "first_pitch", "second_pitch"]


def pair(
    rows: list[dict[str, Any]] = ROWS, columns: list[str] = COLUMNS, *, baseline: str | None = "current"
) -> list[tuple[Any, ...]]:
    kinds = {"id": pa.int64(), "name": pa.string(), "_variant": pa.string(), "pitch": pa.string()}
    table = pa.Table.from_pylist(rows, pa.schema(kinds.items()))
    batches = paired(
        table.to_batches(max_chunksize=2),
        PairSettings(baseline=baseline),
        columns,
        case=["id"],
        origin="lake/data.parquet",
    )
    return [tuple(row.values()) for batch in batches for row in batch.to_pylist()]


def test_each_variant_is_paired_with_the_baseline_in_both_orders() -> None:
    assert pair() == [
        (1, "current", "brief", "vlc", "a", "b"),
        (1, "brief", "current", "vlc", "b", "a"),
        (1, "current", "long", "vlc", "a", "c"),
        (1, "long", "current", "vlc", "c", "a"),
        (2, "current", "brief", None, None, "d"),
        (2, "brief", "current", None, "d", None),
    ]


def test_without_a_baseline_all_variants_are_paired() -> None:
    found = [row[:3] for row in pair(baseline=None)]
    assert len(found) == len(set(found)) == 8
    assert {("brief", "long"), ("long", "brief")} <= {row[1:] for row in found if row[0] == 1}


def test_more_pairs_than_one_batch_has_keep_their_order() -> None:
    rows = [{**ROWS[0], "id": number, "_variant": name} for number in range(300) for name in ("current", "brief")]
    found = pair(rows, ["id", "first"])
    assert found == [(number, name) for number in range(300) for name in ("current", "brief")]


def test_a_table_without_rows_has_no_pairs() -> None:
    assert pair([]) == []


def test_a_case_that_does_not_tell_the_answers_of_a_variant_apart_is_an_error() -> None:
    with pytest.raises(WarehouseError) as told:
        pair([*ROWS, ROWS[1]])
    assert str(told.value) == (
        "lake/data.parquet has two rows of 'brief' where id=1, so they cannot be paired. Nothing was sent. Add the"
        " table's other key columns to source.key, for example the number of the sample."
    )


def test_a_baseline_without_rows_is_an_error() -> None:
    with pytest.raises(WarehouseError) as told:
        pair(baseline="curent")
    assert str(told.value).startswith(
        "lake/data.parquet has no row of 'curent' (source.pairs.baseline); did you mean 'current'. It has: current,"
        " brief, long. Nothing was sent."
    )


def test_a_column_that_differs_between_the_answers_has_two_names() -> None:
    with pytest.raises(WarehouseError, match=r"'pitch' of lake/data\.parquet differs .*first_pitch and second_pitch"):
        pair(columns=["id", "pitch"])
