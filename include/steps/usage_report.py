"""usage_report: the usage records of some days, as a summary and as a page."""

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
from include.reporting.charts import draw_charts
from include.reporting.figures import make_figures, make_summary
from include.reporting.page import Gaps, render_page
from include.steps.load import record_usage

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class UsageReport:
    """
    A report on the lake.

    :param page: its key
    :param cost_usd: of the batches whose cost is known
    :param simulated: the emulator answered all of them
    """

    page: str
    batches: int
    cost_usd: Decimal
    simulated: bool


def usage_report(days: ReportDays, *, lake: Lake) -> UsageReport:
    """
    Write the report of these days, first the summary and then the page, and replace an earlier one of the same days.

    Before that, restore the usage record of a loaded batch that has none, and update those without a cost: their model
    may have a price by now. Raises LakeError if the records, or a batch that lacks one, cannot be read.
    """
    now = datetime.now(UTC)
    usage_store = UsageStore(lake)
    of_earlier_versions = _restore_records(days, usage_store, lake)
    usage_records = usage_store.read(days.first, days.last)
    if _update_costs(usage_records, usage_store, lake):
        usage_records = usage_store.read(days.first, days.last)
    found = make_figures(usage_records, days)
    gaps = Gaps(
        unrecorded=sorted(_unrecorded(days, usage_store.batches(), lake, now=now), key=lambda entry: entry.changed_at),
        of_earlier_versions=of_earlier_versions,
    )
    pq.write_table(make_summary(usage_records), written := pa.BufferOutputStream())
    lake.write(layout.report_summary(days.first, days.last), written.getvalue().to_pybytes())
    key = layout.report(days.first, days.last)
    lake.write(key, render_page(found, draw_charts(found), gaps, made_at=now).encode())
    totals = found.totals
    return UsageReport(page=key, batches=totals.batches, cost_usd=totals.cost_usd, simulated=found.simulated)


def _restore_records(days: ReportDays, usage_store: UsageStore, lake: Lake) -> int:
    """
    Write the usage record of each batch that was loaded since these days began and has none. Return the number of
    batches that an earlier version loaded, which cannot have one.
    """
    recorded, unknown = usage_store.batches(), 0
    for listed in lake.objects(layout.RESULTS_FOLDER):
        # A batch that was loaded earlier was created earlier, too.
        if not layout.is_batch_file(listed.key) or listed.changed_at.date() < days.first:
            continue
        pipeline, batch_id = layout.pipeline_of(listed.key), layout.batch_id_of(listed.key)
        if (pipeline, batch_id) in recorded:
            continue
        if record_usage(batch_id, ResultStore(lake, pipeline=pipeline), usage_store):
            log.info("Batch %s of %s was loaded but had no usage record: it was restored", batch_id, pipeline)
        else:
            unknown += 1
    return unknown


def _update_costs(usage_records: pa.Table, usage_store: UsageStore, lake: Lake) -> bool:
    """Write the usage records without a cost again. Return whether there were any."""
    unpriced = usage_records.filter(pc.is_null(usage_records["cost_usd"])).select(["pipeline", "batch_id"]).to_pylist()
    for record in unpriced:
        with suppress(ObjectMissing):  # its results were deleted, and its `load` restores them
            record_usage(record["batch_id"], ResultStore(lake, pipeline=record["pipeline"]), usage_store)
    return bool(unpriced)


def _unrecorded(days: ReportDays, recorded: Set[tuple[str, str]], lake: Lake, *, now: datetime) -> Iterator[Entry]:
    """
    The ledger entries of these days whose batch was sent, or may have been, should have been loaded by now, and has no
    usage record, whether a later run sends the same requests or not.
    """
    chunks: defaultdict[str, list[str]] = defaultdict(list)
    for listed in lake.objects(layout.LEDGER_FOLDER):
        if (found := layout.parse_ledger_key(listed.key)) and listed.changed_at.date() >= days.first:
            pipeline, chunk_id = found
            chunks[pipeline].append(chunk_id)
    for pipeline, chunk_ids in chunks.items():
        for entry in Ledger(lake, pipeline=pipeline).entries(chunk_ids):
            if (
                entry
                and is_overdue(entry, now=now)
                and days.first <= entry.changed_at.date() <= days.last
                and (pipeline, entry.batch_id) not in recorded
            ):
                yield entry
