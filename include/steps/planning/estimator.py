"""estimate: what the passes of a run will cost, by what was counted, what the canary showed and what the books say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_DOWN, Decimal

import pyarrow as pa
import pyarrow.compute as pc

from include.enrichment.answers.outcome import is_settled
from include.enrichment.batches.ledger import Entry, OpenChunk, OpenChunks
from include.enrichment.batches.submission import SOON, is_being_sent
from include.enrichment.batches.usage import total_usd
from include.enrichment.cost.budget import Spending, check_budget, check_claim
from include.enrichment.cost.caching import PrefixSize, warm_up_costs, worth_warming
from include.enrichment.cost.estimate import (
    CachedPart,
    Counted,
    Estimate,
    History,
    estimate,
    estimate_cache_hits,
    estimate_output,
    prefix_size,
    summarise_history,
)
from include.enrichment.cost.prices import prices
from include.enrichment.runs import passes
from include.enrichment.spec.pipeline import Pipeline
from include.enrichment.storage.layout import RunFolder, chunk_id_of
from include.gateways.lake import Lake
from include.gateways.ledger_store import Ledger
from include.gateways.result_store import ResultStore
from include.gateways.usage_store import UsageStore
from include.steps.files.extracted import read_pipeline
from include.steps.planning.in_flight import was_sent
from include.steps.planning.select_requests import read_plan
from include.steps.planning.token_counts import read_counted

#: So far back the books are read for what batches of the pipeline are like, and for what a run has spent.
_RECENT, _OF_A_RUN = timedelta(days=7), timedelta(days=31)
_MILLIONTH = Decimal("0.000001")


@dataclass(frozen=True, kw_only=True)
class Estimator:
    """
    What is known before a pass of a run is sent.

    :param sample: what the API has counted
    :param known: from earlier batches
    :param answers: how many tokens each of the canary's answers has
    """

    pipeline: Pipeline
    sample: Counted | None
    known: History
    answers: Sequence[int]

    def of(self, pass_name: str, sizes: pa.Table) -> Estimate:
        """
        Estimate what requests cost in that pass.

        :param sizes: of each of them, in SIZES_SCHEMA
        """
        settings, requests = self.pipeline.settings.request, len(sizes)
        return estimate(
            model=settings.model,
            requests=requests,
            size=pc.sum(sizes["params_bytes"]).as_py() or 0,
            sizes=sizes,
            sample=self.sample,
            known=self.known,
            output=estimate_output(
                self.answers, self.known.output_tokens, requests=requests, max_tokens=settings.max_tokens
            ),
            caching=self._caching(pass_name, requests),
        )

    def shares_usd(self, pass_name: str, whole: Estimate, sizes: Sequence[pa.Table]) -> list[Decimal | None]:
        """
        The high estimate of each chunk, so that all of them and the warm-up that may go ahead come to that of the pass:
        an average of fewer answers may be further off, and a pass that fits a budget must not exceed it by its parts.
        None where the price is not known.

        :param whole: of the pass
        :param sizes: of each chunk's requests, in SIZES_SCHEMA
        """
        parts = [cost.high if (cost := self.of(pass_name, each).cost_usd) else None for each in sizes]
        total = sum((part for part in parts if part), Decimal(0))
        if whole.cost_usd is None or not total:
            return parts
        caching = self._caching(pass_name, whole.requests)
        chunks = whole.cost_usd.high - (caching.warm_up_usd if caching else 0)
        return [
            (chunks * part / total).quantize(_MILLIONTH, ROUND_DOWN) if part is not None else None for part in parts
        ]

    def _caching(self, pass_name: str, requests: int) -> CachedPart | None:
        settings, cache = self.pipeline.settings.request, self.pipeline.caching.cache
        price = prices().models.get(settings.model)
        size = PrefixSize(
            system_bytes=len(self.pipeline.system.encode()), format_bytes=len(self.pipeline.schema_text.encode())
        )
        tokens, most = prefix_size(self.sample, size)
        if cache == "off" or price is None or most < price.cache_from:
            return None
        # A canary or a warm-up goes first; what it writes for five minutes is gone when its batch has ended.
        hits = estimate_cache_hits(self.known.hits, warms=pass_name == passes.CANARY, warmed=cache == "1h")
        kept = tokens if tokens >= price.cache_from else 0
        warm_up_usd = Decimal(0)
        if pass_name != passes.CANARY and worth_warming(requests, price, size, cache, max_tokens=settings.max_tokens):
            of_a_million = warm_up_costs(price, size, cache, max_tokens=settings.max_tokens)
            warm_up_usd = of_a_million * prices().batch / 1_000_000
        return CachedPart(write=f"write_{cache}", tokens=kept, hits=hits, most=most, warm_up_usd=warm_up_usd)


def estimator(folder: RunFolder, pipeline: Pipeline, lines: pa.Table, extracted_at: datetime, lake: Lake) -> Estimator:
    """
    What is known now.

    :param lines: the books of the pipeline, as read_books() gives them
    """
    model = pipeline.settings.request.model
    return Estimator(
        pipeline=pipeline,
        sample=read_counted(folder, lake),
        known=summarise_history(lines, model=model, run_id=folder.run_id),
        answers=_canary_answers(folder, pipeline, extracted_at, lake),
    )


def read_usage(pipeline: Pipeline, lake: Lake) -> pa.Table:
    """What was booked for the pipeline lately: as far back as its budgets reach, or a week."""
    now = datetime.now(UTC)
    limits = pipeline.settings.limits
    first = now - (_OF_A_RUN if limits.budget_usd is not None or limits.monthly_budget_usd is not None else _RECENT)
    # The API's clock may be ahead of ours by a day's end.
    return UsageStore(lake).read(first.date(), (now + timedelta(hours=1)).date(), pipeline=pipeline.name)


def check_budgets(
    pipeline: Pipeline,
    folder: RunFolder,
    lines: pa.Table,
    opened: OpenChunks | None,
    entries: Mapping[str, Entry | None],
    over: Set[str],
    estimates: Mapping[str, Estimate],
) -> None:
    """
    Raises BudgetExceeded if what is to be sent would pass the budget of the run or of the pipeline's month.

    :param lines: the books, read after ``opened``: what is not in flight any more is in them
    :param opened: the pipeline's open chunks; the most that those that were sent may cost counts as spent
    :param over: those of them that are not in flight any more
    :param estimates: of this pass, and of what the run will send later
    """
    limits = pipeline.settings.limits
    reserved = _reserved(opened.chunks if opened else {}, entries, over, lines)
    of_run = pc.and_(pc.equal(lines["run_id"], folder.run_id), pc.equal(lines["partition"], str(folder.partition)))
    own = (
        chunk.expected_usd
        for entry, chunk in reserved
        if entry.run_id == folder.run_id and folder.prefix in chunk.planned_by
    )
    check_budget(
        limits.budget_usd,
        _spending(lines.filter(of_run), own),
        estimates.values(),
        whose="The run",
        setting="limits.budget_usd, or the run's param `budget_usd`",
    )
    month = _month()
    check_budget(
        limits.monthly_budget_usd,
        _spending(_since(month, lines), (chunk.expected_usd for _, chunk in reserved)),
        estimates.values(),
        whose=f"Pipeline {pipeline.name} in {month:%B %Y}",
        setting="limits.monthly_budget_usd",
    )


def check_month(claimed: Entry, folder: RunFolder, ledger: Ledger, lake: Lake) -> None:
    """
    Hold the month's budget when a chunk is about to be sent: others may have sent theirs since it was planned.

    :param claimed: the chunk's entry, which says so already: of two that are about to be sent at the same moment each
        finds the other's, and they come back one after the other

    Raises BudgetExceeded if the chunk does not fit beside what is spent and in flight; NotYet if that depends on chunks
    of which nobody knows yet whether they are sent.
    """
    pipeline = read_pipeline(lake, folder)
    if (budget := pipeline.settings.limits.monthly_budget_usd) is None:
        return
    recorded = ledger.find_open()
    opened = recorded.value.chunks if recorded else {}
    entries = dict(zip(opened, ledger.entries(list(opened)), strict=True))
    lines = read_usage(pipeline, lake)
    month, now = _month(), datetime.now(UTC)
    others = _reserved(opened, entries, {claimed.chunk_id}, lines)
    expected = opened[claimed.chunk_id].expected_usd if claimed.chunk_id in opened else None
    check_claim(
        budget,
        _spending(_since(month, lines), (chunk.expected_usd for _, chunk in others)),
        claimed_usd=expected or Decimal(0),
        unsettled_usd=_sum(chunk.expected_usd for entry, chunk in others if is_being_sent(entry, now=now)),
        whose=f"Pipeline {pipeline.name} in {month:%B %Y}",
        again_at=now + SOON,
    )


def _month() -> datetime:
    """When this month began, UTC."""
    return datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def _since(moment: datetime, lines: pa.Table) -> pa.Table:
    return lines.filter(pc.greater_equal(lines["created_at"], moment))


def _reserved(
    opened: Mapping[str, OpenChunk], entries: Mapping[str, Entry | None], over: Set[str], lines: pa.Table
) -> list[tuple[Entry, OpenChunk]]:
    """
    The open chunks that were sent, or may have been, and are not in the books yet. What was never sent may never be:
    its own run, or another, looks at the budget when it sends it.
    """
    booked = set(lines["batch_id"].to_pylist())
    found = ((entries.get(chunk_id), chunk) for chunk_id, chunk in opened.items() if chunk_id not in over)
    return [(entry, chunk) for entry, chunk in found if entry and was_sent(entry) and entry.batch_id not in booked]


def may_stop(pass_name: str, pipeline: Pipeline) -> bool:
    """
    Whether a budget that the pass would pass stops the run. Without a retry pass it goes on: what the others have paid
    for may do. Not so a run that asks for nothing else.
    """
    return not passes.is_retry(pass_name) or pipeline.options.only_rejects


def _spending(lines: pa.Table, expected: Iterable[Decimal | None]) -> Spending:
    return Spending(
        spent=total_usd(lines["cost_usd"].to_pylist()),
        reserved=_sum(expected),
        unpriced=lines.filter(pc.is_null(lines["cost_usd"]))["batch_id"].to_pylist(),
    )


def _sum(costs: Iterable[Decimal | None]) -> Decimal:
    return sum((usd for usd in costs if usd is not None), Decimal(0))


def _canary_answers(folder: RunFolder, pipeline: Pipeline, extracted_at: datetime, lake: Lake) -> list[int]:
    """How many tokens each of the canary's answers has; none before it was loaded."""
    canary = read_plan(lake, folder, passes.CANARY, extracted_at)
    if canary is None:
        return []
    entries = Ledger(lake, pipeline=pipeline.name).latest([chunk_id_of(key) for key in canary.chunks])
    store = ResultStore(lake, pipeline=pipeline.name)
    tables = [
        store.billed(entry.batch_id)[1] for entry in entries if entry and entry.state == "landed" and entry.batch_id
    ]
    columns = ["outcome", "output_tokens", "upper_bound"]
    lines = [line for table in tables for line in table.select(columns).to_pylist()]
    return [line["output_tokens"] for line in lines if is_settled(line["outcome"]) and not line["upper_bound"]]
