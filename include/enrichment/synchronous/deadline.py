"""
Decides how a run with a deadline keeps it.

While there is time a pass is sent in batches, at half price. At the switch time, which leaves just enough to ask all of
its requests synchronously, the wait cancels the batch, and a later pass asks for what it has not answered.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from math import ceil
from typing import Any

import pyarrow as pa

from include.enrichment.cost.prices import format_usd
from include.enrichment.runs.deadline import format_duration

#: What a run needs between the cancel and the published table besides asking: the batch drains, is loaded, the next
#: pass is planned, and the table written.
MARGIN = timedelta(minutes=10)
#: After this time a deadline that was missed is none any more: a person has cleared a task of an old run.
LATE = timedelta(hours=1)
#: Without a record: most batches end within an hour (docs of batch processing, 2026-10-08), and few answers take longer
#: than this.
ASSUMED_BATCH, ASSUMED_ANSWER = timedelta(hours=1), timedelta(seconds=30)
#: Asking is expected to take this many times as long as the records say.
_SLOWER = 1.25
#: Of ten batches, one may take longer than expected.
_WITHIN = 0.9


@dataclass(frozen=True, kw_only=True)
class Pace:
    """
    How long requests have taken: the number of them and the time, for each recorded batch and synchronous chunk.

    :param batches: from the create to the end
    :param asked: from the first call to the last answer
    """

    batches: tuple[tuple[int, timedelta], ...] = ()
    asked: tuple[tuple[int, timedelta], ...] = ()

    def batch_time(self, requests: int) -> timedelta:
        """Return how long a batch of this size takes: longer than nine of ten of at least half its size."""
        times = sorted(time for size, time in self.batches if size * 2 >= requests)
        times = times or sorted(time for _, time in self.batches)
        return times[ceil(len(times) * _WITHIN) - 1] if times else ASSUMED_BATCH

    def asking_time(self, requests: int, *, at_once: int) -> timedelta:
        """
        Return how long it takes to ask these requests.

        :param at_once: ``limits.synchronous_requests``, which counts as long as nothing is recorded
        """
        answered = sum(size for size, _ in self.asked)
        if answered:
            return sum((time for _, time in self.asked), timedelta()) * (_SLOWER * requests / answered)
        return ASSUMED_ANSWER * ceil(requests / at_once)


def measure_pace(usage_records: pa.Table) -> Pace:
    """
    Return the pace in usage records.

    :param usage_records: in USAGE_SCHEMA. Those without an end, of earlier versions, do not count
    """
    columns = ["mode", "requests", "created_at", "ended_at"]
    records = [record for record in usage_records.select(columns).to_pylist() if record["ended_at"]]
    return Pace(batches=_times(records, "batch"), asked=_times(records, "synchronous"))


def _times(records: Iterable[Mapping[str, Any]], mode: str) -> tuple[tuple[int, timedelta], ...]:
    chosen = (record for record in records if record["mode"] == mode and record["requests"])
    return tuple((record["requests"], record["ended_at"] - record["created_at"]) for record in chosen)


@dataclass(frozen=True, kw_only=True)
class Switch:
    """
    How a pass keeps the deadline.

    :param batch_in_time: False: what the pass sends is asked synchronously
    :param at: when its waits cancel their batches; None: they wait for the end
    :param why: one or two sentences for the log
    """

    batch_in_time: bool
    at: datetime | None
    why: str

    @property
    def keeps(self) -> bool:
        """Whether anything is done to keep the deadline."""
        return not self.batch_in_time or self.at is not None


def keep_deadline(
    deadline: datetime,
    *,
    now: datetime,
    requests: int,
    largest_batch: int,
    at_once: int,
    is_last: bool,
    pace: Pace,
    batch_usd: Decimal | None,
    synchronous_usd: Decimal | None,
    budget_usd: Decimal | None,
    over_budget: str,
) -> Switch:
    """
    Decide how a pass keeps the deadline.

    The last pass is synchronous: no later pass could ask for what its batch leaves unanswered. Without the money for
    synchronous requests the run goes on as one without a deadline, as a late answer is better than none.

    :param requests: all that the run still needs an answer to, sent now, later, or in flight; at least one
    :param largest_batch: the requests of the largest batch among them
    :param at_once: ``limits.synchronous_requests``
    :param is_last: no pass of the run follows
    :param batch_usd: the high estimate for the requests in batches; None if the price is unknown
    :param synchronous_usd: the same as synchronous requests
    :param budget_usd: ``limits.deadline_budget_usd``
    :param over_budget: why the budgets of the run and of the month do not allow synchronous requests; empty if they do
    """
    due = f"Deadline {deadline:%Y-%m-%d %H:%M} UTC"
    if now > deadline + LATE:
        return Switch(
            batch_in_time=True, at=None, why=f"{due} was missed by {format_duration(now - deadline)} and is ignored."
        )
    prices = f"{format_usd(synchronous_usd)} instead of {format_usd(batch_usd)} in batches"
    if budget_usd is not None and (synchronous_usd is None or synchronous_usd > budget_usd):
        over_budget = (
            f"asking {requests:,} requests synchronously could cost up to {prices}, and limits.deadline_budget_usd is"
            f" {format_usd(budget_usd)}."
        )
    if over_budget:
        why = f"{due}: {over_budget} No batch is canceled, so the run may miss the deadline."
        return Switch(batch_in_time=True, at=None, why=why)
    at_most = f"asked synchronously, for up to {prices}"
    if is_last:
        return Switch(
            batch_in_time=False, at=None, why=f"{due}: in the last pass, {requests:,} requests are {at_most}."
        )
    switch_at = deadline - MARGIN - pace.asking_time(requests, at_once=at_once)
    batch_time = pace.batch_time(largest_batch)
    if now + batch_time > switch_at:
        why = (
            f"{due}: a batch takes up to {format_duration(batch_time)} and would have to end by {switch_at:%H:%M} UTC,"
            f" so {requests:,} requests are {at_most}."
        )
        return Switch(batch_in_time=False, at=switch_at, why=why)
    why = (
        f"{due}: a batch that has not ended at {switch_at:%Y-%m-%d %H:%M} UTC is canceled, and what it has not answered"
        f" is {at_most}."
    )
    return Switch(batch_in_time=True, at=switch_at, why=why)
