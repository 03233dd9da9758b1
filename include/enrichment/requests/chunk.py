"""Requests become chunks: what the API takes as one batch each."""

from __future__ import annotations

import base64
import hashlib
from bisect import bisect_right
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

#: The API's limit of one batch (docs of batch processing, 2026-10-08).
MAX_BATCH_REQUESTS = 100_000
#: The API takes 256 MB. Whether that is 256,000,000 or 268,435,456 bytes is not documented; this is below both.
MAX_BATCH_BYTES = 250_000_000

#: What stands around the requests of a body, between two of them, and around one.
BODY_HEAD, BODY_SEPARATOR, BODY_TAIL = '{"requests":[', ",", "]}"
#: What stands around the id and the params of a request in a body.
ITEM_PARTS = '{"custom_id":"', '","params":', "}"
#: Requests, and how large they are, which is what cut() goes by.
REQUESTS_SCHEMA = pa.schema(
    [pa.field("request_id", pa.string(), nullable=False), pa.field("params", pa.string(), nullable=False)]
)
SIZES_SCHEMA = pa.schema([pa.field("request_id", pa.string()), pa.field("params_bytes", pa.int32())])
#: See request_id().
REQUEST_ID_CHARACTERS = 22
_ROWS_AT_ONCE = 10_000
_REQUEST_FRAME_BYTES = len("".join(ITEM_PARTS))


@dataclass(frozen=True, kw_only=True)
class BatchLimits:
    """What one batch may hold; ``max_bytes`` is the whole request body, as sent."""

    max_requests: int = MAX_BATCH_REQUESTS
    max_bytes: int = MAX_BATCH_BYTES

    @property
    def params_bytes(self) -> int:
        """The most bytes of params that a body of one request has room for."""
        return params_bytes(1, self.max_bytes)


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


def sizes_of(requests: pa.RecordBatch) -> pa.RecordBatch:
    """How large each of the requests is, in SIZES_SCHEMA; they are in REQUESTS_SCHEMA."""
    return pa.record_batch([requests["request_id"], pc.binary_length(requests["params"])], schema=SIZES_SCHEMA)


def body_bytes(request_ids: Collection[str], params_bytes: int) -> int:
    """
    The length of the body that these requests make.

    :param params_bytes: of all their params together
    """
    items = sum(map(len, request_ids)) + params_bytes + len(request_ids) * _REQUEST_FRAME_BYTES
    separators = max(len(request_ids) - 1, 0) * len(BODY_SEPARATOR)
    return len(BODY_HEAD) + items + separators + len(BODY_TAIL)


def params_bytes(requests: int, body: int) -> int:
    """The bytes of the params in a body of so many bytes; the requests have ids of our making."""
    return body - body_bytes(["x" * REQUEST_ID_CHARACTERS] * requests, 0)


def split_chunks(requests: pa.Table, limits: BatchLimits) -> list[str]:
    """
    Cut requests into chunks: the first id of each chunk, sorted. A chunk reaches from its first id to the next one's;
    nothing is dropped.

    A chunk closes when the next request would pass a limit. It is cut in the order of the ids, which is as good as any
    other and does not depend on the order of the rows: the same requests are always cut into the same chunks.
    A request that alone passes ``max_bytes`` would be a chunk by itself: extract leaves none.

    :param requests: distinct ones in SIZES_SCHEMA
    """
    frame = len(BODY_HEAD) + len(BODY_TAIL)
    first_ids: list[str] = []
    count, size = 0, frame
    for portion in requests.sort_by("request_id").to_batches(max_chunksize=_ROWS_AT_ONCE):
        for request_id, params_bytes in zip(*(column.to_pylist() for column in portion.columns), strict=True):
            item = _REQUEST_FRAME_BYTES + len(request_id) + params_bytes
            separator = len(BODY_SEPARATOR) if count else 0
            if count == limits.max_requests or size + separator + item > limits.max_bytes:
                count = 0
            if not count:
                first_ids.append(request_id)
                size, separator = frame, 0
            count, size = count + 1, size + separator + item
    return first_ids


def chunk_number(request_id: str, first_ids: Sequence[str]) -> int:
    """The number of the chunk, counted from 0, that the request is in, as cut() has cut it."""
    return bisect_right(first_ids, request_id) - 1


def chunk_id(request_ids: Iterable[str], *, after: Iterable[str] = ()) -> str:
    """
    The id of the chunk that holds these requests, in whatever order: 22 characters that are safe in a path.

    :param after: the batches that failed to answer these requests before. Asking again is another chunk, as the first
        one has its batch already
    """
    digest = hashlib.sha256("\n".join([*sorted(request_ids), *sorted(after)]).encode()).digest()
    return base64.urlsafe_b64encode(digest)[:22].decode()
