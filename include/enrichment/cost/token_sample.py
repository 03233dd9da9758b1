"""The sample of a run's requests whose tokens the API counts, and what the counts say about the other requests."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from math import ceil

import pyarrow as pa
import pyarrow.compute as pc

from include.enrichment.cost.attached_sizes import has_attached_sizes
from include.enrichment.cost.bounds import Bounds, Frozen
from include.enrichment.documents.tokens import MOST_BYTES_PER_TOKEN

#: A text has at most one token per UTF-8 byte: tokenizers fall back to bytes and never split one. Params have more
#: bytes than the texts in them.
MOST_PER_BYTE = 1.0
_MOST, _LEAST = 200, 50
#: Of the attachments in a sample, in base64, and of those in one of its requests.
_MOST_BYTES, _MOST_REQUEST_BYTES = 20_000_000, 5_000_000


class TokenSample(Frozen):
    """
    The tokens that the API counted in some of a run's requests.

    :param requests: how many were counted
    :param tokens: per request id
    :param frame_bytes: bytes of the params that are the same in every request
    :param frame_tokens: tokens of that part
    :param per_byte: tokens per further byte: the lowest and the highest of any counted request, and the overall mean
    :param prefix_tokens: tokens that come first in every request and may be cached
    :param attachments: tokens of attachments, as a multiple of those reckoned: the lowest and the highest of any
        counted request, and the overall mean. None if none were counted
    """

    requests: int
    tokens: dict[str, int]
    frame_bytes: int
    frame_tokens: int
    per_byte: Bounds
    prefix_tokens: int
    attachments: Bounds | None = None


class CountedVariants(Frozen):
    """The counts of each variant of a run, by name."""

    variants: dict[str, TokenSample]


def choose_sample(sizes: pa.Table, *, share: int = 1) -> set[str]:
    """
    Choose up to 200 requests to count: the 20 largest, and the others evenly by size.

    Half of another request's chance depends on its size and half is equal for all: the sample misses neither a few
    long texts nor many short ones. Requests with attachments go by the tokens that they probably take, evenly by media
    type too. As all their bytes are sent to be counted, that sample has at most 20 MB, and no request above 5 MB if it
    can be avoided.

    :param sizes: distinct requests, in SIZES_SCHEMA or ATTACHED_SIZES_SCHEMA
    :param share: the number of samples that share the limit; each has at least 50 requests
    """
    most, most_bytes = max(_MOST // share, min(_LEAST, _MOST)), _MOST_BYTES // share
    if not has_attached_sizes(sizes):
        return set(_spread(sizes.rename_columns(["request_id", "size"]), most)["request_id"].to_pylist())
    small = sizes.filter(pc.less_equal(sizes["attached_bytes"], _MOST_REQUEST_BYTES))
    sizes = small if len(small) else sizes.sort_by("attached_bytes")[:1]
    text = pc.divide(sizes["text_bytes"], round(MOST_BYTES_PER_TOKEN)).cast(pa.int64())
    sizes = sizes.append_column("size", pc.add(text, sizes["attached_tokens"]))
    many = most
    while True:
        chosen = _spread(sizes, many)
        size = pc.sum(chosen["attached_bytes"]).as_py() or 0
        if size <= most_bytes or many == 1:
            return set(chosen["request_id"].to_pylist())
        many = max(min(many - 1, int(many * most_bytes / size)), 1)


def _spread(requests: pa.Table, many: int) -> pa.Table:
    """
    Return the largest tenth of ``many`` requests, and the others evenly by size.

    :param requests: with columns ``request_id`` and ``size``
    """
    ordered = requests.sort_by([("size", "descending"), ("request_id", "ascending")])
    by_size = many - (most := ceil(many / 10))
    largest, rest = ordered[:most], ordered[most:].combine_chunks()
    if len(rest) <= by_size:
        return ordered
    if "media_types" in rest.column_names:
        keys = [("media_types", "ascending"), ("size", "descending"), ("request_id", "ascending")]
        rest = rest.sort_by(keys).combine_chunks()
    size = rest["size"].chunk(0).cast(pa.float64())
    reached = pc.cumulative_sum(pc.add(size, pc.mean(size)))
    step = reached[-1].as_py() / max(by_size, 1)
    places = [
        bisect_left(range(len(rest)), (number + 0.5) * step, key=lambda place: reached[place].as_py())
        for number in range(by_size)
    ]
    return pa.concat_tables([largest, rest.take(places)])


def summarise_sample(
    counts: Sequence[tuple[int, int]],
    *,
    prefix_tokens: int,
    frame: tuple[int, int] = (0, 0),
    request_ids: Sequence[str] = (),
    attached: Sequence[tuple[int, int]] = (),
) -> TokenSample:
    """
    Summarise the token counts of a sample.

    :param counts: bytes and tokens per request, at least one, without its attachments
    :param frame: bytes and tokens of the part that is the same in every request
    :param request_ids: of ``counts``; without them, no request is recognised as counted
    :param attached: the tokens of the attachments of each, as reckoned and as counted; empty if none has any
    """
    frame_bytes, frame_tokens = frame
    # Both counts are rounded to a token, so their difference may be one token more or less than a text can have.
    rest = [(size - frame_bytes, max(tokens - frame_tokens, 0)) for size, tokens in counts if size > frame_bytes]
    single = [min(tokens / size, MOST_PER_BYTE) for size, tokens in rest] or [MOST_PER_BYTE]
    attached = attached or [(0, 0)] * len(counts)
    times = [(reckoned, counted) for reckoned, counted in attached if reckoned]
    overall = sum(tokens for _, tokens in rest) / sum(size for size, _ in rest) if rest else MOST_PER_BYTE
    return TokenSample(
        requests=len(counts),
        tokens={
            request_id: tokens + counted
            for request_id, (_, tokens), (_, counted) in zip(request_ids, counts, attached, strict=False)
        },
        frame_bytes=frame_bytes,
        frame_tokens=frame_tokens,
        per_byte=Bounds(low=min(single), expected=min(overall, MOST_PER_BYTE), high=max(single)),
        prefix_tokens=prefix_tokens,
        attachments=_ratio(times) if times else None,
    )


def _ratio(times: Sequence[tuple[int, int]]) -> Bounds:
    """Return the ratio of counted to reckoned tokens."""
    single = [counted / reckoned for reckoned, counted in times]
    overall = sum(counted for _, counted in times) / sum(reckoned for reckoned, _ in times)
    return Bounds(low=min(single), expected=overall, high=max(single))
