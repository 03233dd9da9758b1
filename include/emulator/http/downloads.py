"""Downloads of a batch's results, whole or with the armed faults."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
from starlette.responses import Response, StreamingResponse

from include.emulator.faults.kinds import (
    CutResults,
    DuplicateLines,
    ForeignLines,
    GzipResults,
    MissingLines,
    NoFinalNewline,
    StallResults,
)
from include.emulator.http.server import Call
from include.emulator.http.wire import Broken, Unbounded, is_open

MEDIA_TYPE = "application/x-jsonl"
_PIECE_BYTES = 1 << 18
_GZIP_WINDOW = 31  # in zlib: a gzip header and the largest window


def download(call: Call, batch_id: str) -> Response:
    """Return the response to a results call: the file unchanged, unless a fault strikes this download."""
    path = call.server.store.results / batch_id
    missing = call.strike(MissingLines)
    duplicate = call.strike(DuplicateLines)
    foreign = call.strike(ForeignLines)
    bare = call.strike(NoFinalNewline)
    stall = call.strike(StallResults)
    cut = call.strike(CutResults)
    gzip = "gzip" in call.request.headers.get("accept-encoding", "") and call.strike(GzipResults) is not None
    headers = {"content-type": MEDIA_TYPE, **({"content-encoding": "gzip"} if gzip else {})}
    if not (missing or duplicate or foreign or bare or stall or cut):
        pieces = _read(path)
    else:
        lines = path.read_bytes().splitlines(keepends=True)
        if missing:
            lines = lines[missing.count :]
        if duplicate:
            lines += lines[: duplicate.count]
        if foreign and lines:  # a foreign line copies the first one, and a small batch may have lost all
            lines += [_foreign(lines[0], number) for number in range(foreign.count)]
        if cut:
            return _cut(lines, cut, headers)
        if bare:
            lines[-1:] = [line.rstrip(b"\n") for line in lines[-1:]]
        pieces = _halves(b"".join(lines), stall.seconds if stall else 0)
    if gzip:
        pieces = _compressed(pieces)
    if not missing:
        pieces = _counted(pieces, call, batch_id)
    return StreamingResponse(pieces, headers=headers)


def _cut(lines: list[bytes], cut: CutResults, headers: dict[str, str]) -> Response:
    whole = len(lines) // 2 if cut.after_lines is None else cut.after_lines
    sent = b"".join(lines[:whole])
    neatly = cut.at == "line_boundary"
    if not neatly:
        rest = lines[whole] if whole < len(lines) else b"".join(lines[-1:])
        sent += rest[: len(rest) // 2]
    if "content-encoding" in headers:
        compressor = zlib.compressobj(wbits=_GZIP_WINDOW)
        # A broken stream lacks its end, but everything written so far can be read.
        sent = compressor.compress(sent) + compressor.flush(zlib.Z_FINISH if neatly else zlib.Z_SYNC_FLUSH)
    return Unbounded([sent], headers) if neatly else Broken([sent], headers)


def _foreign(line: bytes, number: int) -> bytes:
    result = msgspec.json.decode(line)
    result["custom_id"] = f"simulated-foreign-{number}"
    return msgspec.json.encode(result) + b"\n"


async def _read(path: Path) -> AsyncIterator[bytes]:
    # Read on the event loop: the file was just written, so a piece takes microseconds, less than a thread switch.
    with path.open("rb") as file:
        while piece := file.read(_PIECE_BYTES):
            yield piece


async def _halves(body: bytes, pause_seconds: float) -> AsyncIterator[bytes]:
    yield body[: len(body) // 2]
    await asyncio.sleep(pause_seconds)
    yield body[len(body) // 2 :]


async def _compressed(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    compressor = zlib.compressobj(zlib.Z_BEST_SPEED, wbits=_GZIP_WINDOW)
    async for piece in pieces:
        # Flush every piece, so that a stalled download has sent its whole first half.
        yield compressor.compress(piece) + compressor.flush(zlib.Z_SYNC_FLUSH)
    yield compressor.flush()


async def _counted(pieces: AsyncIterator[bytes], call: Call, batch_id: str) -> AsyncIterator[bytes]:
    """Count the download after its last piece, but before the client learns that it was the last."""
    async for piece in pieces:
        yield piece
    if is_open(call.request.scope):
        call.server.store.count_download(batch_id)
