"""
What a pass will cost, told before it is sent: low, expected and high.

The bytes of each request are exact. The API counts the tokens of the largest requests and of a sample of the others;
each remaining prompt is priced by its own bytes, since a long prompt may have a higher price. How long the answers are
is known from the canary and from earlier batches; how much of the prompt is read from the cache, from earlier batches.
Where nothing is known, the ceiling is expected.

The high estimate holds for any mixture of sizes and texts: no token is shorter than a byte.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_DOWN, ROUND_HALF_UP, ROUND_UP, Decimal
from functools import reduce
from math import sqrt
from operator import add
from statistics import fmean, stdev
from types import MappingProxyType
from typing import Self

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict

from include.enrichment.cost.caching import PrefixSize
from include.enrichment.cost.prices import prices
from include.enrichment.requests.chunk import params_bytes
from include.enrichment.runs import passes

#: A text has no more tokens than bytes of UTF-8: a tokenizer falls back to bytes, and cuts none. Params have more bytes
#: than their texts.
_MOST_PER_BYTE = 1.0
#: English prose has 4 to 5 bytes a token; what is expected where nothing is known.
_THUMB = (1 / 5.0, 1 / 3.5, _MOST_PER_BYTE)
#: A count is an estimate of its own (docs of token counting, 2026-07-03).
_LEAST_ERROR = 0.03
#: So many requests are counted: the largest, and others by their size.
_LARGEST, _BY_SIZE = 20, 180
#: A kind of text with a share p of the requests is missed by n draws with a probability of e^-pn: 1 in 1,000 for 7.
_MISSED = 7.0
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
#: So many batches tell how much of the prefix is read at the least.
_SEVERAL = 3
#: The bounds of an estimate, each with the way in which its dollars are rounded.
_BOUNDS = {"low": ROUND_DOWN, "expected": ROUND_HALF_UP, "high": ROUND_UP}
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
    The tokens that the API has counted in some of a run's requests.

    :param requests: how many were counted
    :param tokens: of each of them, by request id
    :param frame_bytes: of the part of the params that is the same in every request
    :param frame_tokens: of that part
    :param per_byte: tokens of each further byte: the fewest and the most of any request counted, and of all together
    :param prefix_tokens: of the part that stands first in every request and may be cached
    """

    requests: int
    tokens: dict[str, int]
    frame_bytes: int
    frame_tokens: int
    per_byte: Bounds
    prefix_tokens: int


def counted(
    sample: Sequence[tuple[int, int]],
    *,
    prefix_tokens: int,
    frame: tuple[int, int] = (0, 0),
    request_ids: Sequence[str] = (),
) -> Counted:
    """
    Read a sample of requests.

    :param sample: bytes and tokens of each of its requests, at least one
    :param frame: bytes and tokens of the part that is the same in every request
    :param request_ids: of the sample; without them, requests are not recognized as counted
    """
    frame_bytes, frame_tokens = frame
    # Two counts, each to the token: their difference may lie a token outside of what a text can have.
    rest = [(size - frame_bytes, max(tokens - frame_tokens, 0)) for size, tokens in sample if size > frame_bytes]
    single = [min(tokens / size, _MOST_PER_BYTE) for size, tokens in rest] or [_MOST_PER_BYTE]
    together = sum(tokens for _, tokens in rest) / sum(size for size, _ in rest) if rest else _MOST_PER_BYTE
    return Counted(
        requests=len(sample),
        tokens=dict(zip(request_ids, (tokens for _, tokens in sample), strict=False)),
        frame_bytes=frame_bytes,
        frame_tokens=frame_tokens,
        per_byte=Bounds(low=min(single), expected=min(together, _MOST_PER_BYTE), high=max(single)),
        prefix_tokens=prefix_tokens,
    )


def choose_sample(sizes: pa.Table) -> set[str]:
    """
    Choose the requests to count: the largest ones, and of the others evenly by size, 200 together.

    The chance of the others depends half on their bytes and half on their number: neither a few long texts nor many
    short ones are missed.

    :param sizes: of distinct requests, in SIZES_SCHEMA
    """
    ordered = sizes.sort_by([("params_bytes", "descending"), ("request_id", "ascending")])
    largest, rest = ordered[:_LARGEST], ordered[_LARGEST:].combine_chunks()
    if len(rest) > _BY_SIZE:
        size = rest["params_bytes"].chunk(0).cast(pa.float64())
        reached = pc.cumulative_sum(pc.add(size, pc.mean(size)))
        step = reached[-1].as_py() / _BY_SIZE
        rest = rest.take(
            [
                bisect_left(range(len(rest)), (number + 0.5) * step, key=lambda place: reached[place].as_py())
                for number in range(_BY_SIZE)
            ]
        )
    return {*largest["request_id"].to_pylist(), *rest["request_id"].to_pylist()}


