"""The parts of a synchronous chunk's results on the lake: its result lines, some of them together, as they come."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from uuid import uuid4

import pyarrow as pa

from include.enrichment.errors import LakeError
from include.enrichment.storage import layout
from include.gateways.lake import Lake

_HEAD, _BETWEEN, _TAIL = b'{"custom_id":"', b'","result":', b"}\n"
_AT_ONCE, _READ_AHEAD = 16, 256
#: In the names of parts, which are sorted by it.
_TIME = "%Y%m%dT%H%M%S.%fZ"


def result_line(request_id: str, result: bytes) -> bytes:
    """Return the line of a request, as the API writes it for one of a batch. ``result`` is JSON on one line."""
    return b"".join((_HEAD, request_id.encode(), _BETWEEN, result, _TAIL))


class Parts:
    """The parts of one chunk that are not loaded yet."""

    def __init__(self, lake: Lake, *, pipeline: str, chunk_id: str) -> None:
        self._lake = lake
        self._pipeline = pipeline
        self._chunk_id = chunk_id
        #: How many lines lines() has left out: of requests that two processes have asked.
        self.repeated = 0

    def write(self, lines: Sequence[bytes]) -> None:
        """Write these result lines as one part, all or none."""
        name = f"{datetime.now(UTC):{_TIME}}-{uuid4().hex[:8]}"
        sink = pa.BufferOutputStream()
        with pa.CompressedOutputStream(sink, "zstd") as compressed:
            for line in lines:
                compressed.write(line)
        self._lake.write(layout.asked_part(self._pipeline, self._chunk_id, name), sink.getvalue().to_pybytes())

    def request_ids(self) -> set[str]:
        """Return the requests that have a line. Raises LakeError for a part that cannot be read."""
        return {_request_id(line) for line in self._all_lines()}

    def lines(self) -> Iterator[bytes]:
        """
        Yield the lines of all parts, the oldest first: of each request the first. Raises LakeError for a part that
        cannot be read.
        """
        seen: set[str] = set()
        for line in self._all_lines():
            if (request_id := _request_id(line)) in seen:
                self.repeated += 1
                continue
            seen.add(request_id)
            yield line

    def ended_at(self) -> datetime | None:
        """Return when the last part was written, None if there is none."""
        keys = self._keys()
        if not keys:
            return None
        time = keys[-1].rpartition("/")[2].partition("-")[0]
        return datetime.strptime(time, _TIME).replace(tzinfo=UTC)

    def delete(self) -> None:
        """Delete all parts. Their lines are in the raw copy of the results."""
        with ThreadPoolExecutor(_AT_ONCE) as threads:
            list(threads.map(self._lake.delete, self._lake.objects(self._folder)))

    @property
    def _folder(self) -> str:
        return layout.asked_folder(self._pipeline, self._chunk_id)

    def _keys(self) -> list[str]:
        return self._lake.list(self._folder)

    def _all_lines(self) -> Iterator[bytes]:
        """Read the parts, which are small and may be thousands, some of them ahead."""
        keys = self._keys()
        with ThreadPoolExecutor(_AT_ONCE) as threads:
            for first in range(0, len(keys), _READ_AHEAD):
                for lines in threads.map(self._lines, keys[first : first + _READ_AHEAD]):
                    yield from lines

    def _lines(self, key: str) -> list[bytes]:
        data = self._lake.read(key)
        try:
            whole: bytes = pa.CompressedInputStream(pa.BufferReader(data), "zstd").read()
        except OSError as error:
            raise LakeError(
                f"{self._lake.locate(key)} cannot be read: {error}. It holds answers that are paid for. Restore the"
                " object and clear this task, or delete it to ask and pay for its requests again.",
                retryable=False,
            ) from error
        return whole.splitlines(keepends=True)


def _request_id(line: bytes) -> str:
    return line[len(_HEAD) : line.index(b'"', len(_HEAD))].decode()
