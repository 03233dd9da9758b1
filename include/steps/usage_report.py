"""usage_report: what the books say of some days, as a summary and as a page."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterator, Set
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from include.enrichment.batches.ledger import Entry
from include.enrichment.batches.unread import is_overdue
from include.enrichment.cost.report_days import ReportDays
from include.enrichment.storage import layout
from include.gateways.lake import Lake, ObjectMissing
from include.gateways.ledger_store import Ledger
from include.gateways.result_store import ResultStore
from include.gateways.usage_store import UsageStore
from include.reporting.charts import charts
from include.reporting.figures import figures, summary
from include.reporting.page import Gaps, page
from include.steps.load import record_usage

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Made:
    """
    A report that lies on the lake.

    :param page: its key
    :param cost_usd: of the batches whose cost is known
    :param simulated: the emulator answered all of them
    """

    page: str
    batches: int
    cost_usd: Decimal
    simulated: bool


def usage_report(days: ReportDays, *, lake: Lake) -> Made:
    """
    Make the report of these days from the books, in the place of an earlier one of the same days: the summary, then the
    page.

    A batch that was loaded and whose line somebody has deleted is booked again first, and so is one whose cost was not
    known: its model may have a price by now. Raises LakeError where the books, or a batch that should be in them,
    cannot be read.
    """
    now = datetime.now(UTC)
    books = UsageStore(lake)
    of_earlier_versions = _book_what_was_loaded(days, books, lake)
    lines = books.read(days.first, days.last)
    if _book_what_has_no_cost(lines, books, lake):
        lines = books.read(days.first, days.last)
    found = figures(lines, days)
    gaps = Gaps(
        unbooked=sorted(_unbooked(days, books.batches(), lake, now=now), key=lambda entry: entry.changed_at),
        of_earlier_versions=of_earlier_versions,
    )
    pq.write_table(summary(lines), written := pa.BufferOutputStream())
    lake.write(layout.report_summary(days.first, days.last), written.getvalue().to_pybytes())
    key = layout.report(days.first, days.last)
    lake.write(key, page(found, charts(found), gaps, made_at=now).encode())
    totals = found.totals
    return Made(page=key, batches=totals.batches, cost_usd=totals.cost_usd, simulated=found.simulated)


def _book_what_was_loaded(days: ReportDays, books: UsageStore, lake: Lake) -> int:
    """
    Book the batches that were loaded since these days began and are not booked. Returns how many cannot be: an earlier
    version has loaded them.
    """
    booked, unknown = books.batches(), 0
    for listed in lake.objects(layout.RESULTS_FOLDER):
        # What was loaded earlier was made earlier, too.
        if not layout.is_results(listed.key) or listed.changed_at.date() < days.first:
            continue
        pipeline, batch_id = layout.pipeline_of_results(listed.key), layout.batch_id_of(listed.key)
        if (pipeline, batch_id) in booked:
            continue
        if record_usage(batch_id, ResultStore(lake, pipeline=pipeline), books):
            log.info("Batch %s of %s was loaded and is not in the books: it is booked now", batch_id, pipeline)
        else:
            unknown += 1
    return unknown


def _book_what_has_no_cost(lines: pa.Table, books: UsageStore, lake: Lake) -> bool:
    """Book the batches again whose cost is not known. Returns whether there were any."""
    unpriced = lines.filter(pc.is_null(lines["cost_usd"])).select(["pipeline", "batch_id"]).to_pylist()
    for line in unpriced:
        with suppress(ObjectMissing):  # its results were deleted, and its `load` makes them anew
            record_usage(line["batch_id"], ResultStore(lake, pipeline=line["pipeline"]), books)
    return bool(unpriced)


def _unbooked(days: ReportDays, booked: Set[tuple[str, str]], lake: Lake, *, now: datetime) -> Iterator[Entry]:
    """
    What was sent on these days, or may have been, should have been loaded by now, and is not in the books. It stands in
    the ledger, whether a later run asks for the same requests or not.
    """
    chunks: defaultdict[str, list[str]] = defaultdict(list)
    for listed in lake.objects(layout.LEDGER_FOLDER):
        if (found := layout.entry_of(listed.key)) and listed.changed_at.date() >= days.first:
            pipeline, chunk_id = found
            chunks[pipeline].append(chunk_id)
    for pipeline, chunk_ids in chunks.items():
        for entry in Ledger(lake, pipeline=pipeline).entries(chunk_ids):
            if (
                entry
                and is_overdue(entry, now=now)
                and days.first <= entry.changed_at.date() <= days.last
                and (pipeline, entry.batch_id) not in booked
            ):
                yield entry
