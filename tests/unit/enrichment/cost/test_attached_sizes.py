"""attached_sizes.py: the sizes of requests with attachments."""

from __future__ import annotations

import msgspec
import pyarrow as pa

from include.enrichment.cost.attached_sizes import ATTACHED_SIZES_SCHEMA, attached_sizes, has_attached_sizes
from include.enrichment.documents.attachment import Attachment, reference
from include.enrichment.requests.chunk import REQUESTS_SCHEMA, SIZES_SCHEMA, request_sizes

SCAN = Attachment(
    uri="s3://bucket/scan.pdf",
    version="etag",
    size_bytes=9_000,
    sha256="ab" * 32,
    media_type="application/pdf",
    recipe="",
    sent_bytes=9_000,
    sent_sha256="ab" * 32,
    tokens=2_300,
    text_tokens=700,
)
PHOTO = msgspec.structs.replace(SCAN, media_type="image/png", tokens=1_000, text_tokens=0)


def params(*attachments: Attachment, text: str = "Read it.") -> str:
    blocks = [{"type": "document", "source": reference(each)} for each in attachments]
    content = [*blocks, {"type": "text", "text": text}]
    return msgspec.json.encode({"messages": [{"role": "user", "content": content}]}).decode()


def requests(*of_params: str) -> pa.RecordBatch:
    ids = [f"r{number}" for number in range(len(of_params))]
    return pa.record_batch([pa.array(ids), pa.array(of_params)], REQUESTS_SCHEMA)


def test_bytes_of_text_and_tokens_of_attachments_are_told_apart() -> None:
    bare, lines = params(), attached_sizes(requests(params(), params(SCAN), params(PHOTO, SCAN, SCAN))).to_pylist()
    assert [line["attached_tokens"] for line in lines] == [0, 2_300, 5_600]
    assert [line["attached_bytes"] for line in lines] == [0, 12_000, 36_000]
    assert [line["media_types"] for line in lines] == ["", "application/pdf", "application/pdf image/png"]
    around = len('{"type":"document","source":},')
    assert [line["text_bytes"] - len(bare) for line in lines] == [0, around, 3 * around]


def test_only_the_text_in_a_document_can_take_more_tokens_than_reckoned() -> None:
    lines = attached_sizes(requests(params(SCAN), params(PHOTO))).to_pylist()
    assert [line["most_attached_tokens"] for line in lines] == [1_600 + 700 * 4.5, 1_000]


def test_they_begin_with_the_sizes_of_any_request() -> None:
    made = requests(params(SCAN), params(text="größer"))
    sizes = pa.Table.from_batches([attached_sizes(made)])
    assert sizes.schema == ATTACHED_SIZES_SCHEMA
    plain = pa.Table.from_batches([request_sizes(made)])
    assert sizes.select(SIZES_SCHEMA.names) == plain
    assert (has_attached_sizes(sizes), has_attached_sizes(plain)) == (True, False)
    assert attached_sizes(requests()).num_rows == 0
