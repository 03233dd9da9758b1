"""The chunks that a pass sends: split, written to local files, and ready for the lake."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from include.enrichment.cost.attached_sizes import ATTACHED_SIZES_SCHEMA, attached_sizes
from include.enrichment.requests.chunk import REQUESTS_SCHEMA, SIZES_SCHEMA, chunk_id, request_sizes
from include.enrichment.requests.request import Request
from include.enrichment.requests.request_ids import RequestIds
from include.gateways.ledger_store import Ledger
from include.gateways.prefetch import write_behind
from include.steps.files.chunk_files import PORTION_BYTES, ChunkWriter
from include.steps.files.extracted import ExtractedRun, read_requests
from include.steps.planning.select_requests import Selection
from include.steps.planning.upload_marks import UploadMarks

#: Bytes of params that wait to be written: in all chunk files together, and at least in each, as smaller portions take
#: much longer. A writer needs three times as much memory.
_WAITING_BYTES, _LEAST_WAITING_BYTES = 4_000_000, 50_000


def read_sizes(to_send: RequestIds, made: Mapping[str, Request], run: ExtractedRun, uploads: UploadMarks) -> pa.Table:
    """
    Return the size of each request to send, sorted by ``request_id``: in SIZES_SCHEMA, or in ATTACHED_SIZES_SCHEMA if
    the pipeline has attachments.
    """
    attaching = bool(run.pipeline.settings.attached_columns)
    schema = ATTACHED_SIZES_SCHEMA if attaching else SIZES_SCHEMA
    _, *measured = schema
    # The sorted ids are in memory already: only their positions are kept next to the sizes.
    positions = [pa.nulls(0, pa.int64())]
    sizes = [[pa.nulls(0, each.type)] for each in measured]
    for found in map(attached_sizes if attaching else request_sizes, _requests(to_send, made, run.rows, uploads)):
        positions.append(to_send.find(found["request_id"]))
        for column, each in zip(sizes, measured, strict=True):
            column.append(found[each.name])
    at = pa.concat_arrays(positions)
    in_order = [pc.scatter(pa.concat_arrays(column), at, max_index=len(to_send) - 1) for column in sizes]
    return pa.table([to_send.array, *in_order], schema)


def _requests(
    to_send: RequestIds, made: Mapping[str, Request], rows: Path, uploads: UploadMarks
) -> Iterator[pa.RecordBatch]:
    """The requests to send, each once, in portions: first those of the rows, then the repairs."""
    wanted = set(to_send & made.keys())
    yield from map(uploads.apply, read_requests(rows, to_send - wanted))
    repairs = [asdict(request) for request_id, request in made.items() if request_id in wanted]
    yield uploads.apply(pa.RecordBatch.from_pylist(repairs, REQUESTS_SCHEMA))


def write_chunks(
    to_send: RequestIds,
    parts: Sequence[pa.Table],
    selection: Selection,
    run: ExtractedRun,
    pass_name: str,
    ledger: Ledger,
    uploads: UploadMarks,
) -> list[ChunkWriter]:
    """
    Write the chunks to local files, in one pass over the rows. No file stays open between two writes.

    :param parts: the requests of each chunk, as split_chunks() returns them
    """
    first_ids = [part["request_id"][0].as_py() for part in parts]
    failed_in = {request_id: selection.failed_in[request_id] for request_id in to_send & selection.failed_in.keys()}
    cached = run.pipeline.cached_prefix
    writers = [
        ChunkWriter(
            run.rows.with_name(f"chunk-{number}.parquet"),
            pipeline=run.pipeline.name,
            schema_text=run.pipeline.loaded_schema,
            after=after,
            partition=str(run.folder.partition),
            pass_name=pass_name,
            cached=cached,
            attachments_connection=run.pipeline.settings.attachments_connection,
            portion_bytes=min(PORTION_BYTES, max(_WAITING_BYTES // len(parts), _LEAST_WAITING_BYTES)),
        )
        for number, after in enumerate(_after(parts, first_ids, failed_in, ledger))
    ]
    with ExitStack() as open_writers:
        for writer in writers:
            open_writers.enter_context(writer)
        write = open_writers.enter_context(write_behind())
        for batch in _requests(to_send, selection.made, run.rows, uploads):
            for number, part in _by_chunk(batch, pa.array(first_ids, pa.string())):
                write(writers[number].write, part)
    return writers


def _after(
    parts: Sequence[pa.Table], first_ids: Sequence[str], failed_in: Mapping[str, Set[str]], ledger: Ledger
) -> list[set[str]]:
    """
    What the id of each chunk contains besides its requests: the batches that failed to answer them before, and the
    withdrawn chunks with the same requests, which nobody sends any more.
    """
    after: list[set[str]] = [set() for _ in parts]
    for request_id, batches in failed_in.items():
        after[bisect_right(first_ids, request_id) - 1] |= batches
    unchecked = list(range(len(parts)))
    while unchecked:
        names = [chunk_id(parts[number]["request_id"].to_pylist(), after=after[number]) for number in unchecked]
        withdrawn = {
            number: name
            for number, name, entry in zip(unchecked, names, ledger.entries(names), strict=True)
            if entry and entry.state == "withdrawn"
        }
        for number, name in withdrawn.items():
            after[number].add(name)
        unchecked = list(withdrawn)
    return after


def _by_chunk(requests: pa.RecordBatch, first_ids: pa.Array) -> Iterator[tuple[int, pa.RecordBatch]]:
    """The requests of each chunk, with its number, in their order."""
    if len(first_ids) == 1:
        yield 0, requests
        return
    numbers = pc.subtract(pc.search_sorted(first_ids, requests["request_id"], side="right"), 1)
    for number in numbers.unique().to_pylist():
        yield number, requests.filter(pc.equal(numbers, number))
