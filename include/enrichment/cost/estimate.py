"""
The cost estimate of a pass, made before the pass is sent: low, expected and high.

The bytes of each request are exact. The API counts the tokens of the largest requests and of a sample of the others.
Each remaining prompt is priced by its own bytes, and by the pages and pixels of its attachments, since long prompts may
have a higher price. The canary and earlier batches show how long answers are; earlier batches show how much of the
prompt is read from the cache. Without either, the expected value is the ceiling.

The high estimate holds for any mixture of sizes and texts, because no token is shorter than a byte.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_DOWN, ROUND_HALF_UP, ROUND_UP, Decimal
from functools import reduce
from math import sqrt
from operator import add, not_
from statistics import fmean, stdev

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from include.enrichment.cost.bounds import NAMES, Bounds, Frozen, Usd
from include.enrichment.cost.caching import PrefixSize
from include.enrichment.cost.history import ASKED_HITS, STANDARD_ERRORS, WARM_HITS, History
from include.enrichment.cost.prices import prices
from include.enrichment.cost.prompts import LEAST_ERROR, RULE_OF_THUMB, PromptCase, prompt_cases
from include.enrichment.cost.token_sample import MOST_PER_BYTE, TokenSample
from include.enrichment.runs.modes import MODES, Mode

_COLD_HITS = (0.98, 0.3, 0.0)
_NO_HITS = (0.98, 0.0, 0.0)
_FEW_ANSWERS = 3
#: The bounds of an estimate, each with its rounding of dollars.
_ROUNDING = {"low": ROUND_DOWN, "expected": ROUND_HALF_UP, "high": ROUND_UP}
_USD_PLACES = Decimal("0.000001")


class Estimate(Frozen):
    """
    The cost estimate for some requests.

    :param bytes: of their params
    :param input_tokens: of all prompts
    :param output_tokens: of all answers
    :param cost_usd: None if the model has no known price
    :param synchronous_usd: the price of the expected tokens in synchronous requests without a cache
    :param mode: how they are sent; None in a sum of both modes
    :param modes_usd: what they cost in either mode, cache included; empty if the model has no known price, and in an
        estimate of an earlier version
    :param sources: the evidence for prompts, answers and cache hits, for people; empty in a sum of several estimates
    :param variants: the parts of the estimate by variant; empty if the pipeline has none
    """

    requests: int
    bytes: int
    input_tokens: Bounds
    output_tokens: Bounds
    cost_usd: Usd | None
    synchronous_usd: Decimal | None
    sources: str
    mode: Mode | None = "batch"
    modes_usd: dict[Mode, Usd] = Field(default={}, exclude_if=not_)
    variants: dict[str, Estimate] = Field(default={}, exclude_if=not_)


def join_variants(estimates: Mapping[str, Estimate]) -> Estimate:
    """Return the estimate of all variants, at least one. Without variants the only one has no name."""
    if estimates.keys() == {""}:
        return estimates[""]
    return _sum([*estimates.values()], variants=dict(estimates))


def sum_estimates(estimates: Iterable[Estimate]) -> Estimate:
    """Return the sum of the estimates of several passes, at least one, with that of each variant."""
    every = list(estimates)
    of_variants: dict[str, list[Estimate]] = {}
    for one in every:
        for name, part in one.variants.items():
            of_variants.setdefault(name, []).append(part)
    return _sum(every, variants={name: _sum(parts, variants={}) for name, parts in of_variants.items()})


def _sum(estimates: Sequence[Estimate], *, variants: dict[str, Estimate]) -> Estimate:
    # An estimate of no requests costs nothing, even if its model has no price.
    counted = [one for one in estimates if one.requests] or estimates
    costs = [one.cost_usd for one in counted if one.cost_usd]
    synchronous = [one.synchronous_usd for one in counted if one.synchronous_usd is not None]
    modes = {one.mode for one in counted}
    tokens = {
        kind: Bounds(**{bound: sum(getattr(getattr(one, kind), bound) for one in counted) for bound in NAMES})
        for kind in ("input_tokens", "output_tokens")
    }
    return Estimate(
        requests=sum(one.requests for one in counted),
        bytes=sum(one.bytes for one in counted),
        **tokens,
        cost_usd=reduce(add, costs) if len(costs) == len(counted) else None,
        synchronous_usd=sum(synchronous, Decimal(0)) if len(synchronous) == len(counted) else None,
        sources="",
        mode=modes.pop() if len(modes) == 1 else None,
        modes_usd={
            mode: reduce(add, [one.modes_usd[mode] for one in counted])
            for mode in MODES
            if all(mode in one.modes_usd for one in counted)
        },
        variants=variants,
    )


def expected_usd(estimates: Iterable[Estimate]) -> Decimal | None:
    """Return the sum of the expected costs; None if one of them is unknown."""
    costs = [one.cost_usd for one in estimates]
    known = [cost.expected for cost in costs if cost]
    return sum(known, Decimal(0)) if len(known) == len(costs) else None


@dataclass(frozen=True, kw_only=True)
class CachedPart:
    """
    How the prefix of the requests is cached.

    :param write: the rate of a write: ``write_5m`` or ``write_1h``
    :param tokens: the tokens of the prefix that the cache is expected to keep
    :param hits: the part of them that is read
    :param most: the most tokens that the cache may keep, if more
    :param warm_up_usd: the highest cost of the request that may be sent first to warm the cache
    """

    write: str
    tokens: float
    hits: Bounds
    most: float = 0
    warm_up_usd: Decimal = Decimal(0)


def prefix_size(sample: TokenSample | None, size: PrefixSize) -> tuple[float, float]:
    """
    Return the tokens that come first in every request: expected, and at most.

    The docs do not say whether the output format counts as part of the cached prefix.
    """
    if sample:
        return sample.prefix_tokens, max(sample.prefix_tokens, sample.frame_tokens) * (1 + LEAST_ERROR)
    return size.system_bytes * RULE_OF_THUMB.expected, (size.system_bytes + size.format_bytes) * MOST_PER_BYTE


def estimate_cache_hits(known: Bounds | None, *, warms: bool, warmed: bool, first_of: int | None = None) -> Bounds:
    """
    Estimate the part of the prefix that is read from the cache; ``low`` is the cheapest case.

    :param known: from earlier passes in the same mode
    :param warms: the pass is the canary, which writes the prefix
    :param warmed: a canary comes first
    :param first_of: how many synchronous requests there are: the first alone writes the prefix, the others read it;
        None for a batch
    """
    if first_of is not None:
        reads = 1 - 1 / max(first_of, 1)
        least = known.high if known else ASKED_HITS
        return Bounds(low=1.0, expected=reads, high=min(least, reads))
    if known and not warms:
        return known
    low, expected, high = _NO_HITS if warms else WARM_HITS if warmed else _COLD_HITS
    return Bounds(low=low, expected=expected, high=high)


def estimate_output(
    answers: Sequence[int], earlier: Bounds | None, *, requests: int, max_tokens: int
) -> tuple[Bounds, str]:
    """
    Estimate the average tokens per answer, and return it with its source.

    The canary's answers are to the current prompt, but few. Where earlier batches agree with them, those are more
    exact.

    :param answers: tokens of each of the canary's answers
    :param earlier: tokens per answer in earlier batches
    :param requests: how many answers are to come: the average of a few varies more
    """
    error = 0.0
    if len(answers) >= _FEW_ANSWERS and requests:
        mean, spread = fmean(answers), max(stdev(answers), 0.1 * fmean(answers))
        canary = Bounds.around(mean, STANDARD_ERRORS * spread * sqrt(1 / len(answers) + 1 / requests))
        if earlier is None or not canary.low <= earlier.expected <= canary.high:
            return canary.capped(max_tokens), f"from the canary's {len(answers)} answers"
        error = STANDARD_ERRORS * spread / sqrt(requests)
    if earlier is not None:
        error += max(earlier.high - earlier.expected, earlier.expected - earlier.low)
        return Bounds.around(earlier.expected, error).capped(max_tokens), "from earlier batches"
    return Bounds(low=0, expected=max_tokens, high=max_tokens), "length unknown, max_tokens assumed"


def estimate(
    *,
    model: str,
    requests: int,
    size: int,
    sizes: pa.Table | None = None,
    sample: TokenSample | None,
    known: History,
    output: tuple[Bounds, str],
    caching: Mapping[Mode, CachedPart],
    mode: Mode = "batch",
) -> Estimate:
    """
    Estimate the cost of some requests.

    :param size: bytes of all their params
    :param sizes: bytes per request, in SIZES_SCHEMA, or in ATTACHED_SIZES_SCHEMA if there are attachments. None if
        there are none and only the sum is known: the high estimate then assumes the most expensive mixture
    :param sample: the tokens that the API counted in some of them
    :param known: averages over earlier batches
    :param output: per answer, from estimate_output()
    :param caching: in either mode; empty if nothing is cached
    :param mode: how they are sent
    """
    cases, prompt_source = prompt_cases(model, requests, size, sizes, sample, known)
    answer, output_source = output
    sources = f"prompts: {prompt_source}"
    above = prices().long_above(model)
    if long := round(sum(case.share * case.longer_than(above) for case in cases["high"])):
        sources += f", up to {long:,} longer than {above:,} tokens"
    sources += f"; answers: {output_source}"
    if (cached := caching.get(mode)) and cached.tokens:
        sources += f"; read from the cache: {cached.hits.expected:.0%}, at least {cached.hits.high:.0%}"
    costs = {each: _cost(model, cases, answer, caching.get(each), mode=each) for each in MODES}
    return Estimate(
        requests=requests,
        bytes=size,
        input_tokens=Bounds(**{bound: sum(case.share * case.total for case in cases[bound]) for bound in _ROUNDING}),
        output_tokens=answer.times(requests),
        cost_usd=costs[mode],
        synchronous_usd=_dollars(model, cases["expected"], answer.expected, {}, mode="synchronous"),
        sources=sources,
        mode=mode,
        modes_usd={each: cost for each, cost in costs.items() if cost},
    )


def _cost(
    model: str, cases: Mapping[str, Sequence[PromptCase]], answer: Bounds, caching: CachedPart | None, *, mode: Mode
) -> Usd | None:
    def dollars(bound: str) -> Decimal | None:
        cached: dict[str, float] = {}
        if caching:
            prefix = caching.tokens if bound == "expected" else max(caching.tokens, caching.most)
            hits = getattr(caching.hits, bound)
            cached = {"cache_read_tokens": prefix * hits, f"cache_{caching.write}_tokens": prefix * (1 - hits)}
        return _dollars(model, cases[bound], getattr(answer, bound), cached, mode=mode, rounding=_ROUNDING[bound])

    low, expected, high = map(dollars, _ROUNDING)
    if low is None or expected is None or high is None:
        return None
    warm_up = caching.warm_up_usd.quantize(_USD_PLACES, ROUND_UP) if caching else 0
    return Usd(low=min(low, expected), expected=expected, high=max(high, expected) + warm_up)


def _dollars(
    model: str,
    cases: Iterable[PromptCase],
    answer: float,
    cached: Mapping[str, float],
    *,
    mode: Mode,
    rounding: str = ROUND_HALF_UP,
) -> Decimal | None:
    """
    Return the cost of prompts and answers, each at the rates for the length of its prompt.

    :param answer: tokens per answer
    :param cached: tokens per prompt that are read or written, by kind
    """
    above, total = prices().long_above(model), Decimal(0)
    for case in cases:
        is_long = pc.greater(case.tokens, float(above))
        for long, of_these in ((False, pc.invert(is_long)), (True, is_long)):
            rates = prices().per_token(model, long=long, batch=mode == "batch")
            if rates is None:
                return None
            counts = case.counts.filter(of_these)
            prompts = pc.sum(counts).as_py() or 0
            tokens = pc.sum(pc.multiply(case.tokens.filter(of_these), counts)).as_py() or 0
            # The cached part of a prompt is never larger than the prompt.
            part = min(tokens / max(prompts * sum(cached.values()), 1), 1)
            used = {kind: each * prompts * part for kind, each in cached.items()}
            used |= {"input_tokens": tokens - sum(used.values()), "output_tokens": answer * prompts}
            total += sum(rates[kind] * Decimal(case.share * many) for kind, many in used.items())
    return total.quantize(_USD_PLACES, rounding)