@dataclass(frozen=True, kw_only=True)
class History:
    """
    What earlier batches of the pipeline, with the same model, had.

    :param tokens_per_byte: of the prompt
    :param output_tokens: of an answer
    :param hits: what part of the prefix was read from the cache in batches after a canary
    """

    tokens_per_byte: Bounds | None = None
    output_tokens: Bounds | None = None
    hits: Bounds | None = None


def summarise_history(lines: pa.Table, *, model: str, run_id: str) -> History:
    """
    What the books say.

    :param lines: in USAGE_SCHEMA
    :param run_id: the run that asks: what its own canary was answered is known answer by answer, see output_of()
    """
    # An alias is answered by its dated snapshot. A warm-up is no row's request, and is like none.
    same = pc.or_(pc.equal(lines["model"], model), pc.starts_with(lines["model"], f"{model}-20"))
    same = pc.and_(same, pc.not_equal(pc.fill_null(lines["pass_name"], ""), passes.WARM_UP))
    # An upper bound is what nobody could read, and no experience.
    batches = [
        line
        for line in lines.filter(same).to_pylist()
        if line["succeeded"] + line["invalid"] > 0 and not line["upper_bounds"]
    ]
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
    return History(
        tokens_per_byte=_ratio(prompts),
        output_tokens=_ratio(answered),
        hits=_hits([one for one in cached if one[1]]),
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


def _hits(cached: Sequence[tuple[int, int]]) -> Bounds | None:
    """
    Bounds of what it costs: the more is read, the less.

    :param cached: of each batch the tokens that were read, and all that were read or written
    """
    if (found := _ratio(cached)) is None:
        return None
    # One batch may have been lucky; several that agree say more than what is documented of all.
    least = found.low if len(cached) >= _SEVERAL else min(found.low, _WARM_HITS[2])
    return Bounds(low=min(found.high, 1.0), expected=min(found.expected, 1.0), high=max(least, 0.0))


def estimate_output(
    answers: Sequence[int], earlier: Bounds | None, *, requests: int, max_tokens: int
) -> tuple[Bounds, str]:
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
    :param tokens: of the prefix, as far as the cache is expected to keep it
    :param hits: what part of it is read
    :param most: the most tokens that the cache may keep, if more
    :param warm_up_usd: the most that a request costs which may go ahead to warm the cache
    """

    write: str
    tokens: float
    hits: Bounds
    most: float = 0
    warm_up_usd: Decimal = Decimal(0)


def prefix_size(sample: Counted | None, size: PrefixSize) -> tuple[float, float]:
    """
    The tokens that stand first in every request: expected, and at the most.

    It is not documented whether the output format stands before the mark of the cache.
    """
    if sample:
        return sample.prefix_tokens, max(sample.prefix_tokens, sample.frame_tokens) * (1 + _LEAST_ERROR)
    return size.system_bytes * _THUMB[1], (size.system_bytes + size.format_bytes) * _MOST_PER_BYTE


def estimate_cache_hits(known: Bounds | None, *, warms: bool, warmed: bool) -> Bounds:
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
    sizes: pa.Table | None = None,
    sample: Counted | None,
    known: History,
    output: tuple[Bounds, str],
    caching: CachedPart | None,
) -> Estimate:
    """
    Estimate what some requests will cost.

    :param size: bytes of all their params together
    :param sizes: of each of them, in SIZES_SCHEMA; None where only the sum is known: the high estimate is then that of
        the worst mixture
    :param sample: what the API has counted in some of them
    :param known: from earlier batches
    :param output: of one answer, as output_of() says
    :param caching: None where nothing is cached
    """
    cases, prompt_source = _prompts(model, requests, size, sizes, sample, known)
    answer, output_source = output
    sources = f"prompts: {prompt_source}"
    above = prices().long_above(model)
    if long := round(sum(case.share * case.longer_than(above) for case in cases["high"])):
        sources += f", of which up to {long:,} are longer than {above:,} tokens"
    sources += f"; answers: {output_source}"
    if caching and caching.tokens:
        sources += f"; read from the cache: {caching.hits.expected:.0%}, at least {caching.hits.high:.0%}"
    return Estimate(
        requests=requests,
        bytes=size,
        input_tokens=Bounds(**{bound: sum(case.share * case.total for case in cases[bound]) for bound in _BOUNDS}),
        output_tokens=answer.times(requests),
        cost_usd=_cost(model, cases, answer, caching),
        synchronous_usd=_dollars(model, cases["expected"], answer.expected, {}, batch=False),
        sources=sources,
    )


@dataclass(frozen=True, kw_only=True)
class _Case:
    """
    The prompts as they may be.

    :param share: of the requests that are like this; the cases of one bound add up to 1
    :param tokens: of each prompt, as float64
    """

    share: float
    tokens: pa.Array

    @property
    def total(self) -> float:
        """The tokens of all prompts together."""
        total: float = pc.sum(self.tokens).as_py() or 0.0
        return total

    def longer_than(self, above: int) -> int:
        """The number of prompts with more tokens than that."""
        longer: int = pc.sum(pc.greater(self.tokens, float(above))).as_py() or 0
        return longer


def _prompts(
    model: str, requests: int, size: int, sizes: pa.Table | None, sample: Counted | None, known: History
) -> tuple[dict[str, list[_Case]], str]:
    """The tokens of the prompts for each bound, and how they are known."""
    per_byte, source = _per_byte(sample, known)
    frame_bytes, frame_tokens = (sample.frame_bytes, sample.frame_tokens) if sample else (0, 0)
    if sizes is None:
        ids, of_each = pa.nulls(requests, pa.string()), pa.repeat(size / max(requests, 1), requests)
    else:
        ids, of_each = sizes["request_id"].combine_chunks(), sizes["params_bytes"].combine_chunks().cast(pa.float64())
    rest = pc.max_element_wise(pc.subtract(of_each, float(frame_bytes)), 0.0)
    exact = _exact(ids, sample)

    def case(share: float, of_a_byte: float, error: float) -> _Case:
        reckoned = pc.add(pc.multiply(rest, of_a_byte), float(frame_tokens))
        return _Case(share=share, tokens=pc.multiply(pc.coalesce(exact, reckoned), 1 + error))

    missed = _missed(rest.filter(pc.is_null(exact)), sample) if sample else 0.0
    high = [case(1 - missed, per_byte.high, _LEAST_ERROR), case(missed, _MOST_PER_BYTE, _LEAST_ERROR)]
    if sizes is None:
        most = requests * frame_tokens + max(size - requests * frame_bytes, 0) * _MOST_PER_BYTE
        high = [_Case(share=1, tokens=_worst(most * (1 + _LEAST_ERROR), requests, prices().long_above(model)))]
        source += ", and only the sum of all bytes"
    low = [case(1, per_byte.low * (1 - missed), -_LEAST_ERROR)]
    return {"low": low, "expected": [case(1, per_byte.expected, 0)], "high": high}, source


def _per_byte(sample: Counted | None, known: History) -> tuple[Bounds, str]:
    """Tokens of a byte, and how they are known. What was not counted in this run may have one for each."""
    if sample:
        return sample.per_byte, f"counted in {sample.requests:,} of them"
    if earlier := known.tokens_per_byte:
        expected = min(earlier.expected, _MOST_PER_BYTE)
        return Bounds(low=min(earlier.low, expected), expected=expected, high=_MOST_PER_BYTE), "as in earlier batches"
    low, expected, high = _THUMB
    return Bounds(low=low, expected=expected, high=high), "not counted: 5 bytes a token to 1"


def _exact(request_ids: pa.Array, sample: Counted | None) -> pa.Array:
    """The tokens of the requests that were counted, null for the others."""
    if sample is None or not sample.tokens:
        return pa.nulls(len(request_ids), pa.float64())
    tokens = pa.array(list(sample.tokens.values()), pa.float64())
    return tokens.take(pc.index_in(request_ids, pa.array(list(sample.tokens), pa.string())))


def _missed(sizes: pa.Array, sample: Counted) -> float:
    """
    The share of these bytes that may be of another kind of text than any that was counted: in the run, because the
    sample has missed it, and among these requests, because they are few.

    A draw finds a share of the bytes with at least half of its probability, see to_count().
    """
    total = pc.sum(sizes).as_py()
    if not total:
        return 0.0
    as_many_alike = total**2 / pc.sum(pc.multiply(sizes, sizes)).as_py()
    share: float = _MISSED * (2 / sample.requests + 1 / as_many_alike)
    return min(share, 1.0)


def _worst(tokens: float, requests: int, above: int) -> pa.Array:
    """So many tokens in the mixture of prompts that costs most: as many as can be are just longer than ``above``."""
    long = min(int(tokens // (above + 1)), requests)
    among = long or requests
    return pa.concat_arrays([pa.repeat(tokens / max(among, 1), among), pa.repeat(0.0, requests - among)])


def _cost(model: str, cases: Mapping[str, Sequence[_Case]], answer: Bounds, caching: CachedPart | None) -> Usd | None:
    def dollars(bound: str) -> Decimal | None:
        cached: dict[str, float] = {}
        if caching:
            prefix = caching.tokens if bound == "expected" else max(caching.tokens, caching.most)
            hits = getattr(caching.hits, bound)
            cached = {"cache_read_tokens": prefix * hits, f"cache_{caching.write}_tokens": prefix * (1 - hits)}
        return _dollars(model, cases[bound], getattr(answer, bound), cached, rounding=_BOUNDS[bound])

    low, expected, high = map(dollars, _BOUNDS)
    if low is None or expected is None or high is None:
        return None
    warm_up = caching.warm_up_usd.quantize(_USD_PLACES, ROUND_UP) if caching else 0
    return Usd(low=min(low, expected), expected=expected, high=max(high, expected) + warm_up)


def _dollars(
    model: str,
    cases: Iterable[_Case],
    answer: float,
    cached: Mapping[str, float],
    *,
    batch: bool = True,
    rounding: str = ROUND_HALF_UP,
) -> Decimal | None:
    """
    What the prompts and their answers cost, each at the rates for the length of its prompt.

    :param answer: tokens of one answer
    :param cached: tokens of one prompt that are read or written, by kind
    """
    above, together = prices().long_above(model), Decimal(0)
    for case in cases:
        is_long = pc.greater(case.tokens, float(above))
        for long, of_these in ((False, pc.invert(is_long)), (True, is_long)):
            rates = prices().per_token(model, long=long, batch=batch)
            if rates is None:
                return None
            prompts = case.tokens.filter(of_these)
            tokens = pc.sum(prompts).as_py() or 0
            # No more of a prompt is cached than there is of it.
            part = min(tokens / max(len(prompts) * sum(cached.values()), 1), 1)
            used = {kind: each * len(prompts) * part for kind, each in cached.items()}
            used |= {"input_tokens": tokens - sum(used.values()), "output_tokens": answer * len(prompts)}
            together += sum(rates[kind] * Decimal(case.share * many) for kind, many in used.items())
    return together.quantize(_USD_PLACES, rounding)


def expected_usd(estimates: Iterable[Estimate]) -> Decimal | None:
    """What all of them together are expected to cost; None if one price is not known."""
    costs = [one.cost_usd for one in estimates]
    known = [cost.expected for cost in costs if cost]
    return sum(known, Decimal(0)) if len(known) == len(costs) else None


_USD_COLUMNS = ("low $", "expected $", "high $", "one by one $")


def cost_table(
    estimates: Mapping[str, Estimate], counts: Mapping[str, Mapping[str, int]] = MappingProxyType({})
) -> str:
    """
    Estimates by pass in lines for people, with how each is known.

    :param counts: more columns, by their names: a count for each pass
    """
    lines = [_line(name, one, [column[name] for column in counts.values()]) for name, one in estimates.items()]
    if len(estimates) > 1:
        sums = [sum(column.values()) for column in counts.values()]
        lines.append(_line("together", _together(list(estimates.values())), sums))
    lines.insert(0, ("pass", *counts, "requests", "MB", "input tokens", "output tokens", *_USD_COLUMNS))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    shown = ["  ".join(map(str.rjust, line, widths)) for line in lines]
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


def _line(name: str, one: Estimate, counts: Iterable[int]) -> tuple[str, ...]:
    cost = (one.cost_usd.low, one.cost_usd.expected, one.cost_usd.high) if one.cost_usd else (None, None, None)
    return (
        name,
        *(f"{count:,}" for count in counts),
        f"{one.requests:,}",
        f"{one.bytes / 1e6:,.1f}",
        f"{one.input_tokens.expected:,.0f}",
        f"{one.output_tokens.expected:,.0f}",
        *("?" if amount is None else f"{amount:,.4f}" for amount in (*cost, one.synchronous_usd)),
    )
