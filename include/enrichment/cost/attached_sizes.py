"""The sizes of requests with attachments: their bytes say nothing about their tokens."""

from __future__ import annotations

import pyarrow as pa

from include.enrichment.documents.attachment import Attachment, base64_bytes, split_attachments
from include.enrichment.documents.tokens import MOST_BYTES_PER_TOKEN
from include.enrichment.requests.chunk import SIZES_SCHEMA, request_sizes

#: SIZES_SCHEMA with what an estimate needs of requests with attachments: the bytes of their params without the
#: attachments, the bytes of these in base64, the tokens that they probably take, and at most, and their media types.
ATTACHED_SIZES_SCHEMA = pa.schema(
    [
        *SIZES_SCHEMA,
        pa.field("text_bytes", pa.int32()),
        pa.field("attached_bytes", pa.int64()),
        pa.field("attached_tokens", pa.int64()),
        pa.field("most_attached_tokens", pa.int64()),
        pa.field("media_types", pa.string()),
    ]
)


def attached_sizes(requests: pa.RecordBatch) -> pa.RecordBatch:
    """Return the size of each request (REQUESTS_SCHEMA) as ATTACHED_SIZES_SCHEMA."""
    sizes = request_sizes(requests)
    lines = [_line(params.encode()) for params in requests["params"].to_pylist()]
    added = pa.RecordBatch.from_pylist(lines, pa.schema(list(ATTACHED_SIZES_SCHEMA)[len(SIZES_SCHEMA) :]))
    return pa.record_batch([*sizes.columns, *added.columns], schema=ATTACHED_SIZES_SCHEMA)


def has_attached_sizes(sizes: pa.Table) -> bool:
    """Return whether these sizes are those of a pipeline with attachments."""
    return "attached_tokens" in sizes.column_names


def _line(params: bytes) -> dict[str, object]:
    pieces = list(split_attachments(params))
    attachments = [piece for piece in pieces if isinstance(piece, Attachment)]
    return {
        "text_bytes": sum(len(piece) for piece in pieces if not isinstance(piece, Attachment)),
        "attached_bytes": sum(base64_bytes(each.sent_bytes) for each in attachments),
        "attached_tokens": sum(each.tokens for each in attachments),
        "most_attached_tokens": sum(map(_most_tokens, attachments)),
        "media_types": " ".join(sorted({each.media_type for each in attachments})),
    }


def _most_tokens(attachment: Attachment) -> int:
    """The tokens of its pictures are known. Those of its text may be one per byte."""
    return attachment.tokens + round(attachment.text_tokens * (MOST_BYTES_PER_TOKEN - 1))
