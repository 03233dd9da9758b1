"""
The body of a create call: streamed to a file, then checked as the API checks it.

Like a real create, this leaves the contents of ``params`` unchecked: each request is checked when the batch ends.
A 240 MB body is never held in memory: the file is mapped, and each ``params`` is an undecoded slice of it.
"""

from __future__ import annotations

import mmap
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import IO

import msgspec

from include.emulator.api_errors import ApiError

MAX_BYTES = 256_000_000
MAX_REQUESTS = 100_000
CUSTOM_ID_PATTERN = "^[a-zA-Z0-9_-]{1,64}$"
CUSTOM_ID_MAX_LENGTH = 64

_CUSTOM_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_EXPECTED = re.compile(r"Expected `(\w+)`, got `[^`]+`")
_MISSING = re.compile(r"Object missing required field `(.+?)`")
_UNKNOWN = re.compile(r"Object contains unknown field `(.+?)`")
_OPENING_BRACE = ord("{")
_WORDS = {"str": "string", "array": "list", "object": "dictionary"}


class Item(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One request of a batch, with its params unchecked."""

    custom_id: str
    params: msgspec.Raw


class Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A create body."""

    requests: list[Item]


_DECODER = msgspec.json.Decoder(Body)
_check_syntax = msgspec.json.Decoder(msgspec.Raw).decode


async def receive(pieces: AsyncIterator[bytes], file: IO[bytes]) -> int:
    """
    Write an upload to a file as it arrives, and return its size in bytes.

    Bytes beyond MAX_BYTES are read and discarded, because a client that is still sending would not see the response.
    The returned size includes them.
    """
    size = 0
    async for piece in pieces:
        size += len(piece)
        if size <= MAX_BYTES:
            file.write(piece)
    file.flush()
    return size


def open_items(path: Path) -> list[Item]:
    """Return the requests of a body file in order, with slices of the file as params. Raises ApiError (400)."""
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size == 0:
            raise ApiError(400, "The request body is not valid JSON: the body is empty")
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    try:
        try:
            return _DECODER.decode(data).requests
        except msgspec.ValidationError as error:
            # A wrong shape is noticed before the end is read, but invalid JSON is the error to report.
            _check_syntax(data)
            raise ApiError(400, _in_api_words(str(error))) from error
    except (msgspec.DecodeError, RecursionError) as error:
        raise ApiError(400, f"The request body is not valid JSON: {error}") from error


def check(items: list[Item]) -> None:
    """Check the rules that make the whole create fail. Raises ApiError (400)."""
    if not items:
        raise ApiError(400, "requests: List should have at least 1 item after validation, not 0")
    if len(items) > MAX_REQUESTS:
        message = f"requests: List should have at most {MAX_REQUESTS} items after validation, not {len(items)}"
        raise ApiError(400, message)
    seen: set[str] = set()
    for index, item in enumerate(items):
        custom_id = item.custom_id
        if _CUSTOM_ID.fullmatch(custom_id) is None:
            raise ApiError(400, f"requests.{index}.custom_id: {_custom_id_problem(custom_id)}")
        if memoryview(item.params)[0] != _OPENING_BRACE:
            raise ApiError(400, f"requests.{index}.params: Input should be a valid dictionary")
        seen.add(custom_id)
    if len(seen) < len(items):
        raise ApiError(400, _duplicate(items))


def _custom_id_problem(custom_id: str) -> str:
    if len(custom_id) > CUSTOM_ID_MAX_LENGTH:
        return f"String should have at most {CUSTOM_ID_MAX_LENGTH} characters"
    return f"String should match pattern '{CUSTOM_ID_PATTERN}'"


def _duplicate(items: list[Item]) -> str:
    seen: set[str] = set()
    for item in items:
        if item.custom_id in seen:
            return f"requests: custom_id's must be unique within a batch. Duplicate custom_id found: {item.custom_id}"
        seen.add(item.custom_id)
    raise AssertionError("no duplicate custom_id")


def _in_api_words(message: str) -> str:
    """
    Rewrite an error of msgspec in the API's words: ``requests.0.custom_id: Field required``.

    msgspec gives ``<what> - at `$.requests[0]` ``; the path of a missing or unknown field leaves out its own name.
    """
    what, _, where = message.partition(" - at `$")
    path = [part for part in re.split(r"[.\[\]`]+", where) if part]
    if missing := _MISSING.match(what):
        return f"{'.'.join([*path, missing[1]])}: Field required"
    if unknown := _UNKNOWN.match(what):
        return f"{'.'.join([*path, unknown[1]])}: Extra inputs are not permitted"
    if expected := _EXPECTED.match(what):
        return f"{'.'.join(path) or 'body'}: Input should be a valid {_WORDS.get(expected[1], expected[1])}"
    return f"{'.'.join(path)}: {what}"
