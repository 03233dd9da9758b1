"""Splits requests into chunks. The API takes each chunk as one batch."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from itertools import pairwise

import pyarrow as pa
import pyarrow.compute as pc

from include.enrichment.documents.attachment import has_attachments, params_bytes_as_sent

#: The API's limit per batch (its documentation of batch processing, 2026-10-08).
MAX_BATCH_REQUESTS = 100_000
#: Below the API's limit of 256 MB, whether that means 256,000,000 or 268,435,456 bytes.
MAX_BATCH_BYTES = 250_000_000

#: The parts of a body: before, between and after the requests.
BODY_HEAD, BODY_SEPARATOR, BODY_TAIL = '{"requests":[', ",", "]}"
#: The parts of a request in a body: before, between and after its id and its params.
ITEM_PARTS = '{"custom_id":"', '","params":', "}"
#: The columns of requests, and of their sizes for split_chunks().
REQUESTS_SCHEMA = pa.schema(
    [pa.field("request_id", pa.string(), nullable=False), pa.field("params", pa.string(), nullable=False)]
)
SIZES_SCHEMA = pa.schema([pa.field("request_id", pa.string()), pa.field("params_bytes", pa.int32())])
#: The length of a request_id().
REQUEST_ID_CHARACTERS = 22
_ROWS_AT_ONCE = 10_000
_REQUEST_FRAME_BYTES = len("".join(ITEM_PARTS))


@dataclass(frozen=True, kw_only=True)
class BatchLimits:
    """The limits of one batch. ``max_bytes`` applies to the whole request body as sent."""

    max_requests: int = MAX_BATCH_REQUESTS
    max_bytes: int = MAX_BATCH_BYTES

    @property
    def params_bytes(self) -> int:
        """The most bytes of params that fit into a body with one request."""
        return params_bytes(1, self.max_bytes)


@dataclass(frozen=True, kw_only=True)
class Body:
    """
    The body of a create call, generated while it is sent.

    :param pieces: its bytes, to be iterated once
    :param length: the total length in bytes
    :param requests: the number of requests
    """

    pieces: Iterable[bytes]
    length: int
    requests: int


def request_sizes(requests: pa.RecordBatch) -> pa.RecordBatch:
    """Return the size of each request (REQUESTS_SCHEMA) as sent, in SIZES_SCHEMA."""
    return pa.record_batch([requests["request_id"], _bytes_as_sent(requests["params"])], schema=SIZES_SCHEMA)


def _bytes_as_sent(params: pa.StringArray) -> pa.Int32Array:
    if not len(params) or not has_attachments(_joined(params)):
        return pc.binary_length(params)
    return pa.array(map(params_bytes_as_sent, params.view(pa.binary()).to_pylist()), pa.int32())


def _joined(params: pa.StringArray) -> memoryview:
    """Return the params one after the other, without copying them."""
    _, offsets, text = params.buffers()
    bounds = memoryview(offsets).cast("i")
    return memoryview(text)[bounds[params.offset] : bounds[params.offset + len(params)]]


def body_bytes(request_ids: Collection[str], params_bytes: int) -> int:
    """
    Return the length of the body of these requests.

    :param params_bytes: the total length of their params
    """
    items = sum(map(len, request_ids)) + params_bytes + len(request_ids) * _REQUEST_FRAME_BYTES
    separators = max(len(request_ids) - 1, 0) * len(BODY_SEPARATOR)
    return len(BODY_HEAD) + items + separators + len(BODY_TAIL)


def params_bytes(requests: int, body: int) -> int:
    """Return the bytes left for params in a body of ``body`` bytes, if the ids are request_id()s."""
    return body - body_bytes(["x" * REQUEST_ID_CHARACTERS] * requests, 0)


def split_chunks(requests: pa.Table, limits: BatchLimits) -> list[pa.Table]:
    """
    Split requests into chunks and return the part of ``requests`` that each holds. No request is dropped.

    A chunk closes when the next request would exceed a limit. Requests are split in the order of their ids, which does
    not depend on the order of the rows, so the same requests always make the same chunks. A request that alone exceeds
    ``max_bytes`` would make its own chunk, but `extract` rejects it.

    :param requests: without duplicates, in SIZES_SCHEMA, sorted by ``request_id``
    """
    frame = len(BODY_HEAD) + len(BODY_TAIL)
    starts: list[int] = []
    count, size = 0, frame
    for start in range(0, len(requests), _ROWS_AT_ONCE):
        portion = requests[start : start + _ROWS_AT_ONCE]
        items = pc.add(pc.binary_length(portion["request_id"]), portion["params_bytes"]).to_pylist()
        for position, bare in enumerate(items, start):
            item = _REQUEST_FRAME_BYTES + bare
            separator = len(BODY_SEPARATOR) if count else 0
            if count == limits.max_requests or size + separator + item > limits.max_bytes:
                count = 0
            if not count:
                starts.append(position)
                size, separator = frame, 0
            count, size = count + 1, size + separator + item
    return [requests[start:end] for start, end in pairwise([*starts, len(requests)])]


def chunk_id(request_ids: Iterable[str], *, after: Iterable[str] = (), synchronous: bool = False) -> str:
    """
    Return the id of the chunk with these requests, in any order: 22 characters that are safe in a path.

    :param after: the batches that failed to answer these requests. A repeated request needs another chunk, because the
        first chunk has its batch already
    :param synchronous: the chunk is not sent as a batch. Of two chunks with the same requests, only one is ever open
    """
    mode = ["synchronous"] if synchronous else []
    digest = hashlib.sha256("\n".join([*sorted(request_ids), *sorted(after), *mode]).encode()).digest()
    return base64.urlsafe_b64encode(digest)[:22].decode()
