"""The calls of the Files API, through the official SDK."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from threading import Lock
from typing import BinaryIO

import anthropic
import httpx2

from include.enrichment.documents.upload import UploadedFile
from include.enrichment.errors import BatchNotFound
from include.gateways.claude_errors import list_error, translate_error
from include.gateways.claude_responses import File, FilePage, decode

_FILES = "/v1/files"
#: The API allows about 500 calls a minute, all file calls of an organization together (its documentation of files,
#: 2026-08-19). Other tasks need some of them.
CALLS_PER_MINUTE = 400
#: The SDK waits as long as a 429 asks for. A repeated upload may make a second file with the same name.
_RETRIES = 5
#: With its retries, an upload ends within UPLOAD_WINDOW.
_UPLOAD_SECONDS = 120.0
_PAGE_FILES = 1000
#: The most ids of one list call.
_MOST_IDS = 100


class ClaudeFiles:
    """
    The files of the workspace behind an Airflow connection called ``name``. Several threads may use it.

    Errors of the SDK become ApiError, or SetupError if the API rejects the key or has no room for a file.
    """

    def __init__(self, client: anthropic.Anthropic, *, name: str) -> None:
        self._client = client
        self._name = name
        self._pace = _Pace(CALLS_PER_MINUTE)

    def upload(self, name: str, content: BinaryIO, *, media_type: str, expires_after: timedelta) -> UploadedFile:
        """
        Upload a file. Uploads are free, and two with the same name make two files.

        :param content: its bytes, in a seekable file: a repeated upload begins again
        """
        with self._call(f"Uploading file {name}"):
            response = self._client.post(
                _FILES,
                cast_to=httpx2.Response,
                body={"expires_in_seconds": str(round(expires_after.total_seconds()))},
                files=[("file", (name, content, media_type))],
                options={
                    "headers": {"Content-Type": "multipart/form-data"},
                    "max_retries": _RETRIES,
                    "timeout": _UPLOAD_SECONDS,
                },
            )
        return decode(File, response.content).described()

    def named(self, names: Collection[str]) -> list[UploadedFile]:
        """Return the workspace's files with any of these names, newest first. Lists all files of the workspace."""
        wanted = set(names)
        return [file for file in self._newest_first({"limit": _PAGE_FILES}) if file.name in wanted] if wanted else []

    def existing(self, file_ids: Sequence[str]) -> set[str]:
        """Return those of the ids that the workspace has files of."""
        found = set[str]()
        for first in range(0, len(file_ids), _MOST_IDS):
            some = {"ids": file_ids[first : first + _MOST_IDS]}
            found.update(file.file_id for file in self._newest_first(some))
        return found

    def delete(self, file_id: str) -> None:
        """Delete a file. One that is gone already is fine."""
        try:
            with self._call(f"Deleting file {file_id}"):
                self._client.delete(f"{_FILES}/{file_id}", cast_to=httpx2.Response, options={"max_retries": _RETRIES})
        except BatchNotFound:
            return

    def _newest_first(self, query: Mapping[str, object]) -> Iterator[UploadedFile]:
        page: str | None = None
        while True:
            found = self._list({**query, **({"page": page} if page else {})})
            yield from (file.described() for file in found.data)
            if (page := found.next_page) is None:
                return

    def _list(self, query: Mapping[str, object]) -> FilePage:
        try:
            with self._call("Listing the uploaded files"):
                response = self._client.get(
                    _FILES, cast_to=httpx2.Response, options={"params": query, "max_retries": _RETRIES}
                )
        except BatchNotFound as error:
            raise list_error(error) from error
        return decode(FilePage, response.content)

    @contextmanager
    def _call(self, doing: str) -> Iterator[None]:
        self._pace.wait()
        try:
            yield
        except anthropic.AnthropicError as error:
            raise translate_error(error, doing=doing, connection=self._name) from error


class _Pace:
    """Delays calls, so that no minute has more than ``calls`` of them."""

    def __init__(self, calls: int) -> None:
        self._latest: deque[float] = deque(maxlen=calls)
        self._calls = calls
        self._turn = Lock()

    def wait(self) -> None:
        """Return when one more call may begin."""
        with self._turn:
            if len(self._latest) == self._calls:
                time.sleep(max(0.0, self._latest[0] + 60 - time.monotonic()))
            self._latest.append(time.monotonic())
