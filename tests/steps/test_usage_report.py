"""usage_report.py, on a lake that the flow has really written."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from include.enrichment.batches.ledger import Entry
from include.enrichment.batches.usage import USAGE_SCHEMA
from include.enrichment.cost.report_days import ReportDays
from include.enrichment.errors import LakeError
from include.enrichment.storage import layout
from include.gateways.usage_store import UsageStore
from include.steps.usage_report import UsageReport, usage_report
from tests.fixtures.flow import Flow, booked
from tests.fixtures.lake import delete
from tests.fixtures.usage import usage_line


def week() -> ReportDays:
    """Today is in it, and the emulator's clock may be ahead of it."""
    today = datetime.now(UTC).date()
    return ReportDays(first=today - timedelta(days=3), last=today + timedelta(days=3))


def report(flow: Flow, days: ReportDays | None = None) -> UsageReport:
    return usage_report(days or week(), lake=flow.lake)


def summary(flow: Flow, days: ReportDays | None = None) -> list[dict[str, Any]]:
    days = days or week()
    found = flow.lake.read(layout.report_summary(days.first, days.last))
    lines: list[dict[str, Any]] = pq.read_table(pa.BufferReader(found)).to_pylist()
    return lines


def text(flow: Flow, made: UsageReport) -> str:
    return flow.lake.read(made.page).decode()


def submitted(flow: Flow, batch_id: str, hours_ago: float) -> Entry:
    """A chunk that was submitted then, and is not loaded."""
    at = datetime.now(UTC) - timedelta(hours=hours_ago)
    chunk_id = batch_id.ljust(22, "_")
    entry = Entry.planned(chunk_id=chunk_id, pipeline="tickets", chunk="k", requests=7, run_id="manual__7", at=at)
    made = entry.becomes("submitting", at=at).becomes("submitted", at=at, batch_id=batch_id)
    flow.ledger.write(made, over=None)
    return made


def test_a_run_is_in_the_summary_and_on_the_page_with_what_the_books_say(flow: Flow) -> None:
    flow.run_all()
    made = report(flow)
    lines = booked(flow)
    assert (made.batches, made.simulated) == (len(lines), True)
    assert made.cost_usd == sum(line["cost_usd"] for line in lines) == summary(flow)[0]["cost_usd"]
    assert summary(flow)[0]["simulated"]
    assert "SIMULATED" in text(flow, made)
    assert all(line["batch_id"] in text(flow, made) for line in lines)


def test_it_leaves_the_two_objects_of_its_days_and_makes_them_again(flow: Flow) -> None:
    for days in (week(), week(), ReportDays(first=date(2020, 1, 1), last=date(2020, 1, 1))):
        made = report(flow, days)
        assert made.page == layout.report(days.first, days.last)
    assert len(flow.lake.list(layout.REPORTS_FOLDER)) == 4


def test_days_without_batches_make_a_page_that_says_so(flow: Flow) -> None:
    made = report(flow)
    assert (made.batches, made.cost_usd) == (0, Decimal(0))
    assert "No batch of these days has a usage record." in text(flow, made)
    assert summary(flow) == []


def test_a_batch_whose_model_has_a_price_by_now_is_booked_with_it(flow: Flow) -> None:
    flow.run_all()
    whole = booked(flow)
    for line in whole:
        unpriced = line | {"cost_usd": None, "synchronous_usd": None, "unusable_usd": None}
        key = layout.usage("tickets", line["batch_id"], line["created_at"].date())
        pq.write_table(pa.Table.from_pylist([unpriced], USAGE_SCHEMA), sink := pa.BufferOutputStream())
        flow.lake.write(key, sink.getvalue().to_pybytes())
    delete(flow.lake, layout.results("tickets", whole[0]["batch_id"]))
    made = report(flow)
    assert booked(flow)[1:] == whole[1:]
    assert made.cost_usd == sum(line["cost_usd"] for line in whole[1:])


