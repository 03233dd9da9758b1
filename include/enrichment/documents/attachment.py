"""
Attachments: the documents and images of a request.

Rows and chunk files never hold their bytes. Where a content block has its source, stored params have a reference, an
object of JSON like every other. Text of a row cannot make one, because text only ever becomes a JSON string.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

#: What surrounds the base64 of the bytes in a source.
_HEAD, _TAIL = b'{"type":"base64","media_type":"%s","data":"', b'"}'
#: The length of the source of an uploaded file, whatever its id, so that a body has its length before the upload. The
#: ids of files have 29 characters (the API's documentation of files, 2026-08); spaces fill the rest.
_FILE_SOURCE_BYTES = 100
#: How every reference begins. A JSON string cannot contain this, because it escapes its quotes.
_MARK = re.compile(rb'"source":\{"type":"attachment",')
_REFERENCE = re.compile(
    rb'(?<="source":)\{"type":"attachment"(?:,"\w+":(?:"(?:[^"\\]|\\.)*"|[0-9]+|true|false))*\}', re.DOTALL
)


class Attachment(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", tag="attachment"):
    """
    A document or image of a request: where its bytes are, and which bytes they must be.

    :param uri: of the object, ``s3://bucket/key`` exactly as stored, or the absolute path of a local file
    :param version: the object's ETag when it was read
    :param size_bytes: of the object
    :param sha256: of the object's bytes, in hex
    :param media_type: of the bytes as sent, for example ``application/pdf``
    :param recipe: how the sent bytes are made from the object's, for example ``pages 1-20``; empty: they are the same
    :param sent_bytes: the number of bytes as sent, before base64
    :param sent_sha256: of the bytes as sent, in hex
    :param tokens: the input tokens that it probably takes
    :param text_tokens: of these, those of its text, which are reckoned from bytes; the others are those of pictures
    :param upload: send it by way of the Files API, as a file that several requests may share
    """

    uri: str
    version: str
    size_bytes: int
    sha256: str
    media_type: str
    recipe: str
    sent_bytes: int
    sent_sha256: str
    tokens: int
    text_tokens: int = 0
    upload: bool = False

    @property
    def content_id(self) -> str:
        """What identifies its content, wherever it is stored: the part of it that a request id depends on."""
        return msgspec.json.encode(
            {"type": "attachment", "media_type": self.media_type, "recipe": self.recipe, "sha256": self.sha256}
        ).decode()

    @property
    def source_bytes(self) -> int:
        """The length of its source in a request as sent."""
        if self.upload:
            return _FILE_SOURCE_BYTES
        head, tail = source_around(self)
        return len(head) + base64_bytes(self.sent_bytes) + len(tail)


_decode = msgspec.json.Decoder(Attachment).decode


def reference(attachment: Attachment) -> msgspec.Raw:
    """Return what stands for the attachment's source in stored params."""
    return msgspec.Raw(msgspec.json.encode(attachment))


def source_around(attachment: Attachment) -> tuple[bytes, bytes]:
    """Return what comes before and after the base64 of its bytes in the source of a content block."""
    return _HEAD % attachment.media_type.encode(), _TAIL


def file_source(file_id: str) -> bytes:
    """Return the source of an uploaded file, as long as that of any other. Raises ValueError if the id is too long."""
    source = msgspec.json.encode({"type": "file", "file_id": file_id})
    if len(source) > _FILE_SOURCE_BYTES:
        raise ValueError(f"the id of the file has {len(file_id)} characters: {file_id!r}")
    return source.ljust(_FILE_SOURCE_BYTES)


def base64_bytes(size: int) -> int:
    """Return the length of ``size`` bytes in base64."""
    return (size + 2) // 3 * 4


def has_attachments(params: bytes | memoryview) -> bool:
    """Return whether stored params, or several of them one after the other, have attachments."""
    return _MARK.search(params) is not None


def split_attachments(params: bytes) -> Iterator[bytes | Attachment]:
    """Yield stored params, or several of them one after the other, in pieces: text, and attachments between texts."""
    if not has_attachments(params):
        yield params
        return
    end = 0
    for found in _REFERENCE.finditer(params):
        yield params[end : found.start()]
        yield _decode(found[0])
        end = found.end()
    yield params[end:]


def attachments_in(params: bytes) -> list[Attachment]:
    """Return the attachments of stored params, in their order."""
    return [piece for piece in split_attachments(params) if isinstance(piece, Attachment)]


def canonical_params(params: bytes) -> bytes:
    """Return stored params with each attachment by its content only: what a request id is made of."""
    if not has_attachments(params):
        return params
    return _REFERENCE.sub(lambda found: _decode(found[0]).content_id.encode(), params)


def params_bytes_as_sent(params: bytes) -> int:
    """Return the length of stored params as they are sent, with the bytes of their attachments in them."""
    if not has_attachments(params):
        return len(params)
    return sum(
        piece.source_bytes if isinstance(piece, Attachment) else len(piece) for piece in split_attachments(params)
    )
