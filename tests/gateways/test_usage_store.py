"""usage_store.py: the usage records on the lake."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from include.enrichment.batches.usage import USAGE_SCHEMA, BatchFacts
from include.enrichment.errors import LakeError
from include.enrichment.storage import layout
from include.gateways.lake import Lake
from include.gateways.usage_store import UsageStore
from tests.fixtures.usage import NOON, facts_of, usage_line


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake.in_folder(tmp_path)


def read(lake: Lake, first: int, last: int, pipeline: str | None = None) -> list[str]:
    days = date(2026, 11, first), date(2026, 11, last)
    found: list[str] = UsageStore(lake).read(*days, pipeline=pipeline)["batch_id"].to_pylist()
    return found


def test_a_batch_is_recorded_on_the_day_of_its_creation(lake: Lake) -> None:
    for number, day in enumerate([1, 2, 2, 4]):
        UsageStore(lake).add(usage_line(f"b{number}", NOON.replace(day=day, minute=number)))
    assert read(lake, 1, 1) == ["b0"]
    assert read(lake, 2, 3) == ["b1", "b2"]
    assert read(lake, 1, 30) == ["b0", "b1", "b2", "b3"]
    assert read(lake, 5, 30) == []


def test_the_first_record_of_a_batch_stays(lake: Lake) -> None:
    UsageStore(lake).add(usage_line("b", cost_usd=Decimal(1)))
    UsageStore(lake).add(usage_line("b", cost_usd=Decimal(2)))
    assert UsageStore(lake).read(NOON.date(), NOON.date())["cost_usd"].to_pylist() == [1]


def test_a_more_complete_record_replaces_the_first(lake: Lake) -> None:
    missing = usage_line("b", missing=1, succeeded=1, cost_usd=Decimal(1))
    whole = usage_line("b", succeeded=2, cost_usd=Decimal(2))
    for line in (missing, whole, missing, whole):
        UsageStore(lake).add(line)
    assert UsageStore(lake).read(NOON.date(), NOON.date()) == whole


def test_the_more_complete_of_two_simultaneous_records_wins(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    replace = Lake.replace

    def meanwhile(self: Lake, key: str, data: bytes, *, etag: str) -> str:
        monkeypatch.setattr(Lake, "replace", replace)
        UsageStore(lake).add(usage_line("b", missing=1, succeeded=2, cost_usd=Decimal(2)))
        return replace(self, key, data, etag=etag)

    UsageStore(lake).add(usage_line("b", missing=2, succeeded=1, cost_usd=Decimal(1)))
    monkeypatch.setattr(Lake, "replace", meanwhile)
    UsageStore(lake).add(usage_line("b", succeeded=3, cost_usd=Decimal(3)))
    assert UsageStore(lake).read(NOON.date(), NOON.date())["cost_usd"].to_pylist() == [3]


def test_a_record_of_an_earlier_version_is_read(lake: Lake) -> None:
    line = usage_line("b", cost_usd=Decimal(1)).drop_columns(["upper_bounds", "variant"])
    pq.write_table(line, sink := pa.BufferOutputStream())
    lake.write(layout.usage("tickets", "b", NOON.date()), sink.getvalue().to_pybytes())
    (found,) = UsageStore(lake).read(NOON.date(), NOON.date()).to_pylist()
    assert (found["cost_usd"], found["upper_bounds"], found["variant"]) == (1, None, None)


def test_the_cost_of_one_batch_is_read(lake: Lake) -> None:
    facts = BatchFacts(**{**vars(facts_of("b", pipeline="tickets")), "created_at": NOON})
    assert UsageStore(lake).cost_usd(facts) is None
    UsageStore(lake).add(usage_line("b", cost_usd=Decimal("0.25")))
    assert UsageStore(lake).cost_usd(facts) == Decimal("0.25")
    lake.write(layout.usage("tickets", "b", NOON.date()), b"no Parquet")
    with pytest.raises(LakeError, match="Delete it and clear the `load`"):
        UsageStore(lake).cost_usd(facts)


def test_the_records_of_one_pipeline_are_read(lake: Lake) -> None:
    UsageStore(lake).add(usage_line("b1"))
    UsageStore(lake).add(usage_line("b2", pipeline="tickets.more"))
    assert read(lake, 2, 2, "tickets") == ["b1"]
    assert read(lake, 2, 2, "tickets.more") == ["b2"]


def test_the_creation_time_of_a_batch_is_found_without_its_day(lake: Lake) -> None:
    UsageStore(lake).add(usage_line("b", NOON))
    assert UsageStore(lake).times("tickets", "b") == (NOON, None)
    assert UsageStore(lake).times("other", "b") is None


def test_a_damaged_record_is_an_error_and_not_skipped(lake: Lake) -> None:
    lake.write(layout.usage("tickets", "b", NOON.date()), b"no Parquet")
    with pytest.raises(LakeError, match="Delete it and clear the `load`"):
        read(lake, 2, 2)


@pytest.mark.parametrize("lines", [[], ["b", "b"], ["other"]], ids=["none", "twice", "another"])
def test_an_object_with_other_batches_than_its_name_says_is_an_error(lake: Lake, lines: list[str]) -> None:
    tables = [usage_line(batch_id) for batch_id in lines]
    pq.write_table(pa.concat_tables([USAGE_SCHEMA.empty_table(), *tables]), sink := pa.BufferOutputStream())
    lake.write(layout.usage("tickets", "b", NOON.date()), sink.getvalue().to_pybytes())
    with pytest.raises(LakeError, match="exactly the batch named by its key"):
        read(lake, 2, 2)


def test_an_object_copied_to_another_day_is_an_error(lake: Lake) -> None:
    UsageStore(lake).add(usage_line("b"))
    lake.write(layout.usage("tickets", "b", date(2026, 11, 3)), lake.read(layout.usage("tickets", "b", NOON.date())))
    with pytest.raises(LakeError, match=r"dt=2026-11-03/tickets\.b\.parquet cannot be read.*Delete it"):
        read(lake, 2, 3)
    assert read(lake, 2, 2) == ["b"]


def test_recorded_batches_are_found_by_name_alone(lake: Lake) -> None:
    UsageStore(lake).add(usage_line("b1"))
    UsageStore(lake).add(usage_line("b2", pipeline="tickets.more"))
    lake.write(layout.usage("tickets", "b3", NOON.date()), b"no Parquet")
    assert UsageStore(lake).batches() == {("tickets", "b1"), ("tickets.more", "b2"), ("tickets", "b3")}


def test_foreign_objects_in_the_folder_are_ignored(lake: Lake) -> None:
    for name in ("_SUCCESS", "before/tickets.b.parquet"):
        lake.write(layout.usage_folder(NOON.date()) + name, b"")
    assert read(lake, 2, 2) == []
    assert UsageStore(lake).batches() == set()
    assert UsageStore(lake).times("tickets", "b") is None
