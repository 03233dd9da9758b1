"""rejects.py: what was rejected, and which rejects of a day were written last."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from include.enrichment.errors import LoadError
from include.enrichment.runs.options import RunOptions
from include.enrichment.storage import layout
from include.steps.planning.prior_rejects import find_newest_rejects, tally_rejects
from tests.fixtures.flow import DAY, Flow

PUBLISHED = layout.rejects("tickets", DAY)
REFUSED: list[dict[str, object]] = [{"kind": "refusal", "match": "crashes"}]


def run(flow: Flow, name: str, faults: list[dict[str, object]] | None = None, *, rows: int | None = None) -> None:
    """A run of the day, of a prompt of its own, so that nothing is answered before."""
    flow.folder = flow.run(name)
    with closing(sqlite3.connect(flow.database)) as connection, connection:
        connection.execute("update tickets set body = substr(body, 1, 20) || ?", [f" {name}"])
    flow.emulator.set_faults(faults or [])
    pipeline, flow.pipeline = flow.pipeline, flow.pipeline.for_run(RunOptions(rows=rows))
    flow.run_all("main")
    flow.pipeline = pipeline


def fail(flow: Flow, name: str) -> str:
    """A run that fails to publish; returns where it has left its rejects."""
    with pytest.raises(LoadError, match="rejected"):
        run(flow, name, REFUSED)
    return flow.folder.rejects


def test_a_day_that_no_run_has_reached_has_none(flow: Flow) -> None:
    assert find_newest_rejects(flow.folder, flow.lake) is None


def test_those_that_were_written_last_count_published_or_not(flow: Flow) -> None:
    left = fail(flow, "manual__1")
    assert find_newest_rejects(flow.folder, flow.lake) == left
    run(flow, "manual__2")
    assert find_newest_rejects(flow.folder, flow.lake) == PUBLISHED
    left = fail(flow, "manual__3+00:00")
    assert find_newest_rejects(flow.folder, flow.lake) == left


def test_those_of_a_trial_are_not_the_days(flow: Flow) -> None:
    run(flow, "manual__1", REFUSED, rows=2)
    assert flow.lake.exists(flow.folder.rejects)
    assert find_newest_rejects(flow.folder, flow.lake) is None


def test_those_of_a_run_that_is_being_cleaned_away_count_no_more(flow: Flow) -> None:
    fail(flow, "manual__1")
    flow.lake.delete(next(each for each in flow.lake.objects("runs/") if each.key == flow.folder.pipeline_json))
    assert find_newest_rejects(flow.folder, flow.lake) is None


def test_another_days_are_not_this_days(flow: Flow) -> None:
    flow.lake.write(PUBLISHED.replace("2026-11-01", "2026-11-02"), b"")
    flow.lake.write("runs/tickets/2026-11-02/manual__1/rejects.parquet", b"")
    assert find_newest_rejects(flow.folder, flow.lake) is None


def test_rejects_are_counted_without_the_raw_texts_next_to_them(tmp_path: Path) -> None:
    reasons = [f"{'not JSON: ' if number % 3 else ''}{'x' * 300}{number}" for number in range(10_000)]
    columns = {
        "ticket": list(range(10_000)),
        "outcome": ["invalid"] * 9_000 + ["expired"] * 1_000,
        "reason": reasons,
        "raw": [os.urandom(3_000) for _ in reasons],
        "_request_id": [None, *map(str, range(1, 10_000))],
    }
    pq.write_table(pa.table(columns), tmp_path / "rejects")
    pool, before = pa.proxy_memory_pool(pa.default_memory_pool()), pa.default_memory_pool()
    pa.set_memory_pool(pool)
    try:
        rejected, unbilled = tally_rejects(tmp_path / "rejects", ["ticket"])
    finally:
        pa.set_memory_pool(before)
    assert rejected.outcomes == {"invalid": 8_999, "unsendable": 1, "expired": 1_000}
    assert rejected.reasons.counts == {f"not JSON: {'x' * 230} …": 6_666, f"{'x' * 240} …": 3_334}
    assert unbilled == 1_000
    assert pool.max_memory() < 10_000_000 < (tmp_path / "rejects").stat().st_size
