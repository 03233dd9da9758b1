"""The estimator of a run's passes: from counted tokens, the canary's answers and earlier usage records."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal

import pyarrow as pa
import pyarrow.compute as pc

from include.enrichment.answers.outcome import is_paid
from include.enrichment.cost.caching import warm_up_costs, worth_warming
from include.enrichment.cost.estimate import (
    CachedPart,
    Estimate,
    estimate,
    estimate_cache_hits,
    estimate_output,
    join_variants,
    prefix_size,
)
from include.enrichment.cost.history import History, summarise_history
from include.enrichment.cost.prices import prices
from include.enrichment.cost.token_sample import TokenSample
from include.enrichment.requests.chunk import SIZES_SCHEMA
from include.enrichment.runs import passes
from include.enrichment.runs.modes import MODES, Mode
from include.enrichment.spec.cascade.escalation import request_groups
from include.enrichment.spec.pipeline import Pipeline
from include.enrichment.storage.layout import chunk_id_of
from include.gateways.lake import Lake
from include.gateways.ledger_store import Ledger
from include.gateways.result_store import ResultStore
from include.steps.files.extracted import ExtractedRun
from include.steps.planning.new_chunks import NewChunk
from include.steps.planning.plan_files import read_plan
from include.steps.planning.token_counts import read_counted

_MILLIONTH = Decimal("0.000001")


@dataclass(frozen=True, kw_only=True)
class Estimator:
    """
    Estimates the passes of a run, or of one of its variants, from what is known before they are sent.

    :param sample: the tokens that the API has counted
    :param known: the history of earlier batches
    :param canary_tokens: output tokens of each of the canary's answers
    """

    pipeline: Pipeline
    sample: TokenSample | None
    known: History
    canary_tokens: Sequence[int]

    def estimate(self, pass_name: str, sizes: pa.Table, mode: Mode) -> Estimate:
        """
        Estimate the cost of requests in that pass.

        :param sizes: of each request, in SIZES_SCHEMA
        :param mode: of the pass
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
                self.canary_tokens, self.known.output_tokens, requests=requests, max_tokens=settings.max_tokens
            ),
            caching={
                each: cached for each in MODES if (cached := self._caching(pass_name, requests, each)) is not None
            },
            mode=mode,
        )

    def shares_usd(self, pass_name: str, whole: Estimate, sizes: Sequence[pa.Table]) -> list[Decimal | None]:
        """
        Return the high estimate of each chunk, scaled so that together with a warm-up they add up to the pass's.

        Unscaled they could add up to more, as the average of fewer answers is less certain, and a pass that fits the
        budget must not exceed it by its chunks. None for a chunk whose price is not known.

        :param whole: the estimate of the pass
        :param sizes: of each chunk's requests, in SIZES_SCHEMA
        """
        mode = whole.mode or "batch"
        parts = [cost.high if (cost := self.estimate(pass_name, each, mode).cost_usd) else None for each in sizes]
        total = sum((part for part in parts if part), Decimal(0))
        if whole.cost_usd is None or not total:
            return parts
        caching = self._caching(pass_name, whole.requests, mode)
        chunks = whole.cost_usd.high - (caching.warm_up_usd if caching else 0)
        return [
            (chunks * part / total).quantize(_MILLIONTH, ROUND_DOWN) if part is not None else None for part in parts
        ]

    def _caching(self, pass_name: str, requests: int, mode: Mode) -> CachedPart | None:
        settings, cache = self.pipeline.settings.request, self.pipeline.caching.cache
        price = prices().models.get(settings.model)
        if cache == "off" or price is None:
            return None
        size = self.pipeline.prefix_size
        tokens, most = prefix_size(self.sample, size)
        if most < price.cache_from:
            return None
        # A canary or a warm-up goes first. A five-minute cache entry is gone by the time its batch has ended.
        hits = estimate_cache_hits(
            self.known.hits.get(mode),
            warms=pass_name == passes.CANARY,
            warmed=cache == "1h",
            first_of=requests if mode == "synchronous" else None,
        )
        kept = tokens if tokens >= price.cache_from else 0
        warm_up_usd = Decimal(0)
        if (
            mode == "batch"
            and pass_name != passes.CANARY
            and worth_warming(requests, price, size, cache, max_tokens=settings.max_tokens)
        ):
            of_a_million = warm_up_costs(price, size, cache, max_tokens=settings.max_tokens)
            warm_up_usd = of_a_million * prices().batch / 1_000_000
        return CachedPart(write=f"write_{cache}", tokens=kept, hits=hits, most=most, warm_up_usd=warm_up_usd)


