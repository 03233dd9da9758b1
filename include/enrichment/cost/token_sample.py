"""The sample of a run's requests whose tokens the API counts, and what the counts say about the other requests."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from include.enrichment.cost.bounds import Bounds, Frozen

#: A text has at most one token per UTF-8 byte: tokenizers fall back to bytes and never split one. Params have more
#: bytes than the texts in them.
MOST_PER_BYTE = 1.0
_LARGEST, _BY_SIZE = 20, 180


class TokenSample(Frozen):
    """
    The tokens that the API counted in some of a run's requests.

    :param requests: how many were counted
    :param tokens: per request id
    :param frame_bytes: bytes of the params that are the same in every request
    :param frame_tokens: tokens of that part
    :param per_byte: tokens per further byte: the lowest and the highest of any counted request, and the overall mean
    :param prefix_tokens: tokens that come first in every request and may be cached
    """

    requests: int
    tokens: dict[str, int]
    frame_bytes: int
    frame_tokens: int
    per_byte: Bounds
    prefix_tokens: int


def choose_sample(sizes: pa.Table) -> set[str]:
    """
    Choose up to 200 requests to count: the 20 largest, and the others evenly by size.

    Half of another request's chance depends on its bytes and half is equal for all: the sample misses neither a few
    long texts nor many short ones.

    :param sizes: distinct requests, in SIZES_SCHEMA
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


def summarise_sample(
    counts: Sequence[tuple[int, int]],
    *,
    prefix_tokens: int,
    frame: tuple[int, int] = (0, 0),
    request_ids: Sequence[str] = (),
) -> TokenSample:
    """
    Summarise the token counts of a sample.

    :param counts: bytes and tokens per request, at least one
    :param frame: bytes and tokens of the part that is the same in every request
    :param request_ids: of ``counts``; without them, no request is recognised as counted
    """
    frame_bytes, frame_tokens = frame
    # Both counts are rounded to a token, so their difference may be one token more or less than a text can have.
    rest = [(size - frame_bytes, max(tokens - frame_tokens, 0)) for size, tokens in counts if size > frame_bytes]
    single = [min(tokens / size, MOST_PER_BYTE) for size, tokens in rest] or [MOST_PER_BYTE]
    overall = sum(tokens for _, tokens in rest) / sum(size for size, _ in rest) if rest else MOST_PER_BYTE
    return TokenSample(
        requests=len(counts),
        tokens=dict(zip(request_ids, (tokens for _, tokens in counts), strict=False)),
        frame_bytes=frame_bytes,
        frame_tokens=frame_tokens,
        per_byte=Bounds(low=min(single), expected=min(overall, MOST_PER_BYTE), high=max(single)),
        prefix_tokens=prefix_tokens,
    )
