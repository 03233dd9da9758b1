"""The budgets of a run and of its pipeline's month: checked when a pass is planned and when a chunk is sent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc

from include.enrichment.batches.ledger import Entry, OpenChunk
from include.enrichment.batches.submission import SOON, is_being_sent
from include.enrichment.batches.usage import total_usd
from include.enrichment.cost.budget import Spending, check_budget, check_claim
from include.enrichment.cost.estimate import Estimate
from include.enrichment.runs import passes
from include.enrichment.spec.pipeline import Pipeline
from include.enrichment.storage.layout import RunFolder
from include.gateways.lake import Lake
from include.gateways.ledger_store import Ledger
from include.gateways.usage_store import UsageStore
from include.steps.files.extracted import ExtractedRun, read_pipeline
from include.steps.planning.in_flight import InFlightNow, was_sent

#: How far back usage records are read: to learn what batches of the pipeline are like, and what a run has spent.
_RECENT, _OF_A_RUN = timedelta(days=7), timedelta(days=31)


def read_usage(pipeline: Pipeline, lake: Lake) -> pa.Table:
    """Return the pipeline's recent usage records: as far back as its budgets reach, or one week."""
    now = datetime.now(UTC)
    limits = pipeline.settings.limits
    first = now - (_OF_A_RUN if limits.budget_usd is not None or limits.monthly_budget_usd is not None else _RECENT)
    # The API's clock may be ahead of ours and in the next day.
    return UsageStore(lake).read(first.date(), (now + timedelta(hours=1)).date(), pipeline=pipeline.name)


def may_stop(pass_name: str, pipeline: Pipeline) -> bool:
    """
    Whether a pass that could exceed a budget stops the run. A retry pass does not, as the answers so far may be enough,
    unless the run sends nothing but the rejects.
    """
    return not passes.is_retry(pass_name) or pipeline.options.only_rejects


def check_budgets(
    run: ExtractedRun, usage_records: pa.Table, in_flight: InFlightNow, estimates: Mapping[str, Estimate]
) -> None:
    """
    Raises BudgetExceeded if the requests to send could exceed the budget of the run or of the pipeline's month.

    :param usage_records: read after ``in_flight``: they contain the batches that are no longer in flight
    :param in_flight: the high estimates of those of its chunks that were sent count as spent
    :param estimates: of this pass, and of the later ones that are known
    """
    limits, folder = run.pipeline.settings.limits, run.folder
    reserved = _reserved(in_flight.opened, in_flight.entries, in_flight.over, usage_records)
    of_run = pc.and_(
        pc.equal(usage_records["run_id"], folder.run_id), pc.equal(usage_records["partition"], str(folder.partition))
    )
    own = (
        chunk.expected_usd
        for entry, chunk in reserved
        if entry.run_id == folder.run_id and folder.prefix in chunk.planned_by
    )
    check_budget(
        limits.budget_usd,
        _spending(usage_records.filter(of_run), own),
        estimates.values(),
        whose="The run",
        setting="limits.budget_usd, or the run's param `budget_usd`",
    )
    month = _this_month()
    check_budget(
        limits.monthly_budget_usd,
        _spending(_since(month, usage_records), (chunk.expected_usd for _, chunk in reserved)),
        estimates.values(),
        whose=f"Pipeline {run.pipeline.name} in {month:%B %Y}",
        setting="limits.monthly_budget_usd",
    )


def check_month(claimed: Entry, folder: RunFolder, ledger: Ledger, lake: Lake) -> None:
    """
    Check the month's budget when a chunk is about to be sent: other runs may have sent theirs since it was planned.

    Raises BudgetExceeded if the chunk does not fit next to what is spent and in flight, and NotYet if that depends on
    chunks that may be being sent at this moment.

    :param claimed: the chunk's entry, already claimed: of two chunks that are claimed at the same moment, each check
        finds the other, and both come back one after the other
    """
    pipeline = read_pipeline(lake, folder)
    if (budget := pipeline.settings.limits.monthly_budget_usd) is None:
        return
    opened = ledger.open_chunks()
    entries = dict(zip(opened, ledger.entries(list(opened)), strict=True))
    usage_records = read_usage(pipeline, lake)
    month, now = _this_month(), datetime.now(UTC)
    others = _reserved(opened, entries, {claimed.chunk_id}, usage_records)
    expected = opened[claimed.chunk_id].expected_usd if claimed.chunk_id in opened else None
    check_claim(
        budget,
        _spending(_since(month, usage_records), (chunk.expected_usd for _, chunk in others)),
        claimed_usd=expected or Decimal(0),
        unsettled_usd=_sum(chunk.expected_usd for entry, chunk in others if is_being_sent(entry, now=now)),
        whose=f"Pipeline {pipeline.name} in {month:%B %Y}",
        again_at=now + SOON,
    )


def _this_month() -> datetime:
    """When this month began, UTC."""
    return datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def _since(moment: datetime, usage_records: pa.Table) -> pa.Table:
    return usage_records.filter(pc.greater_equal(usage_records["created_at"], moment))


def _reserved(
    opened: Mapping[str, OpenChunk], entries: Mapping[str, Entry | None], over: Set[str], usage_records: pa.Table
) -> list[tuple[Entry, OpenChunk]]:
    """
    The open chunks that were sent, or may have been, and have no usage record yet. A chunk that was not sent reserves
    nothing: the budget is checked again when it is sent.
    """
    recorded = set(usage_records["batch_id"].to_pylist())
    found = ((entries.get(chunk_id), chunk) for chunk_id, chunk in opened.items() if chunk_id not in over)
    return [(entry, chunk) for entry, chunk in found if entry and was_sent(entry) and entry.batch_id not in recorded]


def _spending(usage_records: pa.Table, expected: Iterable[Decimal | None]) -> Spending:
    return Spending(
        spent=total_usd(usage_records["cost_usd"].to_pylist()),
        reserved=_sum(expected),
        unpriced=usage_records.filter(pc.is_null(usage_records["cost_usd"]))["batch_id"].to_pylist(),
    )


def _sum(costs: Iterable[Decimal | None]) -> Decimal:
    return sum((usd for usd in costs if usd is not None), Decimal(0))
