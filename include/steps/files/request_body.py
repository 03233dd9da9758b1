"""
The request body of a chunk's create, made while it is sent: its requests, with the bytes of their attachments. And the
body of a single request.
"""

from __future__ import annotations

import binascii
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from itertools import chain
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from include.enrichment.documents.attachment import (
    Attachment,
    file_source,
    params_bytes_as_sent,
    source_around,
    split_attachments,
)
from include.enrichment.errors import LakeError
from include.enrichment.requests.chunk import (
    BODY_HEAD,
    BODY_SEPARATOR,
    BODY_TAIL,
    ITEM_PARTS,
    REQUESTS_SCHEMA,
    Body,
)
from include.gateways.disk import disk_errors, working_folder
from include.gateways.documents.attachment_bytes import AttachmentBytes
from include.gateways.documents.buckets import Buckets
from include.gateways.documents.inspector import Inspector
from include.gateways.lake import Lake
from include.steps.files.chunk_files import Chunk, chunk_file_errors, read_copy

OpenBuckets = Callable[[str], Buckets]

_READ_BYTES = 1 << 18
#: The threads that fetch attachments ahead, and the bytes and pieces that may wait to be sent.
_FETCHERS = 8
_WAITING_BYTES, _WAITING_PIECES = 32_000_000, 128
#: Of an attachment's file, read and sent at once. Base64 makes four characters of three bytes.
_ENCODED_AT_ONCE = 3 << 18


@contextmanager
def open_body(
    lake: Lake, chunk: Chunk, *, open_buckets: OpenBuckets, files: Mapping[str, str] | None = None
) -> Iterator[Body]:
    """
    Open the request body of the chunk's create: byte for byte the planned params and their ids, with the bytes of each
    attachment in the place of its reference.

    The body is made while it is read, from a local copy of the file. Attachments are fetched a little ahead, and each
    is checked before any of it is handed out. Raises LakeError if the file does not exist. Reading raises LakeError,
    before the last piece, if the file does not hold what was planned, and the errors of AttachmentBytes.

    :param open_buckets: opens the place of the chunk's attachments
    :param files: the id of the uploaded file of each attachment to upload, by its content_id
    """
    with working_folder() as temporary, Inspector() as inspector:
        lake.fetch(chunk.key, path := temporary / "chunk.parquet")
        if chunk.attachments_connection:
            # A run that plans the same requests writes the chunk again, perhaps with other references.
            chunk = read_copy(lake, chunk.key, path)
        pieces: Generator[bytes] = _pieces(path, chunk.body_bytes, lake.locate(chunk.key))
        if chunk.attachments_connection:
            attached = AttachmentBytes(open_buckets(chunk.attachments_connection), inspector)
            pieces = _with_attachments(pieces, attached, files or {}, temporary)
        with closing(pieces):  # ends the threads before their folder goes
            yield Body(pieces=pieces, length=chunk.body_bytes, requests=len(chunk.request_ids))


def params_as_sent(params: bytes, attached: AttachmentBytes, files: Mapping[str, str]) -> bytes:
    """
    Return stored params with the bytes of each attachment in the place of its reference.

    Raises the errors of AttachmentBytes.

    :param files: as for open_body()
    """

    def sent(piece: bytes | Attachment) -> bytes:
        if isinstance(piece, bytes):
            return piece
        if piece.upload:
            return _source_of_file(piece, files)
        head, tail = source_around(piece)
        return b"".join((head, binascii.b2a_base64(attached.read(piece), newline=False), tail))

    return b"".join(map(sent, split_attachments(params)))


def _pieces(path: Path, length: int, name: str) -> Generator[bytes]:
    """Yield the body with references in it. Raises LakeError if it will not be of that length as sent."""
    with (
        chunk_file_errors(name),
        pq.ParquetFile(path, buffer_size=_READ_BYTES, pre_buffer=False, page_checksum_verification=True) as file,
    ):
        made = 0
        for number in range(file.num_row_groups):
            items = _items(file.read_row_group(number, columns=REQUESTS_SCHEMA.names, use_threads=False))
            piece = items if number else BODY_HEAD.encode() + items.removeprefix(BODY_SEPARATOR.encode())
            if number == file.num_row_groups - 1:
                piece += BODY_TAIL.encode()
            made += params_bytes_as_sent(piece)
            if number == file.num_row_groups - 1 and made != length:
                raise pa.ArrowInvalid(f"it makes {made:,} bytes of body, not {length:,}")
            yield piece


def _items(requests: pa.Table) -> bytes:
    """
    The requests as they appear in a body, a separator before each.

    The columns are viewed as bytes: as text they would be decoded and encoded again, which takes several times as long.
    """
    before, between, after = (part.encode() for part in ITEM_PARTS)
    before = BODY_SEPARATOR.encode() + before
    columns = [requests[name].combine_chunks().view(pa.binary()).to_pylist() for name in REQUESTS_SCHEMA.names]
    return b"".join(part for item in zip(*columns, strict=True) for part in (before, item[0], between, item[1], after))


def _with_attachments(
    pieces: Iterator[bytes], attached: AttachmentBytes, files: Mapping[str, str], folder: Path
) -> Generator[bytes]:
    """Yield the body as sent, in pieces. Attachments that are fetched ahead wait in files in ``folder``."""
    waiting: deque[tuple[int, Iterable[bytes]]] = deque()
    waiting_bytes = 0
    with ThreadPoolExecutor(_FETCHERS, thread_name_prefix="attachment") as fetchers:
        try:
            for number, piece in enumerate(chain.from_iterable(map(split_attachments, pieces))):
                coming: Iterable[bytes]
                if isinstance(piece, bytes):
                    coming, size = [piece], len(piece)
                elif piece.upload:
                    coming, size = [_source_of_file(piece, files)], piece.source_bytes
                else:
                    path = folder / f"attachment-{number}"
                    fetched = fetchers.submit(attached.fetch, piece, path)
                    coming, size = _source(piece, path, fetched), piece.size_bytes
                waiting.append((size, coming))
                waiting_bytes += size
                while waiting_bytes > _WAITING_BYTES or len(waiting) > _WAITING_PIECES:
                    size, ready = waiting.popleft()
                    waiting_bytes -= size
                    yield from ready
            for _, ready in waiting:
                yield from ready
        finally:
            fetchers.shutdown(cancel_futures=True)


def _source_of_file(attachment: Attachment, files: Mapping[str, str]) -> bytes:
    if attachment.content_id not in files:
        raise LakeError(
            f"The chunk was planned again at this moment, and {attachment.uri} is now to be uploaded. Nothing was sent."
            " The next try uploads it."
        )
    return file_source(files[attachment.content_id])


def _source(attachment: Attachment, path: Path, fetched: Future[None]) -> Iterator[bytes]:
    head, tail = source_around(attachment)
    fetched.result()
    with disk_errors(path):
        yield head
        with path.open("rb") as file:
            while data := file.read(_ENCODED_AT_ONCE):
                yield binascii.b2a_base64(data, newline=False)
        path.unlink()
    yield tail
