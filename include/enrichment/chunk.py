"""Requests become chunks: what the API takes as one batch each."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from include.enrichment.request import Request

#: The API's limit of one batch (docs of batch processing, 2026-10-08).
MAX_BATCH_REQUESTS = 100_000
#: The API takes 256 MB. Whether that is 256,000,000 or 268,435,456 bytes is not documented; this is below both.
MAX_BATCH_BYTES = 250_000_000

#: What stands around the requests of a body, between two of them, and around one.
BODY_HEAD, BODY_SEPARATOR, BODY_TAIL = '{"requests":[', ",", "]}"
#: What stands around the id and the params of a request in a body.
ITEM_PARTS = '{"custom_id":"', '","params":', "}"
_REQUEST_FRAME_BYTES = len("".join(ITEM_PARTS))


@dataclass(frozen=True, kw_only=True)
class BatchLimits:
    """What one batch may hold; ``max_bytes`` is the whole request body, as sent."""

    max_requests: int = MAX_BATCH_REQUESTS
    max_bytes: int = MAX_BATCH_BYTES


@dataclass(frozen=True, kw_only=True)
class Body:
    """
    The body of a create, which is made while it is sent.

    :param pieces: its bytes, to be gone through once
    :param length: of all pieces together, in bytes
    :param requests: how many it holds
    """

    pieces: Iterable[bytes]
    length: int
    requests: int


def body_bytes(request_ids: Collection[str], params_bytes: int) -> int:
    """
    The length of the body that these requests make.

    :param params_bytes: of all their params together
    """
    items = sum(map(len, request_ids)) + params_bytes + len(request_ids) * _REQUEST_FRAME_BYTES
    separators = max(len(request_ids) - 1, 0) * len(BODY_SEPARATOR)
    return len(BODY_HEAD) + items + separators + len(BODY_TAIL)


def assign_chunks(params_bytes: Mapping[str, int], limits: BatchLimits) -> dict[str, int]:
    """
    Give each request the number of its chunk, counted from 0; nothing is dropped.

    A chunk closes when the next request would pass a limit. It is cut in the order of the ids, which is as good as any
    other and does not depend on the order of the rows: the same requests are always cut into the same chunks.
    One request alone never passes a limit: a request is smaller than the smallest sensible ``max_bytes``.

    :param params_bytes: the size of each request's params, by request_id
    """
    frame = len(BODY_HEAD) + len(BODY_TAIL)
    numbers: dict[str, int] = {}
    number, count, size = 0, 0, frame
    for request_id in sorted(params_bytes):
        item = _REQUEST_FRAME_BYTES + len(request_id) + params_bytes[request_id]
        separator = len(BODY_SEPARATOR) if count else 0
        if count and (count == limits.max_requests or size + separator + item > limits.max_bytes):
            number, count, size, separator = number + 1, 0, frame, 0
        count, size = count + 1, size + separator + item
        numbers[request_id] = number
    return numbers


def chunk_id(request_ids: Iterable[str], *, after: Iterable[str] = ()) -> str:
    """
    The id of the chunk that holds these requests, in whatever order: 22 characters that are safe in a path.

    :param after: the batches that failed to answer these requests before. Asking again is another chunk, as the first
        one has its batch already
    """
    digest = hashlib.sha256("\n".join([*sorted(request_ids), *sorted(after)]).encode()).digest()
    return base64.urlsafe_b64encode(digest)[:22].decode()
