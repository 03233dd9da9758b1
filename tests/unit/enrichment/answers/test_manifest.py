"""manifest.py: every row is published, rejected or not kept, exactly once."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from include.enrichment.answers.manifest import Manifest

WHOLE: dict[str, Any] = {
    "pipeline": "catalogue",
    "partition": "2026-11-21",
    "run_id": "run-1",
    "extracted_at": datetime(2026, 11, 21, 2, tzinfo=UTC),
    "published_at": datetime(2026, 11, 21, 3, tzinfo=UTC),
    "reused": [],
    "rows": 10,
    "requests": 8,
    "published": 7,
    "rejected": 3,
    "rejected_by": {"invalid": 2, "errored": 1},
    "batches": ["msgbatch_1"],
    "model": "claude-haiku-5-5",
    "columns": {"package": "string"},
    "table": "s3://lake/tables/catalogue/dt=2026-11-21/data.parquet",
    "rejects": "s3://lake/rejects/catalogue/dt=2026-11-21/data.parquet",
}


@pytest.mark.parametrize(
    "counts",
    [
        {},
        {"rows": 0, "requests": 0, "published": 0, "rejected": 0, "rejected_by": {}},
        {"rows": 3, "published": 0},
        {"rows": 7, "rejected": 0, "rejected_by": {}},
        {"trial": 10},
        {"rows": 15, "not_kept": 5, "samples": "s3://lake/samples/catalogue/dt=2026-11-21/data.parquet"},
    ],
)
def test_counts_that_reconcile_make_a_manifest(counts: dict[str, Any]) -> None:
    manifest = Manifest(**WHOLE | counts)
    assert Manifest.model_validate_json(manifest.model_dump_json()) == manifest


@pytest.mark.parametrize(
    "counts",
    [
        {"rows": 11},
        {"rows": 9},
        {"published": 8},
        {"rejected": 4},
        {"not_kept": 1},
        {"rejected_by": {"invalid": 2}},
        {"rejected_by": {}},
        {"rejected_by": {"invalid": 2, "errored": 1, "expired": 1}},
    ],
)
def test_counts_that_do_not_reconcile_are_rejected(counts: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=r"rows, but [\d,]+ published, [\d,]+ rejected .* and [\d,]+ not kept"):
        Manifest(**WHOLE | counts)


@pytest.mark.parametrize(
    ("source_rows", "text"),
    [(None, "10 rows read"), (10, "10 rows read"), (5, "5 rows read (10 with for_each, variants, samples and parts)")],
)
def test_rows_of_the_source_are_told_from_what_became_of_them(source_rows: int | None, text: str) -> None:
    assert Manifest(**WHOLE, source_rows=source_rows).rows_read == text


@pytest.mark.parametrize("cost", [None, Decimal(0), Decimal("0.000000000005"), Decimal("1234567.000000000100")])
def test_a_cost_is_written_as_exact_text(cost: Decimal | None) -> None:
    manifest = Manifest(**WHOLE, cost_usd=cost, partition_cost_usd=cost)
    text = manifest.model_dump_json()
    assert Manifest.model_validate_json(text) == manifest
    assert json.loads(text)["cost_usd"] == (None if cost is None else f"{cost:f}".rstrip("0").rstrip(".") or "0")


def test_a_manifest_of_an_earlier_version_has_no_cost() -> None:
    assert (Manifest(**WHOLE).cost_usd, Manifest(**WHOLE).partition_cost_usd) == (None, None)


def test_a_manifest_of_another_version_is_rejected() -> None:
    with pytest.raises(ValidationError):
        Manifest(**WHOLE | {"version": 0})
    with pytest.raises(ValidationError):
        Manifest(**WHOLE | {"cost": 1})


@pytest.mark.parametrize(
    ("deadline", "kept"),
    [
        (None, ""),
        (datetime(2026, 11, 21, 3, tzinfo=UTC), "kept, 0 min ahead"),
        (datetime(2026, 11, 21, 4, 12, tzinfo=UTC), "kept, 1 h 12 min ahead"),
        (datetime(2026, 11, 21, 2, 59, 30, tzinfo=UTC), "missed by 1 min"),
    ],
)
def test_a_manifest_says_whether_the_deadline_was_kept(deadline: datetime | None, kept: str) -> None:
    assert Manifest(**WHOLE, deadline=deadline).deadline_kept == kept
