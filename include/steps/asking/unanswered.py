"""The requests of a synchronous chunk as they are asked: their params, with the bytes of their attachments."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import partial

import pyarrow as pa

from include.enrichment.documents.attachment import has_attachments, params_bytes_as_sent
from include.gateways.documents.attachment_bytes import AttachmentBytes
from include.gateways.documents.inspector import Inspector
from include.gateways.lake import Lake
from include.steps.asking.asker import Unanswered
from include.steps.files.chunk_files import Chunk, read_part
from include.steps.files.request_body import OpenBuckets, params_as_sent


@contextmanager
def open_unanswered(
    lake: Lake, chunk: Chunk, request_ids: Collection[str], *, open_buckets: OpenBuckets, files: Mapping[str, str]
) -> Iterator[AsyncGenerator[Unanswered]]:
    """
    Open these requests of the chunk, in the order of its file. Attachments are read when their request is asked.

    Raises LakeError as read_chunk() does, and the ``params`` of a request the errors of AttachmentBytes.

    :param files: the id of the uploaded file of each attachment to upload, by its content_id
    """
    with Inspector() as inspector:
        connection = chunk.attachments_connection
        attached = AttachmentBytes(open_buckets(connection), inspector) if connection else None
        yield _unanswered(lake, chunk, request_ids, attached, files)


async def _unanswered(
    lake: Lake,
    chunk: Chunk,
    request_ids: Collection[str],
    attached: AttachmentBytes | None,
    files: Mapping[str, str],
) -> AsyncGenerator[Unanswered]:
    portions = read_part(lake, chunk, pa.array(sorted(request_ids), pa.string()))
    try:
        while portion := await asyncio.to_thread(next, portions, None):
            for request_id, text in zip(*(column.to_pylist() for column in portion.columns), strict=True):
                params = text.encode()
                yield Unanswered(
                    request_id=request_id,
                    size_bytes=params_bytes_as_sent(params),
                    params=partial(_as_sent, params, attached, files),
                )
    finally:
        portions.close()


async def _as_sent(params: bytes, attached: AttachmentBytes | None, files: Mapping[str, str]) -> bytes:
    if attached is None or not has_attachments(params):
        return params
    return await asyncio.to_thread(params_as_sent, params, attached, files)
