"""headline.py: the line that the UI shows for a run and for its tasks."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from include.enrichment.answers import headline
from include.enrichment.answers.manifest import Manifest
from include.enrichment.cost.forecast import DryRun, PassForecast
from include.enrichment.runs.options import RunOptions
from include.enrichment.runs.partition import Partition
from tests.fixtures.manifests import make_manifest

DAY = Partition(start=date(2026, 11, 16))
NIGHTLY = RunOptions(reuse=True)
TWO = {"invalid": 2}
NOON = datetime(2026, 11, 17, 12, tzinfo=UTC)


def dry_run(**other: Any) -> DryRun:
    sending = {"canary": 5, "main": 121}
    passes = {name: PassForecast(in_flight=0, to_send=count, bytes=1, batches=1) for name, count in sending.items()}
    fields: dict[str, Any] = {
        **{"pipeline": "catalogue", "partition": "2026-11-16", "run_id": "manual__1", "model": "claude-haiku-5-5"},
        **{"extracted_at": NOON, "rows": 126, "unsendable": 0, "requests": 126, "answered": 0, "passes": passes},
    }
    return DryRun(**fields | other)


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (NIGHTLY, "2026-11-16 · done"),
        (RunOptions(rows=1_000), "2026-11-16 · trial of 1,000 · done"),
        (RunOptions(dry_run=True, rows=10), "2026-11-16 · dry run · trial of 10 · done"),
        (RunOptions(only_rejects=True), "2026-11-16 · only the rejects · done"),
        (RunOptions(urgent=True), "2026-11-16 · urgent · done"),
        (RunOptions(deadline="05:30"), "2026-11-16 · deadline 05:30 · done"),
        (RunOptions(reuse=False, model="claude-opus-5"), "2026-11-16 · answers not reused · claude-opus-5 · done"),
    ],
)
def test_the_headline_has_the_day_and_the_options(options: RunOptions, line: str) -> None:
    assert headline.headline(DAY, options, "done") == line


def test_the_headline_never_exceeds_airflows_limit() -> None:
    line = headline.headline(DAY, NIGHTLY, "x" * 400)
    assert len(line) == headline.LONGEST
    assert line.endswith("x…")


@pytest.mark.parametrize(
    ("found", "results"),
    [
        (make_manifest(published=126, cost_usd="0.0113"), ["126 published", "$0.0113"]),
        (
            make_manifest(published=1_260, rejected_by={"invalid": 2}, cost_usd="0.0113"),
            ["1,260 published, 2 rejected", "$0.0113"],
        ),
        (
            make_manifest(published=1, cost_usd="0.0113", batches=["msgbatch_simulated_1"]),
            ["1 published", "$0.0113 (simulated)"],
        ),
        (make_manifest(cost_usd=Decimal(0), batches=[]), ["no rows", "$0"]),
        (
            make_manifest(published=0, rejected_by={"invalid": 2}, cost_usd=None),
            ["0 published, 2 rejected", "an unknown amount"],
        ),
        (
            make_manifest(published=1, cost_usd=Decimal("0.5"), synchronous_cost_usd=Decimal("0.25")),
            ["1 published", "$0.5000, $0.2500 of it synchronous"],
        ),
        (
            make_manifest(published=1, cost_usd="1", deadline=datetime(2026, 11, 2, 3, 30, tzinfo=UTC)),
            ["1 published", "$1.0000", "deadline kept, 26 min ahead"],
        ),
        (make_manifest(published=1, run_id="manual__2"), ["not published: newer rows of run manual__2 stay"]),
    ],
)
def test_publish_reports_counts_and_cost(found: Manifest, results: list[str]) -> None:
    assert headline.published(found, run_id="manual__1") == results


def test_extract_and_plan_report_their_results() -> None:
    assert headline.extracted(1, requests=1, unsendable=0) == "1 row"
    assert headline.extracted(1_280, requests=1_280, unsendable=2) == "1,280 rows, 2 cannot be sent"
    assert headline.extracted(188, requests=376, unsendable=1) == "188 rows, 376 requests, 1 cannot be sent"
    assert headline.extracted(None, requests=2, unsendable=0) == "2 rows"
    assert headline.planned([]) == "nothing to send"
    assert headline.planned(["a", "b"]) == "2 chunks"


def test_a_dry_run_reports_requests_cost_and_budget() -> None:
    assert headline.forecast(dry_run()) == "126 requests, $0"
    assert headline.forecast(dry_run(over_budget="It would.")) == "126 requests, $0, over budget"


def test_a_failed_task_shows_the_first_sentence_of_its_error() -> None:
    label = headline.failure(DAY, RunOptions(rows=10), "4 of 126 rows were rejected ($1.50). See the rejects.\nMore.")
    assert label == "2026-11-16 · trial of 10 · failed: 4 of 126 rows were rejected ($1.50)"
    assert headline.failure(None, NIGHTLY, "No partition.") == "failed: No partition"


def test_the_note_of_a_successful_run_is_the_label_of_its_last_task() -> None:
    assert headline.note_of_success("2026-11-16", "2026-11-16 · 1 published · $0") == "2026-11-16 · 1 published · $0"
    assert headline.note_of_success("2026-11-16", "") == "2026-11-16"
    assert headline.note_of_success("2026-11-16", "2026-11-16 · failed: why") == "2026-11-16"


@pytest.mark.parametrize(
    ("task", "label", "error", "note"),
    [
        ("publish", "2026-11-17 · failed: too many", "", "2026-11-17 · failed at publish: too many; its log says what"),
        (
            "main.chunk.submit",
            "chunk 2",
            "No key. Set it.",
            "2026-11-16 · failed at main.chunk.submit: No key; its log",
        ),
        ("publish", "2026-11-17 · 1 published · $0", "", "2026-11-16 · failed at publish; see its log"),
        ("main.chunk.wait", "msgbatch_1", "", "2026-11-16 · failed at main.chunk.wait; see its log"),
        ("", "", "", "2026-11-16 · failed: timed out"),
    ],
)
def test_the_note_of_a_failed_run_names_the_task_the_cause_and_where_to_read_on(
    task: str, label: str, error: str, note: str
) -> None:
    assert headline.note_of_failure("2026-11-16", task, label, error=error, reason="timed out").startswith(note)


def test_a_long_cause_leaves_room_for_where_to_read_on() -> None:
    note = headline.note_of_failure("2026-11-16", "publish", "", error="x" * 500, reason="")
    assert note.endswith("x…; its log says what to do")
    assert len(note) == headline.LONGEST
