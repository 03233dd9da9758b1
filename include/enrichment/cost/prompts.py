"""
The tokens of prompts before they are sent, by what is known: counted, reckoned from bytes, or the most they can be.

No token of a text is shorter than a byte. A picture takes as many tokens as its pixels or its page.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from include.enrichment.cost.attached_sizes import has_attached_sizes
from include.enrichment.cost.bounds import NAMES, Bounds
from include.enrichment.cost.history import History
from include.enrichment.cost.prices import prices
from include.enrichment.cost.token_sample import MOST_PER_BYTE, TokenSample

#: Tokens per byte without any evidence: English prose has 4 to 5 bytes per token.
RULE_OF_THUMB = Bounds(low=1 / 5.0, expected=1 / 3.5, high=MOST_PER_BYTE)
#: The API's token count is itself an estimate (docs of token counting, 2026-07-03).
LEAST_ERROR = 0.03
#: Tokens of attachments that nobody has counted, as a multiple of those reckoned. Their high bound is another one: the
#: most that each can take.
_NOT_COUNTED = Bounds(low=0.8, expected=1, high=1)
#: n draws miss a kind of text that makes up a share p of the requests with probability e^-pn: 1 in 1,000 for pn = 7.
_MISSED = 7.0


@dataclass(frozen=True, kw_only=True)
class PromptCase:
    """
    One assumption about the prompts.

    :param share: of the requests that are like this; the shares of one bound add up to 1
    :param tokens: of one prompt, as float64
    :param counts: how many prompts have that many tokens
    """

    share: float
    tokens: pa.Array
    counts: pa.Array

    @property
    def total(self) -> float:
        """The tokens of all prompts."""
        total: float = pc.sum(pc.multiply(self.tokens, self.counts)).as_py() or 0.0
        return total

    def longer_than(self, above: int) -> int:
        """Count the prompts with more than ``above`` tokens."""
        longer: int = pc.sum(self.counts.filter(pc.greater(self.tokens, float(above)))).as_py() or 0
        return longer


@dataclass(frozen=True, kw_only=True)
class _Known:
    """
    What is known of each prompt, or of several that are alike.

    :param text_bytes: of its text
    :param attached: the tokens that its attachments probably take, and at most; 0 for all if there are none
    :param counted: its tokens, null if they were not counted
    :param counts: how many prompts are like this
    """

    text_bytes: pa.Array
    attached: pa.Array | pa.Scalar
    most_attached: pa.Array | pa.Scalar
    counted: pa.Array
    counts: pa.Array


def prompt_cases(
    model: str, requests: int, size: int, sizes: pa.Table | None, sample: TokenSample | None, history: History
) -> tuple[dict[str, list[PromptCase]], str]:
    """Return the tokens of the prompts for each bound, and their source. The parameters are those of estimate()."""
    attaching = sizes is not None and has_attached_sizes(sizes)
    per_byte, source = _per_byte(sample, None if attaching else history)
    frame_bytes, frame_tokens = (sample.frame_bytes, sample.frame_tokens) if sample else (0, 0)
    known = _of_one_size(size, requests) if sizes is None else _known(sizes, sample.tokens if sample else {})
    times = (sample and sample.attachments) or _NOT_COUNTED
    if attaching and pc.any(pc.greater(known.attached, 0.0)).as_py():
        counted = "" if times is _NOT_COUNTED else f"{times.expected:.0%} of "
        source += f", attachments: {counted}the tokens expected by page and pixel"
    rest = pc.max_element_wise(pc.subtract(known.text_bytes, float(frame_bytes)), 0.0)
    attached = {name: pc.multiply(known.attached, getattr(times, name)) for name in NAMES}
    most_attached = pc.max_element_wise(attached["high"], known.most_attached)
    if times is _NOT_COUNTED:
        attached["high"] = most_attached

    def case(share: float, of_a_byte: float, of_attachments: pa.Array | pa.Scalar, error: float) -> PromptCase:
        reckoned = pc.add(pc.add(pc.multiply(rest, of_a_byte), of_attachments), float(frame_tokens))
        tokens = pc.multiply(pc.coalesce(known.counted, reckoned), 1 + error)
        return PromptCase(share=share, tokens=tokens, counts=known.counts)

    # A kind of document that was missed may be any part of the prompts, and a kind of text of the texts in them.
    weight = pc.add(pc.multiply(rest, per_byte.expected), attached["expected"]) if attaching else rest
    missed = _missed(weight, known, sample) if sample else 0.0
    high = [
        case(1 - missed, per_byte.high, attached["high"], LEAST_ERROR),
        case(missed, MOST_PER_BYTE, most_attached, LEAST_ERROR),
    ]
    if sizes is None:
        most = requests * frame_tokens + max(size - requests * frame_bytes, 0) * MOST_PER_BYTE
        high = [_worst(most * (1 + LEAST_ERROR), requests, prices().long_above(model))]
        source += ", only their total size known"
    low = [case(1, per_byte.low * (1 - missed), pc.multiply(attached["low"], 1 - missed), -LEAST_ERROR)]
    return {"low": low, "expected": [case(1, per_byte.expected, attached["expected"], 0)], "high": high}, source


def _per_byte(sample: TokenSample | None, history: History | None) -> tuple[Bounds, str]:
    """
    Return the tokens per byte of text and their source. The high bound is 1 unless this run's requests were counted.

    :param history: None if it says nothing about texts, because the bytes in it are those of attachments too
    """
    if sample:
        return sample.per_byte, f"{sample.requests:,} counted"
    if history and (earlier := history.tokens_per_byte):
        expected = min(earlier.expected, MOST_PER_BYTE)
        return Bounds(low=min(earlier.low, expected), expected=expected, high=MOST_PER_BYTE), "from earlier batches"
    return RULE_OF_THUMB, "not counted, 1 to 5 bytes per token assumed"


def _of_one_size(size: int, requests: int) -> _Known:
    nothing = pa.scalar(0.0)
    return _Known(
        text_bytes=pa.array([size / max(requests, 1)]),
        attached=nothing,
        most_attached=nothing,
        counted=pa.nulls(1, pa.float64()),
        counts=pa.array([requests]),
    )


def _known(sizes: pa.Table, counted: Mapping[str, int]) -> _Known:
    """Return what is known of each distinct size, with a line of its own for each request that was counted."""
    if has_attached_sizes(sizes):
        tokens = pa.array([counted.get(request_id) for request_id in sizes["request_id"].to_pylist()], pa.float64())
        return _Known(
            text_bytes=sizes["text_bytes"].combine_chunks().cast(pa.float64()),
            attached=sizes["attached_tokens"].combine_chunks().cast(pa.float64()),
            most_attached=sizes["most_attached_tokens"].combine_chunks().cast(pa.float64()),
            counted=tokens,
            counts=pa.repeat(1, len(sizes)),
        )
    is_counted = pc.is_in(sizes["request_id"], value_set=pa.array(list(counted), pa.string()))
    known = sizes.filter(is_counted)
    found = [counted[request_id] for request_id in known["request_id"].to_pylist()]
    others = pc.value_counts(sizes["params_bytes"].filter(pc.invert(is_counted)))
    nothing = pa.scalar(0.0)
    return _Known(
        text_bytes=pa.concat_arrays([*known["params_bytes"].chunks, others.field("values")]).cast(pa.float64()),
        attached=nothing,
        most_attached=nothing,
        counted=pa.concat_arrays([pa.array(found, pa.float64()), pa.nulls(len(others), pa.float64())]),
        counts=pa.concat_arrays([pa.repeat(1, len(found)), others.field("counts")]),
    )


def _missed(weight: pa.Array, known: _Known, sample: TokenSample) -> float:
    """
    Return the share of these prompts that may be of another kind than any that was counted.

    The sample may have missed that kind in the run, and these requests may hold more of it than average if they are
    few. A draw finds a share of the bytes with at least half of its probability, see choose_sample().

    :param weight: of each prompt: the bytes of its text, or what it probably takes if there are attachments
    """
    unknown = pc.is_null(known.counted)
    weight, counts = weight.filter(unknown), known.counts.filter(unknown)
    total = pc.sum(pc.multiply(weight, counts)).as_py()
    if not total:
        return 0.0
    as_many_alike = total**2 / pc.sum(pc.multiply(pc.multiply(weight, weight), counts)).as_py()
    share: float = _MISSED * (2 / sample.requests + 1 / as_many_alike)
    return min(share, 1.0)


def _worst(tokens: float, requests: int, above: int) -> PromptCase:
    """Spread the tokens over the prompts in the most expensive way: as many as possible just longer than ``above``."""
    long = min(int(tokens // (above + 1)), requests)
    among = long or requests
    tokens_of_each = pa.array([tokens / max(among, 1), 0.0])
    return PromptCase(share=1, tokens=tokens_of_each, counts=pa.array([among, requests - among]))