class Estimators:
    """
    Estimates the passes of a run, each as the sum of its variants and of their escalated requests.

    :param by_group: the estimator of each group of request_groups()
    :param occasional: the groups that most passes send nothing of: they are left out of an estimate without requests
    """

    def __init__(self, by_group: Mapping[str, Estimator], *, occasional: Collection[str] = ()) -> None:
        self._by_group, self._occasional = by_group, occasional

    def estimate(self, pass_name: str, sizes: Mapping[str, pa.Table], mode: Mode) -> Estimate:
        """
        Estimate the cost of requests in that pass.

        :param sizes: of the requests of each group that has any, as sizes_by_group() returns them
        :param mode: of the pass
        """
        nothing = SIZES_SCHEMA.empty_table()
        return join_variants(
            {
                name: one.estimate(pass_name, sizes.get(name, nothing), mode)
                for name, one in self._by_group.items()
                if name in sizes or name not in self._occasional
            }
        )

    def shares_usd(self, pass_name: str, whole: Estimate, chunks: Sequence[NewChunk]) -> list[Decimal | None]:
        """
        Return the high estimate of each chunk, as Estimator.shares_usd() does.

        :param whole: the estimate of the pass
        """
        shares = {
            name: iter(
                one.shares_usd(
                    pass_name,
                    whole.variants.get(name, whole),
                    [chunk.sizes for chunk in chunks if chunk.group == name],
                )
            )
            for name, one in self._by_group.items()
        }
        return [next(shares[chunk.group]) for chunk in chunks]


def make_estimators(run: ExtractedRun, usage_records: pa.Table, lake: Lake) -> Estimators:
    """Gather what is known now. ``usage_records`` are the pipeline's, as read_usage() returns them."""
    samples, answers = read_counted(run.folder, lake), _canary_tokens(run, lake)
    groups = request_groups(run.pipeline)
    return Estimators(
        {
            name: Estimator(
                pipeline=group.pipeline,
                sample=samples.get(group.variant),
                known=summarise_history(
                    usage_records,
                    model=group.pipeline.settings.request.model,
                    run_id=run.folder.run_id,
                    variant=group.variant,
                ),
                canary_tokens=answers.get(name, []),
            )
            for name, group in groups.items()
        },
        occasional=[name for name, group in groups.items() if group.escalation],
    )


def _canary_tokens(run: ExtractedRun, lake: Lake) -> dict[str, list[int]]:
    """
    The output tokens of each of the canary's answers by variant, all under the empty name without variants; none before
    it was loaded.
    """
    canary = read_plan(lake, run.folder, passes.CANARY, run.extracted.extracted_at)
    if canary is None:
        return {}
    entries = Ledger(lake, pipeline=run.pipeline.name).latest([chunk_id_of(key) for key in canary.chunks])
    store = ResultStore(lake, pipeline=run.pipeline.name)
    found: defaultdict[str, list[int]] = defaultdict(list)
    for entry in entries:
        if entry and entry.state == "landed" and entry.batch_id:
            facts, outcomes = store.billed(entry.batch_id)
            variant = (facts and facts.variant) or "" if run.pipeline.variants else ""
            for line in outcomes.select(["outcome", "output_tokens", "upper_bound"]).to_pylist():
                if is_paid(line["outcome"]) and not line["upper_bound"]:
                    found[variant].append(line["output_tokens"])
    return found
