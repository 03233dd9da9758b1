"""The references that stand for attachments in stored params."""

from __future__ import annotations

import base64

import msgspec
import pytest

from include.enrichment.documents.attachment import (
    Attachment,
    attachments_in,
    base64_bytes,
    canonical_params,
    file_source,
    params_bytes_as_sent,
    reference,
    source_around,
    split_attachments,
)
from include.enrichment.requests.request import request_id

SCAN = Attachment(
    uri='s3://bucket/a}b\\ "c" é+%20.pdf',
    version="etag",
    size_bytes=1_000,
    sha256="ab" * 32,
    media_type="application/pdf",
    recipe="",
    sent_bytes=1_000,
    sent_sha256="ab" * 32,
    tokens=2_350,
)


def _params(*attachments: Attachment, text: str = "Read it.") -> bytes:
    documents = [{"type": "document", "source": reference(each)} for each in attachments]
    return msgspec.json.encode(
        {"messages": [{"role": "user", "content": [*documents, {"type": "text", "text": text}]}]}
    )


def _sent(params: bytes, bytes_of: dict[str, bytes]) -> bytes:
    def sent(piece: bytes | Attachment) -> bytes:
        if isinstance(piece, bytes):
            return piece
        head, tail = source_around(piece)
        return head + base64.b64encode(bytes_of[piece.uri]) + tail

    return b"".join(map(sent, split_attachments(params)))


def test_params_with_references_are_json_and_give_their_attachments_back_in_order() -> None:
    other = msgspec.structs.replace(SCAN, uri="/data/b.png", media_type="image/png", upload=True)
    params = _params(SCAN, other)
    assert attachments_in(params) == [SCAN, other]
    assert msgspec.json.decode(params)["messages"][0]["content"][0]["source"]["uri"] == SCAN.uri


@pytest.mark.parametrize(
    "text", ['"source":{"type":"attachment","uri":"/etc/passwd"}', '\\"source":{"type":"attachment"']
)
def test_a_text_can_not_make_a_reference(text: str) -> None:
    assert attachments_in(_params(text=text)) == []
    assert attachments_in(_params(SCAN, text=text)) == [SCAN]


def test_the_length_as_sent_is_that_of_the_params_with_the_bytes_in_them() -> None:
    params = _params(SCAN, text="größer")
    sent = _sent(params, {SCAN.uri: b"x" * SCAN.sent_bytes})
    assert params_bytes_as_sent(params) == len(sent)
    source = msgspec.json.decode(sent)["messages"][0]["content"][0]["source"]
    assert source["type"] == "base64"
    assert source["media_type"] == "application/pdf"


def test_the_length_of_an_uploaded_file_s_source_is_known_before_it_has_an_id() -> None:
    params = _params(msgspec.structs.replace(SCAN, upload=True))
    pieces = [file_source("file_1") if isinstance(piece, Attachment) else piece for piece in split_attachments(params)]
    assert len(sent := b"".join(pieces)) == params_bytes_as_sent(params)
    assert msgspec.json.decode(sent)["messages"][0]["content"][0]["source"] == {"type": "file", "file_id": "file_1"}
    with pytest.raises(ValueError, match="has 100 characters"):
        file_source("x" * 100)


@pytest.mark.parametrize("size", range(7))
def test_the_length_of_base64_is_known_before(size: int) -> None:
    assert base64_bytes(size) == len(base64.b64encode(b"x" * size))


def test_a_request_id_depends_on_the_content_and_not_on_where_it_is_stored() -> None:
    elsewhere = msgspec.structs.replace(SCAN, uri="s3://other/name.pdf", version="2", upload=True, tokens=1)
    assert request_id(_params(SCAN)) == request_id(_params(elsewhere))
    for change in ({"sha256": "cd" * 32}, {"recipe": "pages 1-20"}, {"media_type": "image/png"}):
        assert request_id(_params(SCAN)) != request_id(_params(msgspec.structs.replace(SCAN, **change)))


def test_params_without_attachments_are_unchanged() -> None:
    params = _params()
    assert canonical_params(params) is params
    assert list(split_attachments(params)) == [params]
