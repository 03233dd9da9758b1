"""The chunks that a pass sends: split, written to local files, and ready for the lake."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import reduce
from itertools import accumulate
from operator import or_
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from include.enrichment.cost.attached_sizes import ATTACHED_SIZES_SCHEMA, attached_sizes
from include.enrichment.requests.chunk import (
    REQUESTS_SCHEMA,
    SIZES_SCHEMA,
    BatchLimits,
    chunk_id,
    request_sizes,
    split_chunks,
)
from include.enrichment.requests.request import Request
from include.enrichment.requests.request_ids import RequestIds
from include.enrichment.runs.modes import Mode
from include.enrichment.spec.cascade.escalation import request_groups
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


@dataclass(frozen=True, kw_only=True)
class NewChunk:
    """
    A chunk that is about to be written.

    :param group: of its requests, by the name that request_groups() has for it
    :param sizes: its requests with their sizes, in SIZES_SCHEMA
    """

    group: str
    sizes: pa.Table


def split_by_group(sizes: Mapping[str, pa.Table], limits: BatchLimits) -> list[NewChunk]:
    """
    Split requests into chunks as split_chunks() does, none with requests of two groups.

    :param sizes: of the requests of each group, as sizes_by_group() returns them
    """
    return [
        NewChunk(group=group, sizes=part) for group, of_one in sizes.items() for part in split_chunks(of_one, limits)
    ]


def write_chunks(
    groups: Mapping[str, RequestIds],
    parts: Sequence[NewChunk],
    selection: Selection,
    run: ExtractedRun,
    pass_name: str,
    ledger: Ledger,
    uploads: UploadMarks,
    *,
    mode: Mode = "batch",
) -> list[ChunkWriter]:
    """
    Write the chunks to local files, in one pass over the rows. No file stays open between two writes.

    :param groups: the requests to send, as group_requests() returns them
    :param parts: the same, as split_by_group() returns them
    :param mode: how they are sent
    """
    synchronous = mode == "synchronous"
    named = request_groups(run.pipeline)
    variants = _of_variants(parts, groups)
    cached = {name: named[name].pipeline.cached_prefix for name in groups}
    writers = [
        ChunkWriter(
            run.rows.with_name(f"chunk-{number}.parquet"),
            pipeline=run.pipeline.name,
            schema_text=named[part.group].pipeline.loaded_schema,
            after=after,
            partition=str(run.folder.partition),
            pass_name=pass_name,
            cached=cached[part.group],
            attachments_connection=run.pipeline.settings.attachments_connection,
            variant=named[part.group].variant or None,
            synchronous=synchronous,
            portion_bytes=min(PORTION_BYTES, max(_WAITING_BYTES // len(parts), _LEAST_WAITING_BYTES)),
        )
        for number, (part, after) in enumerate(
            zip(parts, _after(parts, variants, selection.failed_in, ledger, synchronous=synchronous), strict=True)
        )
    ]
    with ExitStack() as open_writers:
        for writer in writers:
            open_writers.enter_context(writer)
        write = open_writers.enter_context(write_behind())
        for batch in _requests(_all_of(groups), selection.made, run.rows, uploads):
            for number, part in _by_chunk(batch, variants):
                write(writers[number].write, part)
    return writers


def _all_of(groups: Mapping[str, RequestIds]) -> RequestIds:
    return reduce(or_, groups.values()) if groups else RequestIds()


class _OfVariant(NamedTuple):
    """The new chunks of one variant: its requests, the numbers of the chunks, and the first request of each."""

    request_ids: RequestIds
    numbers: range
    first_ids: list[str]


def _of_variants(parts: Sequence[NewChunk], groups: Mapping[str, RequestIds]) -> list[_OfVariant]:
    first_ids: dict[str, list[str]] = {variant: [] for variant in groups}
    for part in parts:
        first_ids[part.group].append(part.sizes["request_id"][0].as_py())
    ends = accumulate(map(len, first_ids.values()))
    return [
        _OfVariant(groups[variant], range(end - len(ids), end), ids)
        for (variant, ids), end in zip(first_ids.items(), ends, strict=True)
    ]


def _after(
    parts: Sequence[NewChunk],
    variants: Iterable[_OfVariant],
    failed_in: Mapping[str, Set[str]],
    ledger: Ledger,
    *,
    synchronous: bool,
) -> list[set[str]]:
    """
    What the id of each chunk contains besides its requests: the batches that failed to answer them before, and the
    withdrawn chunks with the same requests, which nobody sends any more.
    """
    after: list[set[str]] = [set() for _ in parts]
    for one in variants:
        for request_id in one.request_ids & failed_in.keys():
            after[one.numbers[bisect_right(one.first_ids, request_id) - 1]] |= failed_in[request_id]
    unchecked = list(range(len(parts)))
    while unchecked:
        names = [
            chunk_id(parts[number].sizes["request_id"].to_pylist(), after=after[number], synchronous=synchronous)
            for number in unchecked
        ]
        withdrawn = {
            number: name
            for number, name, entry in zip(unchecked, names, ledger.entries(names), strict=True)
            if entry and entry.state == "withdrawn"
        }
        for number, name in withdrawn.items():
            after[number].add(name)
        unchecked = list(withdrawn)
    return after


def _by_chunk(requests: pa.RecordBatch, variants: Sequence[_OfVariant]) -> Iterator[tuple[int, pa.RecordBatch]]:
    """The requests of each chunk, with its number, in their order."""
    for one in variants:
        these = requests
        if len(variants) > 1:
            these = requests.filter(one.request_ids.find(requests["request_id"]).is_valid())
        if len(one.numbers) == 1:
            yield one.numbers[0], these
            continue
        first_ids = pa.array(one.first_ids, pa.string())
        places = pc.subtract(pc.search_sorted(first_ids, these["request_id"], side="right"), 1)
        for place in places.unique().to_pylist():
            yield one.numbers[place], these.filter(pc.equal(places, place))
