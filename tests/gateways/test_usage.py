"""usage.py: the books on the lake."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from include.enrichment import layout
from include.enrichment.errors import LakeError
from include.enrichment.usage import BatchFacts
from include.gateways.lake import Lake
from include.gateways.usage import Books
from tests.fixtures.usage import NOON, facts_of, usage_line


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake.in_folder(tmp_path)


def read(lake: Lake, first: int, last: int, pipeline: str | None = None) -> list[str]:
    days = date(2026, 11, first), date(2026, 11, last)
    found: list[str] = Books(lake).read(*days, pipeline=pipeline)["batch_id"].to_pylist()
    return found


def test_a_batch_is_booked_on_the_day_it_was_made(lake: Lake) -> None:
    for number, day in enumerate([1, 2, 2, 4]):
        Books(lake).add(usage_line(f"b{number}", NOON.replace(day=day, minute=number)))
    assert read(lake, 1, 1) == ["b0"]
    assert read(lake, 2, 3) == ["b1", "b2"]
    assert read(lake, 1, 30) == ["b0", "b1", "b2", "b3"]
    assert read(lake, 5, 30) == []


def test_a_batch_that_is_booked_stays_as_it_was_booked_first(lake: Lake) -> None:
    Books(lake).add(usage_line("b", cost_usd=Decimal(1)))
    Books(lake).add(usage_line("b", cost_usd=Decimal(2)))
    assert Books(lake).read(NOON.date(), NOON.date())["cost_usd"].to_pylist() == [1]


def test_what_a_batch_cost_is_read_by_itself(lake: Lake) -> None:
    facts = BatchFacts(**{**vars(facts_of("b", pipeline="tickets")), "created_at": NOON})
    assert Books(lake).cost_usd(facts) is None
    Books(lake).add(usage_line("b", cost_usd=Decimal("0.25")))
    assert Books(lake).cost_usd(facts) == Decimal("0.25")
    lake.write(layout.usage("tickets", "b", NOON.date()), b"no Parquet")
    with pytest.raises(LakeError, match="Delete it and clear the `load`"):
        Books(lake).cost_usd(facts)


def test_one_pipeline_is_read_by_itself(lake: Lake) -> None:
    Books(lake).add(usage_line("b1"))
    Books(lake).add(usage_line("b2", pipeline="tickets.more"))
    assert read(lake, 2, 2, "tickets") == ["b1"]
    assert read(lake, 2, 2, "tickets.more") == ["b2"]


def test_when_a_batch_was_made_is_found_without_knowing_the_day(lake: Lake) -> None:
    Books(lake).add(usage_line("b", NOON))
    assert Books(lake).created_at("tickets", "b") == NOON
    assert Books(lake).created_at("other", "b") is None


def test_books_with_a_damaged_line_are_not_read_as_if_it_was_not_there(lake: Lake) -> None:
    lake.write(layout.usage("tickets", "b", NOON.date()), b"no Parquet")
    with pytest.raises(LakeError, match="Delete it and clear the `load`"):
        read(lake, 2, 2)


def test_what_is_booked_is_told_by_the_names_alone(lake: Lake) -> None:
    Books(lake).add(usage_line("b1"))
    Books(lake).add(usage_line("b2", pipeline="tickets.more"))
    lake.write(layout.usage("tickets", "b3", NOON.date()), b"no Parquet")
    assert Books(lake).batches() == {("tickets", "b1"), ("tickets.more", "b2"), ("tickets", "b3")}


def test_what_others_put_beside_them_is_left_alone(lake: Lake) -> None:
    lake.write(layout.usage_folder(NOON.date()) + "_SUCCESS", b"")
    assert read(lake, 2, 2) == []
    assert Books(lake).batches() == set()
