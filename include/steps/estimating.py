"""estimate: what the passes of a run will cost, by what was counted, what the canary showed and what the books say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc

from include.enrichment import passes
from include.enrichment.budget import Spending, check_budget
from include.enrichment.caching import PrefixSize, warm_up_costs, worth_warming
from include.enrichment.estimate import (
    CachedPart,
    Counted,
    Estimate,
    Experience,
    estimate,
    experience,
    hits_of,
    output_of,
    prefix_size,
)
from include.enrichment.layout import RunFolder, chunk_id_of
from include.enrichment.ledger import Entry, OpenChunks
from include.enrichment.outcome import settled
from include.enrichment.pipeline import Pipeline
from include.enrichment.prices import prices
from include.enrichment.usage import total_usd
from include.gateways.lake import Lake
from include.gateways.ledger import Ledger
from include.gateways.results import ResultStore
from include.gateways.usage import Books
from include.steps.counting import read_counted
from include.steps.wanted import read_plan

#: So far back the books are read for what batches of the pipeline are like, and for what a run has spent.
_RECENT, _OF_A_RUN = timedelta(days=7), timedelta(days=31)


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
    known: Experience
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
            output=output_of(self.answers, self.known.output_tokens, requests=requests, max_tokens=settings.max_tokens),
            caching=self._caching(pass_name, requests),
        )

    def high_usd(self, pass_name: str, sizes: pa.Table) -> Decimal | None:
        """The high estimate of what they cost; None where the price is not known."""
        cost = self.of(pass_name, sizes).cost_usd
        return cost.high if cost else None

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
        hits = hits_of(self.known.hits, warms=pass_name == passes.CANARY, warmed=cache == "1h")
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
        known=experience(lines, model=model, run_id=folder.run_id),
        answers=_canary_answers(folder, pipeline, extracted_at, lake),
    )


def read_books(pipeline: Pipeline, lake: Lake) -> pa.Table:
    """What was booked for the pipeline lately: as far back as its budgets reach, or a week."""
    now = datetime.now(UTC)
    limits = pipeline.settings.limits
    first = now - (_OF_A_RUN if limits.budget_usd is not None or limits.monthly_budget_usd is not None else _RECENT)
    # The API's clock may be ahead of ours by a day's end.
    return Books(lake).read(first.date(), (now + timedelta(hours=1)).date(), pipeline=pipeline.name)


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

    :param lines: the books, read after ``opened``: what is not under way any more is in them
    :param opened: the pipeline's open chunks; the most that they may cost counts as spent
    :param over: those of them that are not under way any more
    :param estimates: of this pass, and of what the run will send later
    """
    limits = pipeline.settings.limits
    booked = set(lines["batch_id"].to_pylist())
    under_way = {
        chunk_id: chunk
        for chunk_id, chunk in (opened.chunks if opened else {}).items()
        if chunk_id not in over and not ((entry := entries.get(chunk_id)) and entry.batch_id in booked)
    }
    of_run = pc.and_(pc.equal(lines["run_id"], folder.run_id), pc.equal(lines["partition"], str(folder.partition)))
    check_budget(
        limits.budget_usd,
        _spending(
            lines.filter(of_run), (chunk.expected_usd for chunk in under_way.values() if chunk.folder == folder.prefix)
        ),
        estimates.values(),
        whose="The run",
        setting="limits.budget_usd, or the run's param `budget_usd`",
    )
    month = datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    check_budget(
        limits.monthly_budget_usd,
        _spending(
            lines.filter(pc.greater_equal(lines["created_at"], month)),
            (chunk.expected_usd for chunk in under_way.values()),
        ),
        estimates.values(),
        whose=f"Pipeline {pipeline.name} in {month:%B %Y}",
        setting="limits.monthly_budget_usd",
    )


def may_stop(pass_name: str, pipeline: Pipeline) -> bool:
    """
    Whether a budget that the pass would pass stops the run. Without a retry pass it goes on: what the others have paid
    for may do. Not so a run that asks for nothing else.
    """
    return not passes.is_retry(pass_name) or pipeline.options.only_rejects


def _spending(lines: pa.Table, expected: Iterable[Decimal | None]) -> Spending:
    return Spending(
        spent=total_usd(lines["cost_usd"].to_pylist()),
        reserved=sum((usd for usd in expected if usd is not None), Decimal(0)),
        unpriced=lines.filter(pc.is_null(lines["cost_usd"]))["batch_id"].to_pylist(),
    )


def _canary_answers(folder: RunFolder, pipeline: Pipeline, extracted_at: datetime, lake: Lake) -> list[int]:
    """How many tokens each of the canary's answers has; none before it was loaded."""
    canary = read_plan(lake, folder, passes.CANARY, extracted_at)
    if canary is None:
        return []
    entries = Ledger(lake, pipeline=pipeline.name).entries([chunk_id_of(key) for key in canary.chunks])
    store = ResultStore(lake, pipeline=pipeline.name)
    tables = [
        store.billed(entry.batch_id)[1] for entry in entries if entry and entry.state == "landed" and entry.batch_id
    ]
    lines = [line for table in tables for line in table.select(["outcome", "output_tokens"]).to_pylist()]
    return [line["output_tokens"] for line in lines if settled(line["outcome"])]
