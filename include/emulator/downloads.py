"""The results of a batch on their way out, whole or with the faults that were asked for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
from starlette.responses import Response, StreamingResponse

from include.emulator.faults import CutResults, DuplicateLines, ForeignLines, MissingLines
from include.emulator.server import Call
from include.emulator.wire import Broken, Unbounded

MEDIA_TYPE = "application/x-jsonl"
_PIECE_BYTES = 1 << 18


def download(call: Call, path: Path) -> Response:
    """The answer to a results call: the file as it is, unless a fault strikes this download."""
    missing = call.strike(MissingLines)
    duplicate = call.strike(DuplicateLines)
    foreign = call.strike(ForeignLines)
    cut = call.strike(CutResults)
    if not (missing or duplicate or foreign or cut):
        return StreamingResponse(_pieces(path), media_type=MEDIA_TYPE)
    lines = path.read_bytes().splitlines(keepends=True)
    if missing:
        lines = lines[missing.count :]
    if duplicate:
        lines += lines[: duplicate.count]
    if foreign:
        lines += [_foreign(lines[0], number) for number in range(foreign.count)]
    if cut:
        return _cut(lines, cut)
    return Response(b"".join(lines), media_type=MEDIA_TYPE)


def _cut(lines: list[bytes], cut: CutResults) -> Response:
    whole = len(lines) // 2 if cut.after_lines is None else cut.after_lines
    headers = {"content-type": MEDIA_TYPE}
    if cut.at == "line_boundary":
        return Unbounded(lines[:whole], headers)
    rest = lines[whole] if whole < len(lines) else lines[-1]
    return Broken([*lines[:whole], rest[: len(rest) // 2]], headers)


def _foreign(line: bytes, number: int) -> bytes:
    result = msgspec.json.decode(line)
    result["custom_id"] = f"simulated-foreign-{number}"
    return msgspec.json.encode(result) + b"\n"


async def _pieces(path: Path) -> AsyncIterator[bytes]:
    # Reading on the loop: the file was just written, so a piece takes microseconds, less than a thread's round trip.
    with path.open("rb") as file:
        while piece := file.read(_PIECE_BYTES):
            yield piece
