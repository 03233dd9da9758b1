"""How a pass keeps the deadline of its run: by what earlier requests took, what is in flight, and what is allowed."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal

import pyarrow as pa

from include.enrichment.cost.estimate import Estimate
from include.enrichment.cost.prices import prices
from include.enrichment.errors import BudgetExceeded
from include.enrichment.runs import passes
from include.enrichment.runs.modes import Mode
from include.enrichment.synchronous.deadline import Switch, keep_deadline, measure_pace
from include.steps.files.extracted import ExtractedRun
from include.steps.planning.budgets import check_budgets
from include.steps.planning.in_flight import InFlightNow

log = logging.getLogger(__name__)


def find_switch(
    pass_name: str,
    run: ExtractedRun,
    join: Sequence[str],
    in_flight: InFlightNow,
    usage_records: pa.Table,
    estimates: Mapping[str, Estimate],
) -> Switch | None:
    """
    Return how the pass keeps the run's deadline, and log it. None if the run has no deadline, or nothing to ask.

    :param join: the chunks in flight that the pass waits for
    :param usage_records: of the pipeline, recent ones
    :param estimates: of all that the run still sends, now and later, as synchronous requests
    """
    limits, deadline = run.pipeline.settings.limits, run.extracted.deadline
    sending = sum(one.requests for one in estimates.values())
    joined = [entry.requests for one in join if (entry := in_flight.entries[one]) and not in_flight.is_asked(one)]
    if deadline is None or not sending + sum(joined):
        return None
    in_flight_usd = [in_flight.opened[one].expected_usd for one in join if not in_flight.is_asked(one)]
    over_budget = ""
    try:
        check_budgets(run, usage_records, in_flight, estimates)
    except BudgetExceeded as error:
        over_budget = str(error).partition("\n")[0]
    names = passes.names(canary_rows=limits.canary_rows, retry_passes=limits.retry_passes)
    switch = keep_deadline(
        deadline,
        now=datetime.now(UTC),
        requests=sending + sum(joined),
        largest_batch=max(min(sending, limits.batch_requests), *joined, 0),
        at_once=limits.synchronous_requests,
        is_last=pass_name == names[-1],
        pace=measure_pace(usage_records),
        batch_usd=_sum([*_high(estimates, "batch"), *in_flight_usd]),
        synchronous_usd=_sum(
            [*_high(estimates, "synchronous"), *(usd and usd / prices().batch for usd in in_flight_usd)]
        ),
        budget_usd=limits.deadline_budget_usd,
        over_budget=over_budget,
    )
    log.log(logging.INFO if switch.keeps else logging.WARNING, "%s", switch.why)
    return switch


def _high(estimates: Mapping[str, Estimate], mode: Mode) -> list[Decimal | None]:
    return [one.modes_usd[mode].high if mode in one.modes_usd else None for one in estimates.values() if one.requests]


def _sum(costs: Sequence[Decimal | None]) -> Decimal | None:
    known = [usd for usd in costs if usd is not None]
    return sum(known, Decimal(0)) if len(known) == len(costs) else None
