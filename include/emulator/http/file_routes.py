"""The five calls of the Files API, as they are since 2026-08-19: without a beta header, paged by ``next_page``."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncGenerator
from pathlib import PurePosixPath
from typing import cast

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.responses import Response

from include.emulator.api_errors import ApiError
from include.emulator.engine.batches import SECOND
from include.emulator.engine.uploaded_files import UploadedFile, expired, not_found
from include.emulator.faults.kinds import HttpError
from include.emulator.http.paging import read_limit
from include.emulator.http.server import Call, json_response, random_id, simulated_error

MAX_BYTES = 500_000_000
SHORTEST_SECONDS, LONGEST_SECONDS = 3_600, 7_776_000
MOST_IDS = 100
_UNKNOWN_TYPE = "application/octet-stream"
_PAGE = "page_"


async def upload(call: Call) -> Response:
    """Keep a file; every accepted call makes a new one, whatever its name."""
    part, seconds = await _form(call)
    try:
        size = part.size or 0
        if size > MAX_BYTES:
            raise ApiError(413, f"File exceeds the maximum size of {MAX_BYTES // 1_000_000} MB")
        if size == 0:
            raise ApiError(400, "file: File is empty")
        files, file_id = call.server.store.files, random_id("file_simulated_")
        incomplete = files.folder / f"{file_id}.part"
        await asyncio.to_thread(_copy, part, str(incomplete))
    finally:
        await part.close()
    os.replace(incomplete, files.folder / file_id)
    now = call.now
    file = UploadedFile(
        id=file_id,
        workspace=call.workspace,
        created_at=now,
        filename=PurePosixPath(part.filename or "").name or "unnamed",
        mime_type=part.content_type or _UNKNOWN_TYPE,
        size_bytes=size,
        expires_at=None if seconds is None else now + seconds * SECOND,
    )
    files.add(file)
    if fault := call.strike(HttpError, lambda fault: fault.on == "upload_file" and fault.created):
        raise simulated_error(fault)
    return json_response(file.describe())


async def _form(call: Call) -> tuple[UploadFile, int | None]:
    """Return the file and the seconds until it expires."""
    pieces = cast(AsyncGenerator[bytes, None], call.pieces)
    try:
        form = await MultiPartParser(call.request.headers, pieces).parse()
    except (MultiPartException, KeyError) as error:
        raise ApiError(400, f"The request body is not valid multipart/form-data: {error}") from error
    file, text = form.get("file"), form.get("expires_in_seconds")
    if not isinstance(file, UploadFile):
        raise ApiError(400, "file: Field required")
    if text is None:
        return file, None
    if not isinstance(text, str) or not text.isdecimal():
        raise ApiError(400, "expires_in_seconds: Input should be a valid integer")
    if not SHORTEST_SECONDS <= int(text) <= LONGEST_SECONDS:
        raise ApiError(400, f"expires_in_seconds: Input should be between {SHORTEST_SECONDS} and {LONGEST_SECONDS}")
    return file, int(text)


def _copy(part: UploadFile, path: str) -> None:
    with open(path, "wb") as file:
        shutil.copyfileobj(part.file, file)


async def list_files(call: Call) -> Response:
    """Return a page of the workspace's files, newest first, or those with the given ids."""
    query, files = call.request.query_params, call.server.store.files
    if ids := query.getlist("ids[]") or query.getlist("ids"):
        if "page" in query or "limit" in query:
            raise ApiError(400, "ids: cannot be combined with page or limit")
        if len(set(ids)) > MOST_IDS:
            raise ApiError(400, f"ids: List should have at most {MOST_IDS} items after validation, not {len(set(ids))}")
        return json_response(_page(files.by_id(call.workspace, call.now, ids), None))
    limit, after = read_limit(query), query.get("page")
    if after is not None and not after.startswith(_PAGE):
        raise ApiError(400, "page: Input should be a cursor of an earlier response")
    cursor = after.removeprefix(_PAGE) if after else None
    found = files.newest(call.workspace, call.now, limit + 1, after=cursor)
    shown = found[:limit]
    return json_response(_page(shown, f"{_PAGE}{shown[-1].id}" if len(found) > limit else None))


def _page(shown: list[UploadedFile], next_page: str | None) -> dict[str, object]:
    return {"data": [file.describe() for file in shown], "next_page": next_page}


async def retrieve_file(call: Call) -> Response:
    """Return the metadata of a file."""
    return json_response(_stored(call).describe())


async def delete_file(call: Call) -> Response:
    """Delete a file. Requests that name it from now on fail."""
    file = _stored(call)
    call.server.store.files.delete(file.id)
    return json_response({"id": file.id, "type": "file_deleted"})


async def download_file(call: Call) -> Response:
    """Reject the download: only files that a tool has made can be downloaded."""
    file = _stored(call)
    if file.is_expired(call.now):
        raise expired(file.id).to_api_error()
    raise ApiError(400, f"File is not downloadable: {file.id}", details={"error_code": "file_not_downloadable"})


def _stored(call: Call) -> UploadedFile:
    file_id = call.request.path_params["file_id"]
    file = call.server.store.files.find(call.workspace, file_id, call.now)
    if file is None:
        raise not_found(file_id).to_api_error()
    return file
