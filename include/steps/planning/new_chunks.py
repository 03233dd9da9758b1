"""The chunks that a pass sends: split, written to local files, and ready for the lake."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from include.enrichment.requests.chunk import REQUESTS_SCHEMA, SIZES_SCHEMA, chunk_id, chunk_number, request_sizes
from include.enrichment.requests.request import Request
from include.gateways.ledger_store import Ledger
from include.gateways.prefetch import write_behind
from include.steps.files.chunk_files import ChunkWriter
from include.steps.files.extracted import ExtractedRun, read_requests
from include.steps.planning.select_requests import Selection

#: Chunk files written at the same time. Each is an open file, of which many systems allow a process 256, and holds up
#: to a megabyte.
_OPEN_FILES = 64


def read_sizes(to_send: Set[str], made: Mapping[str, Request], rows: Path) -> pa.Table:
    """Return the size of each request to send, in SIZES_SCHEMA."""
    return pa.Table.from_batches(map(request_sizes, _requests(to_send, made, rows)), SIZES_SCHEMA)


def _requests(to_send: Set[str], made: Mapping[str, Request], rows: Path) -> Iterator[pa.RecordBatch]:
    """The requests to send, each once, in portions: first those of the rows, then the repairs."""
    yield from read_requests(rows, to_send - made.keys() if made else to_send)
    repairs = [asdict(request) for request_id, request in made.items() if request_id in to_send]
    yield pa.RecordBatch.from_pylist(repairs, REQUESTS_SCHEMA)


def write_chunks(
    to_send: Set[str], first_ids: Sequence[str], selection: Selection, run: ExtractedRun, pass_name: str, ledger: Ledger
) -> list[ChunkWriter]:
    """
    Write the chunks to local files, _OPEN_FILES at a time: the rows are read again for each lot.

    :param first_ids: the first request id of each chunk, as split_chunks() returns them
    """
    chunks = _split(to_send, first_ids, selection.failed_in, ledger)
    cached = run.pipeline.cached_prefix
    writers = [
        ChunkWriter(
            run.rows.with_name(f"chunk-{number}.parquet"),
            pipeline=run.pipeline.name,
            schema_text=run.pipeline.schema_text,
            after=chunk.after,
            partition=str(run.folder.partition),
            pass_name=pass_name,
            cached=cached,
        )
        for number, chunk in enumerate(chunks)
    ]
    for start in range(0, len(chunks), _OPEN_FILES):
        lot = slice(start, start + _OPEN_FILES)
        if len(chunks) > _OPEN_FILES:
            wanted: Set[str] = {request_id for chunk in chunks[lot] for request_id in chunk.request_ids}
        else:
            wanted = to_send
        with ExitStack() as open_writers:
            for writer in writers[lot]:
                open_writers.enter_context(writer)
            write = open_writers.enter_context(write_behind())
            for batch in _requests(wanted, selection.made, run.rows):
                for number, part in _by_chunk(batch, first_ids[lot]):
                    write(writers[start + number].write, part)
    return writers


@dataclass(frozen=True, kw_only=True)
class _NewChunk:
    """
    A chunk that is about to be written.

    :param request_ids: sorted
    :param after: what its id contains besides them: the batches that failed to answer them before, and the withdrawn
        chunks with the same requests
    """

    request_ids: Sequence[str]
    after: Set[str]


def _split(
    to_send: Set[str], first_ids: Sequence[str], failed_in: Mapping[str, Set[str]], ledger: Ledger
) -> list[_NewChunk]:
    """The chunks. None has the id of a withdrawn chunk, which nobody sends any more."""
    ids = sorted(to_send)
    bounds = [*(bisect_left(ids, first) for first in first_ids), len(ids)]
    chunks = [
        _NewChunk(request_ids=part, after={batch for each in part for batch in failed_in.get(each, ())})
        for part in (ids[start:end] for start, end in pairwise(bounds))
    ]
    unchecked = list(range(len(chunks)))
    while unchecked:
        names = [chunk_id(chunks[number].request_ids, after=chunks[number].after) for number in unchecked]
        withdrawn = {
            number: name
            for number, name, entry in zip(unchecked, names, ledger.entries(names), strict=True)
            if entry and entry.state == "withdrawn"
        }
        for number, name in withdrawn.items():
            chunks[number] = replace(chunks[number], after=chunks[number].after | {name})
        unchecked = list(withdrawn)
    return chunks


def _by_chunk(requests: pa.RecordBatch, first_ids: Sequence[str]) -> Iterator[tuple[int, pa.RecordBatch]]:
    """The requests of each chunk, with its number, in their order."""
    if len(first_ids) == 1:
        yield 0, requests
        return
    numbers = pa.array([chunk_number(request_id, first_ids) for request_id in requests["request_id"].to_pylist()])
    for number in numbers.unique().to_pylist():
        yield number, requests.filter(pc.equal(numbers, number))
