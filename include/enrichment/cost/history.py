"""What the usage records of earlier batches say about the next ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from statistics import stdev
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from include.enrichment.cost.bounds import Bounds
from include.enrichment.requests.chunk import params_bytes
from include.enrichment.runs import passes
from include.enrichment.runs.modes import MODES, Mode

#: Standard errors to either side of an expected value.
STANDARD_ERRORS = 3.0
#: The part of the prefix that is read from the cache after a canary has written it. Documented hit rates in batches are
#: 30 to 98 % (docs of batch processing, 2026-10-08); usage records replace this assumption.
WARM_HITS = (1.0, 0.98, 0.3)
#: The least part of the prefix that synchronous requests after the first are assumed to read: the first has written it
#: before they begin, so only an entry that the cache drops early is written again. Usage records replace this.
ASKED_HITS = 0.8
#: The answers of the next batches may differ from those of earlier ones by this share.
_HISTORY_ERROR = 0.2
#: This many batches are enough to set a lower bound for the hit rate.
_SEVERAL = 3
_Record: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class History:
    """
    Averages over the pipeline's earlier batches with the same model, or the same model and variant.

    :param tokens_per_byte: of the prompt
    :param output_tokens: per answer
    :param hits: for each mode, the part of the prefix that passes after a canary read from the cache
    """

    tokens_per_byte: Bounds | None = None
    output_tokens: Bounds | None = None
    hits: Mapping[Mode, Bounds] = field(default_factory=dict)


def summarise_history(usage_records: pa.Table, *, model: str, run_id: str, variant: str = "") -> History:
    """
    Summarise the usage records of a pipeline. Where a variant has batches of its own, only those count.

    :param usage_records: in USAGE_SCHEMA
    :param run_id: the current run. estimate_output() knows its canary's answers one by one, so they are left out here
    :param variant: of the pipeline; empty: it has none
    """
    # The API answers for an alias with its dated snapshot. A warm-up is unlike any row's request.
    same = pc.or_(pc.equal(usage_records["model"], model), pc.starts_with(usage_records["model"], f"{model}-20"))
    same = pc.and_(same, pc.not_equal(pc.fill_null(usage_records["pass_name"], ""), passes.WARM_UP))
    batches = [
        record
        for record in usage_records.filter(same).to_pylist()
        # An upper bound stands for usage that could not be read, so nothing can be learned from it.
        if record["succeeded"] + record["invalid"] > 0 and not record["upper_bounds"]
    ]
    own = [record for record in batches if variant and record["variant"] == variant]

    def ratios(pairs: Callable[[list[_Record]], list[tuple[int, int]]]) -> list[tuple[int, int]]:
        return pairs(own) or pairs(batches)

    return History(
        tokens_per_byte=_ratio(ratios(_prompts)),
        output_tokens=_ratio(ratios(partial(_answers, run_id=run_id))),
        hits={mode: found for mode in MODES if (found := _hits(ratios(partial(_cached, mode=mode)), mode)) is not None},
    )


def _answers(batches: Iterable[_Record], *, run_id: str) -> list[tuple[int, int]]:
    return [
        (record["output_tokens"], record["succeeded"] + record["invalid"])
        for record in batches
        if (record["pass_name"], record["run_id"]) != (passes.CANARY, run_id)
    ]


def _prompts(batches: Iterable[_Record]) -> list[tuple[int, int]]:
    return [
        (_prompt_tokens(record), params_bytes(record["requests"], record["body_bytes"]))
        for record in batches
        if record["body_bytes"] and record["succeeded"] + record["invalid"] == record["requests"]
    ]


def _cached(batches: Iterable[_Record], *, mode: Mode) -> list[tuple[int, int]]:
    """The canary warms the cache: its own reads say nothing."""
    cached = [
        (record["cache_read_tokens"], record["cache_read_tokens"] + _written(record))
        for record in batches
        if record["pass_name"] != passes.CANARY and (record["mode"] or "batch") == mode
    ]
    return [one for one in cached if one[1]]


def _prompt_tokens(record: _Record) -> int:
    return int(record["input_tokens"] + record["cache_read_tokens"]) + _written(record)


def _written(record: _Record) -> int:
    return int(record["cache_write_5m_tokens"] + record["cache_write_1h_tokens"])


def _ratio(pairs: Sequence[tuple[int, int]]) -> Bounds | None:
    """Return the ratio of the sums, with bounds for the ratio of the next pair."""
    if not pairs:
        return None
    ratio = sum(over for over, _ in pairs) / sum(under for _, under in pairs)
    single = [over / under for over, under in pairs]
    spread = stdev(single) if len(single) > 1 else 0.0
    return Bounds.around(ratio, max(STANDARD_ERRORS * spread, ratio * _HISTORY_ERROR))


def _hits(cached: Sequence[tuple[int, int]], mode: Mode) -> Bounds | None:
    """
    Return the hit rate as bounds of the cost: a high rate is cheap, so it is the ``low`` bound.

    :param cached: for each batch, the tokens read, and the tokens read or written
    """
    if (found := _ratio(cached)) is None:
        return None
    # One batch may have been lucky; several that agree are better evidence than the documented range.
    least = found.low if len(cached) >= _SEVERAL else min(found.low, WARM_HITS[2] if mode == "batch" else ASKED_HITS)
    return Bounds(low=min(found.high, 1.0), expected=min(found.expected, 1.0), high=max(least, 0.0))
