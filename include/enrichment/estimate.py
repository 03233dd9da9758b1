"""
What a pass will cost, told before it is sent: low, expected and high.

The number of requests and their bytes are exact. Tokens come from a sample that the API has counted, or else from what
earlier batches had; how long the answers are, from the canary and from earlier batches; how much of the prompt is read
from the cache, from earlier batches. Where nothing is known, it is the ceiling that is expected.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, ROUND_UP, Decimal
from functools import reduce
from math import sqrt
from operator import add
from statistics import fmean, linear_regression, stdev
from typing import Self

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict

from include.enrichment import passes
from include.enrichment.chunk import params_bytes
from include.enrichment.prices import prices

#: Texts of one kind have one to two bytes a token more or less than this, whatever the language and the model.
_BYTES_PER_TOKEN = (5.0, 3.5, 2.5)
#: A count is an estimate of its own (docs of token counting, 2026-07-03).
_LEAST_ERROR = 0.03
#: Standard errors to either side of an expected value.
_SURE = 3.0
#: How far the next batches' answers may be from those of earlier ones.
_HISTORY_ERROR = 0.2
#: What part of the prefix is read from the cache: the documented hits in batches are 30 to 98 % (docs of batch
#: processing, 2026-10-08). That a prefix which a canary batch has written is found as often as that is our expectation,
#: and counts only as long as the books know no better.
_WARM_HITS = (1.0, 0.98, 0.3)
_COLD_HITS = (0.98, 0.3, 0.0)
_NO_HITS = (0.98, 0.0, 0.0)
_FEW_ANSWERS = 3
_BOUNDS = ("low", "expected", "high")
_USD_PLACES = Decimal("0.000001")


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Bounds(_Frozen):
    """A value that is not known yet."""

    low: float
    expected: float
    high: float

    @classmethod
    def around(cls, value: float, error: float) -> Self:
        """A value of at least 0, with its error to both sides."""
        return cls(low=max(value - error, 0), expected=value, high=value + error)

    def times(self, factor: float) -> Bounds:
        """Of so many."""
        return Bounds(low=self.low * factor, expected=self.expected * factor, high=self.high * factor)


class Usd(_Frozen):
    """An amount in US dollars that is not known yet."""

    low: Decimal
    expected: Decimal
    high: Decimal

    def __add__(self, other: Usd) -> Usd:
        return Usd(low=self.low + other.low, expected=self.expected + other.expected, high=self.high + other.high)


class Counted(_Frozen):
    """
    What the API has counted in a sample of a run's requests: ``fixed + per_byte * bytes`` tokens in a request.

    :param requests: the size of the sample
    :param error: of the mean of the sample, in tokens
    :param prefix_tokens: of what stands first in every request and may be cached
    """

    requests: int
    fixed: float
    per_byte: float
    error: float
    prefix_tokens: int


def counted(sample: Sequence[tuple[int, int]], *, prefix_tokens: int) -> Counted:
    """
    What a sample says.

    :param sample: bytes and tokens of each of its requests, at least one
    """
    sizes, tokens = zip(*sample, strict=True)
    mean_bytes, mean_tokens = fmean(sizes), fmean(tokens)
    # Through a line where sizes differ: what is the same in all requests has other tokens for its bytes than the rest.
    slope = mean_tokens / mean_bytes
    if len(sample) > 2 and min(sizes) < max(sizes):
        slope = max(linear_regression(sizes, tokens).slope, 0.0)
    fixed = mean_tokens - slope * mean_bytes
    residuals = [one - (fixed + slope * size) for size, one in sample]
    spread = stdev(residuals) if len(sample) > 2 else mean_tokens / 10
    return Counted(
        requests=len(sample),
        fixed=fixed,
        per_byte=slope,
        error=spread / sqrt(len(sample)),
        prefix_tokens=prefix_tokens,
    )


@dataclass(frozen=True, kw_only=True)
class Experience:
    """
    What earlier batches of the pipeline, with the same model, had.

    :param tokens_per_byte: of the prompt
    :param output_tokens: of an answer
    :param hits: what part of the prefix was read from the cache in batches after a canary
    """

    tokens_per_byte: Bounds | None = None
    output_tokens: Bounds | None = None
    hits: Bounds | None = None


def experience(lines: pa.Table, *, model: str, run_id: str) -> Experience:
    """
    What the books say.

    :param lines: in USAGE_SCHEMA
    :param run_id: the run that asks: what its own canary was answered is known answer by answer, see output_of()
    """
    # An alias is answered by its dated snapshot. A warm-up is no row's request, and is like none.
    same = pc.or_(pc.equal(lines["model"], model), pc.starts_with(lines["model"], f"{model}-20"))
    same = pc.and_(same, pc.not_equal(pc.fill_null(lines["pass_name"], ""), passes.WARM_UP))
    batches = [line for line in lines.filter(same).to_pylist() if line["succeeded"] + line["invalid"] > 0]
    answered = [
        (line["output_tokens"], line["succeeded"] + line["invalid"])
        for line in batches
        if (line["pass_name"], line["run_id"]) != (passes.CANARY, run_id)
    ]
    whole = [line for line in batches if line["body_bytes"] and line["succeeded"] + line["invalid"] == line["requests"]]
    prompts = [(_prompt(line), params_bytes(line["requests"], line["body_bytes"])) for line in whole]
    cached = [
        (line["cache_read_tokens"], line["cache_read_tokens"] + _written(line))
        for line in batches
        if line["pass_name"] != passes.CANARY  # which warms it, and whose own reads say nothing
    ]
    return Experience(
        tokens_per_byte=_ratio(prompts),
        output_tokens=_ratio(answered),
        hits=_hits(_ratio([one for one in cached if one[1]])),
    )


def _prompt(line: Mapping[str, int]) -> int:
    return line["input_tokens"] + line["cache_read_tokens"] + _written(line)


def _written(line: Mapping[str, int]) -> int:
    return line["cache_write_5m_tokens"] + line["cache_write_1h_tokens"]


def _ratio(pairs: Sequence[tuple[int, int]]) -> Bounds | None:
    """The ratio of the sums, and how far off the next one may be."""
    if not pairs:
        return None
    ratio = sum(over for over, _ in pairs) / sum(under for _, under in pairs)
    single = [over / under for over, under in pairs]
    spread = stdev(single) if len(single) > 1 else 0.0
    return Bounds.around(ratio, max(_SURE * spread, ratio * _HISTORY_ERROR))


def _hits(found: Bounds | None) -> Bounds | None:
    """Bounds of what it costs: the more is read, the less."""
    if found is None:
        return None
    return Bounds(low=min(found.high, 1.0), expected=min(found.expected, 1.0), high=min(found.low, _WARM_HITS[2]))


def output_of(answers: Sequence[int], earlier: Bounds | None, *, requests: int, max_tokens: int) -> tuple[Bounds, str]:
    """
    How many tokens an answer has on average, and how that is known.

    The canary's answers are to the prompt as it is now, but few. Where earlier batches agree with them, those are more
    exact.

    :param answers: tokens of each of the canary's answers
    :param earlier: of the answers in earlier batches
    :param requests: how many answers there will be: the average of a few may be further off
    """
    error = 0.0
    if len(answers) >= _FEW_ANSWERS and requests:
        mean, spread = fmean(answers), max(stdev(answers), 0.1 * fmean(answers))
        canary = Bounds.around(mean, _SURE * spread * sqrt(1 / len(answers) + 1 / requests))
        if earlier is None or not canary.low <= earlier.expected <= canary.high:
            return _within(canary, max_tokens), f"as in the canary's {len(answers)} answers"
        error = _SURE * spread / sqrt(requests)
    if earlier is not None:
        error += max(earlier.high - earlier.expected, earlier.expected - earlier.low)
        return _within(Bounds.around(earlier.expected, error), max_tokens), "as in earlier batches"
    return Bounds(low=0, expected=max_tokens, high=max_tokens), "not known: max_tokens"


def _within(bounds: Bounds, most: int) -> Bounds:
    return Bounds(
        low=min(bounds.low, most), expected=min(bounds.expected, float(most)), high=min(bounds.high, float(most))
    )


class Estimate(_Frozen):
    """
    What some requests will cost.

    :param bytes: of their params
    :param input_tokens: of all prompts together
    :param output_tokens: of all answers together
    :param cost_usd: None where the price of the model is not known
    :param synchronous_usd: what the expected tokens would cost one by one, at once and without a cache
    :param sources: how tokens, answers and hits are known, for people
    """

    requests: int
    bytes: int
    input_tokens: Bounds
    output_tokens: Bounds
    cost_usd: Usd | None
    synchronous_usd: Decimal | None
    sources: str


@dataclass(frozen=True, kw_only=True)
class CachedPart:
    """
    How the prefix of the requests is cached.

    :param write: the rate of a write: ``write_5m`` or ``write_1h``
    :param tokens: of the prefix
    :param hits: what part of it is read
    """

    write: str
    tokens: float
    hits: Bounds


def hits_of(known: Bounds | None, *, warms: bool, warmed: bool) -> Bounds:
    """
    What part of the prefix is read from the cache; ``low`` is where the cost is lowest.

    :param known: from earlier batches
    :param warms: the pass is the canary, which writes it
    :param warmed: a canary comes first
    """
    if known and not warms:
        return known
    low, expected, high = _NO_HITS if warms else _WARM_HITS if warmed else _COLD_HITS
    return Bounds(low=low, expected=expected, high=high)


def estimate(
    *,
    model: str,
    requests: int,
    size: int,
    sample: Counted | None,
    known: Experience,
    output: tuple[Bounds, str],
    caching: CachedPart | None,
) -> Estimate:
    """
    What so many requests of so many bytes together will cost.

    :param sample: what the API has counted in some of them
    :param known: from earlier batches
    :param output: of one answer, as output_of() says
    :param caching: None where nothing is cached
    """
    prompt, prompt_source = _input_tokens(requests, size, sample, known)
    answers, output_source = output[0].times(requests), output[1]
    sources = f"prompts: {prompt_source}; answers: {output_source}"
    if caching:
        sources += f"; read from the cache: {caching.hits.expected:.0%}"
    return Estimate(
        requests=requests,
        bytes=size,
        input_tokens=prompt,
        output_tokens=answers,
        cost_usd=_cost(model, requests, prompt, answers, caching),
        synchronous_usd=_synchronous(model, requests, prompt.expected, answers.expected),
        sources=sources,
    )


def _input_tokens(requests: int, size: int, sample: Counted | None, known: Experience) -> tuple[Bounds, str]:
    if sample:
        tokens = max(requests * sample.fixed + sample.per_byte * size, 0.0)
        error = max(_SURE * sample.error * requests, tokens * _LEAST_ERROR)
        return Bounds.around(tokens, error), f"counted in {sample.requests} of them"
    if known.tokens_per_byte:
        return known.tokens_per_byte.times(size), "as in earlier batches"
    low, expected, high = (size / per_token for per_token in _BYTES_PER_TOKEN)
    return Bounds(low=low, expected=expected, high=high), "not counted: 2.5 to 5 bytes a token"


def _cost(model: str, requests: int, prompt: Bounds, answers: Bounds, caching: CachedPart | None) -> Usd | None:
    def dollars(bound: str) -> Decimal | None:
        tokens, output = getattr(prompt, bound), getattr(answers, bound)
        long = bool(requests) and tokens / requests > prices().long_above(model)
        rates = prices().per_token(model, long=long)
        if rates is None:
            return None
        used = {"input_tokens": tokens, "output_tokens": output}
        if caching:
            prefix = min(caching.tokens * requests, tokens)
            read = prefix * getattr(caching.hits, bound)
            used |= {
                "input_tokens": tokens - prefix,
                "cache_read_tokens": read,
                f"cache_{caching.write}_tokens": prefix - read,
            }
        return _sum(rates, used)

    low, expected, high = map(dollars, _BOUNDS)
    if low is None or expected is None or high is None:
        return None
    return Usd(low=min(low, expected), expected=expected, high=max(high, expected))


def _synchronous(model: str, requests: int, prompt: float, answers: float) -> Decimal | None:
    long = bool(requests) and prompt / requests > prices().long_above(model)
    rates = prices().per_token(model, long=long, batch=False)
    return _sum(rates, {"input_tokens": prompt, "output_tokens": answers}) if rates else None


def _sum(rates: Mapping[str, Decimal], used: Mapping[str, float]) -> Decimal:
    whole = sum((rates[kind] * Decimal(round(tokens)) for kind, tokens in used.items()), Decimal(0))
    return whole.quantize(_USD_PLACES, ROUND_HALF_UP)


def expected_usd(estimates: Iterable[Estimate]) -> Decimal | None:
    """What all of them together are expected to cost; None if one price is not known."""
    costs = [one.cost_usd for one in estimates]
    known = [cost.expected for cost in costs if cost]
    return sum(known, Decimal(0)) if len(known) == len(costs) else None


def share_of(whole: Estimate, *, requests: int) -> Decimal | None:
    """What so many of the requests are expected to cost."""
    if whole.cost_usd is None or not whole.requests:
        return None
    return (whole.cost_usd.expected * requests / whole.requests).quantize(_USD_PLACES, ROUND_UP)


_COLUMNS = ("pass", "requests", "MB", "input tokens", "output tokens", "low $", "expected $", "high $", "one by one $")


def cost_table(estimates: Mapping[str, Estimate]) -> str:
    """Estimates by pass in lines for people, with how each is known."""
    lines = [_COLUMNS, *(_line(name, one) for name, one in estimates.items())]
    if len(estimates) > 1:
        lines.append(_line("together", _together(list(estimates.values()))))
    widths = [max(len(line[column]) for line in lines) for column in range(len(_COLUMNS))]
    shown = ["  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in lines]
    shown += [f"{name}: {one.sources}." for name, one in estimates.items() if one.requests]
    if any(one.cost_usd is None for one in estimates.values()):
        shown.append("The price of the model is not in prices.yaml: what it costs is not known.")
    return "\n".join([*shown, "MB: of requests. One by one: the same at once, without a batch and without a cache."])


def _together(estimates: Sequence[Estimate]) -> Estimate:
    costs = [one.cost_usd for one in estimates if one.cost_usd]
    synchronous = [one.synchronous_usd for one in estimates if one.synchronous_usd is not None]
    tokens = {
        kind: Bounds(**{bound: sum(getattr(getattr(one, kind), bound) for one in estimates) for bound in _BOUNDS})
        for kind in ("input_tokens", "output_tokens")
    }
    return Estimate(
        requests=sum(one.requests for one in estimates),
        bytes=sum(one.bytes for one in estimates),
        **tokens,
        cost_usd=reduce(add, costs) if len(costs) == len(estimates) else None,
        synchronous_usd=sum(synchronous, Decimal(0)) if len(synchronous) == len(estimates) else None,
        sources="",
    )


def _line(name: str, one: Estimate) -> tuple[str, ...]:
    cost = (one.cost_usd.low, one.cost_usd.expected, one.cost_usd.high) if one.cost_usd else (None, None, None)
    return (
        name,
        f"{one.requests:,}",
        f"{one.bytes / 1e6:,.1f}",
        f"{one.input_tokens.expected:,.0f}",
        f"{one.output_tokens.expected:,.0f}",
        *("?" if amount is None else f"{amount:,.4f}" for amount in (*cost, one.synchronous_usd)),
    )