def test_a_batch_that_was_loaded_and_never_booked_is_booked_first(flow: Flow) -> None:
    """The lake after a load that was killed between its results and its usage record."""
    flow.run_all("main")
    (before,) = booked(flow)
    delete(flow.lake, layout.usage("tickets", before["batch_id"], before["created_at"].date()))
    assert booked(flow) == []
    assert report(flow).batches == 1
    assert booked(flow) == [before]
    assert report(flow).batches == 1


def test_what_was_loaded_before_these_days_is_not_looked_at(flow: Flow) -> None:
    """There may be any number of them, and an earlier report has looked."""
    flow.run_all("main")
    (before,) = booked(flow)
    delete(flow.lake, layout.usage("tickets", before["batch_id"], before["created_at"].date()))
    tomorrow = datetime.now(UTC).date() + timedelta(days=1)
    report(flow, ReportDays(first=tomorrow, last=tomorrow))
    assert booked(flow) == []


def test_what_an_earlier_version_loaded_is_reported_and_stops_nothing(flow: Flow) -> None:
    flow.run_all("main")
    (line,) = booked(flow)
    key = layout.results("tickets", line["batch_id"])
    table = pq.read_table(pa.BufferReader(flow.lake.read(key)))
    pq.write_table(table.replace_schema_metadata(None), flow.lake.locate(key))
    delete(flow.lake, layout.usage("tickets", line["batch_id"], line["created_at"].date()))
    assert "without usage records, loaded 1 batch." in text(flow, report(flow))


def test_a_batch_that_was_submitted_a_day_ago_and_not_loaded_is_reported(flow: Flow) -> None:
    submitted(flow, "msgbatch_late", 26)
    submitted(flow, "msgbatch_in_time", 24)
    found = text(flow, report(flow))
    assert "<code>msgbatch_late</code> of <strong>tickets</strong> (7 requests)" in found
    assert "manual__7" in found
    assert "msgbatch_in_time" not in found


def test_a_create_of_a_day_ago_that_was_never_recorded_is_reported_and_a_salted_one_too(flow: Flow) -> None:
    at = datetime.now(UTC) - timedelta(hours=26)
    entry = Entry.planned(chunk_id="c" * 22, pipeline="tickets", chunk="k", requests=7, run_id="manual__7", at=at)
    flow.ledger.write(entry.becomes("submitting", at=at), over=None)
    found = text(flow, report(flow))
    assert "A batch of <strong>tickets</strong> (7 requests) was being submitted" in found
    assert "it may be paid" in found


def test_one_that_is_booked_or_of_other_days_is_not_reported(flow: Flow) -> None:
    entry = submitted(flow, "msgbatch_booked", 26)
    UsageStore(flow.lake).add(usage_line("msgbatch_booked", entry.changed_at, cost_usd=Decimal(1)))
    submitted(flow, "msgbatch_earlier", 24 * 10)
    assert "was never loaded" not in text(flow, report(flow))


def test_books_that_cannot_be_read_make_no_report(flow: Flow) -> None:
    today = datetime.now(UTC).date()
    flow.lake.write(layout.usage("tickets", "b", today), b"no Parquet")
    with pytest.raises(LakeError, match="Delete it and clear the `load`"):
        report(flow)
    assert flow.lake.list(layout.REPORTS_FOLDER) == []


def test_results_that_cannot_be_read_make_no_report(flow: Flow) -> None:
    flow.lake.write(layout.results("tickets", "b"), b"no Parquet")
    with pytest.raises(LakeError, match="Delete it and clear the chunk's `load`"):
        report(flow)


def test_a_copy_that_was_put_next_to_the_results_is_left_alone(flow: Flow) -> None:
    flow.lake.write("results/tickets/copy/b.parquet", b"no Parquet")
    flow.lake.write("results/tickets/_SUCCESS", b"")
    assert report(flow).batches == 0
