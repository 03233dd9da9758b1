"""Requests become chunks: what the API takes as one batch each."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from include.enrichment.request import Request

#: The API's limit of one batch (docs of batch processing, 2026-10-08).
MAX_BATCH_REQUESTS = 100_000
#: The API takes 256 MB. Whether that is 256,000,000 or 268,435,456 bytes is not documented; this is below both.
MAX_BATCH_BYTES = 250_000_000

#: What stands around the requests of a body, between two of them, and around one.
BODY_HEAD, BODY_SEPARATOR, BODY_TAIL = '{"requests":[', ",", "]}"
_REQUEST_FRAME_BYTES = len('{"custom_id":"","params":}')


@dataclass(frozen=True, kw_only=True)
class BatchLimits:
    """What one batch may hold; ``max_bytes`` is the whole request body, as sent."""

    max_requests: int = MAX_BATCH_REQUESTS
    max_bytes: int = MAX_BATCH_BYTES


def body_item(request: Request) -> str:
    """The request as it stands in the body of a create."""
    return f'{{"custom_id":"{request.request_id}","params":{request.params}}}'


def number_chunks(requests: Iterable[Request], limits: BatchLimits) -> Iterator[tuple[int, Request]]:
    """
    Give each request the number of its chunk, counted from 0; order is kept, nothing is dropped, and nothing is held in
    memory.

    A chunk closes when the next request would pass a limit. One request alone never does: a request is smaller than the
    smallest sensible ``max_bytes``.
    """
    number, count, size = 0, 0, 0
    frame = len(BODY_HEAD) + len(BODY_TAIL) - len(BODY_SEPARATOR)  # the last request has none behind it
    for request in requests:
        item = _REQUEST_FRAME_BYTES + len(request.request_id) + len(request.params.encode()) + len(BODY_SEPARATOR)
        if count and (count == limits.max_requests or frame + size + item > limits.max_bytes):
            number, count, size = number + 1, 0, 0
        count, size = count + 1, size + item
        yield number, request


def chunk_id(request_ids: Iterable[str]) -> str:
    """The id of the chunk that holds these requests, in whatever order: 22 characters that are safe in a path."""
    digest = hashlib.sha256("\n".join(sorted(request_ids)).encode()).digest()
    return base64.urlsafe_b64encode(digest)[:22].decode()
