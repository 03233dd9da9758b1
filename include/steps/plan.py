"""plan: what a pass of the run sends, and which batches it waits for."""

from __future__ import annotations

import logging
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from include.enrichment.batches.ledger import Entry, OpenChunk, OpenChunks
from include.enrichment.batches.pass_plan import Division, PassPlan, check_chunks, describe_plan, divide
from include.enrichment.batches.unread import describe_unread, find_unread
from include.enrichment.cost.estimate import Estimate, cost_table
from include.enrichment.errors import BudgetExceeded, LakeError
from include.enrichment.requests.chunk import (
    REQUESTS_SCHEMA,
    SIZES_SCHEMA,
    chunk_id,
    chunk_number,
    sizes_of,
    split_chunks,
)
from include.enrichment.requests.request import Request
from include.enrichment.runs import passes
from include.enrichment.spec.pipeline import Pipeline
from include.enrichment.storage import layout
from include.enrichment.storage.layout import RunFolder
from include.enrichment.storage.version import check_stamp, with_stamp
from include.gateways.disk import working_folder
from include.gateways.lake import Conflict, Lake, ObjectMissing
from include.gateways.ledger_store import Ledger, Recorded
from include.gateways.prefetch import write_behind
from include.steps.files.chunk_files import ChunkWriter, request_ids_of
from include.steps.files.extracted import fetch_rows, read_extracted, read_pipeline, read_request_ids, read_requests
from include.steps.planning.estimator import Estimator, check_budgets, estimator, may_stop, read_usage
from include.steps.planning.in_flight import InFlightNow, find_in_flight, was_sent
from include.steps.planning.select_requests import Selection, read_plan, select_requests

log = logging.getLogger(__name__)

#: Plans of one pipeline made at the same moment come one after the other; each takes seconds.
_TRIES = 20
#: Chunk files that are written at once. Each is an open file, of which many systems allow a process 256, and holds up
#: to a megabyte.
_OPEN_FILES = 64
_REPAIRS_SCHEMA = pa.schema([("request_id", pa.string()), ("repair_id", pa.string()), ("depth", pa.int64())])


def plan(folder: RunFolder, *, pass_name: str, lake: Lake, most_chunks: int | None = None) -> list[str]:
    """
    Decide what the pass sends, cut it into chunks, and return the lake keys of all chunks that the pass waits for.

    Of the run's distinct requests a pass sends what nobody has paid for yet: neither what any earlier batch of the
    pipeline has answered nor what is in flight. A batch in flight that holds what is wanted is waited for instead,
    whichever run made it. A chunk that was planned and never sent is taken over: withdrawn, and its wanted requests cut
    anew by what this run allows. A canary pass sends a handful; the main pass the rest; a retry pass what has no answer
    yet, what ended without being billed and may end better, and once a repair of each answer that does not fit. A run
    that asks only for the rejects repairs what came of a repair too.

    Planning again is free at any time, but for a retry pass of a run that asks only for the rejects: it repairs once
    more what came of its own repairs.

    What it may cost is told in the log and kept in the plan, and the high estimate must fit the budgets of run and
    month beside what is spent and in flight; submit() looks at the month once more. A retry pass that could exceed one
    sends nothing, and the run goes on without it: what the others have paid for may do, which publish() judges.

    Raises BatchError if this is the pass after a canary that failed for good, SpecError if the pass needs more than
    ``most_chunks`` batches, ParamError if a run that asks only for the rejects would ask for other rows too,
    BudgetExceeded if any but such a retry pass could cost more than a budget allows; then nothing has changed.
    """
    pipeline = read_pipeline(lake, folder)
    extracted = read_extracted(lake, folder)
    extracted_at = extracted.extracted_at
    ledger = Ledger(lake, pipeline=pipeline.name)
    with working_folder() as temporary:
        rows = temporary / "rows.parquet"
        fetch_rows(lake, folder, rows)
        needed = read_request_ids(rows)
        for _ in range(_TRIES):
            # The order matters: what lands after this look at the ledger is found in flight, what landed before it is
            # found in the result store. The other way round it might be found in neither, and paid twice.
            recorded = ledger.find_open()
            in_flight = find_in_flight(recorded, folder, ledger, lake)
            wanted = select_requests(pass_name, needed, rows, pipeline, folder, extracted_at, lake)
            divided = divide(wanted.request_ids, in_flight.chunks)
            sizes = read_sizes(divided.to_send, wanted.made, rows)
            first_ids = split_chunks(sizes, pipeline.limits)
            check_chunks(len(divided.join) + len(first_ids), most=most_chunks)
            # After the look at the ledger: what is not open any more is in the books.
            lines = read_usage(pipeline, lake)
            known = estimator(folder, pipeline, lines, extracted_at, lake)
            later = divide(wanted.later, in_flight.chunks).to_send
            estimates = _estimates(pass_name, sizes, later, rows, known)
            opened = recorded.value if recorded else None
            left_out = 0
            try:
                check_budgets(pipeline, folder, lines, opened, in_flight.entries, in_flight.over, estimates)
            except BudgetExceeded as error:
                if may_stop(pass_name, pipeline):
                    raise
                log.warning("Pass %s is left out, and the run goes on without it. %s", pass_name, error)
                left_out = len(divided.to_send)
                divided, first_ids = replace(divided, to_send=set(), take_over=[]), []
                estimates = _estimates(pass_name, SIZES_SCHEMA.empty_table(), set(), rows, known)
            del sizes  # a million of them are 50 MB, and writing takes some
            pa.default_memory_pool().release_unused()
            new = _new_chunks(divided.to_send, first_ids, wanted.failed_in, ledger)
            writers = _write_chunks(new, divided.to_send, wanted, rows, pipeline, temporary, folder, pass_name)
            try:
                reserved = known.shares_usd(pass_name, estimates[pass_name], [writer.sizes for writer in writers])
                keys = _commit(divided, writers, recorded, in_flight, folder, ledger, lake, reserved)
            except Conflict:
                continue
            made = PassPlan(
                chunks=keys,
                batches=list(wanted.batches),
                requests=len(needed),
                to_send=len(divided.to_send),
                in_flight=len(wanted.request_ids) - len(divided.to_send) - left_out,
                left_out=left_out,
                extracted_at=extracted_at,
                estimate=estimates[pass_name],
            )
            _write_plan(made, wanted, pass_name, folder, lake)
            log.info("%s", describe_plan(pass_name, made, joined=len(divided.join)))
            _tell_unread(pass_name, needed | wanted.request_ids, pipeline, folder, recorded, in_flight)
            if made.to_send:
                log.info("Expected cost, in US dollars:\n%s", cost_table(estimates))
            return keys
    raise LakeError(f"Other runs have planned {_TRIES} times at the same moment. Nothing was sent. Clear this task.")


def _tell_unread(
    pass_name: str,
    needed: Set[str],
    pipeline: Pipeline,
    folder: RunFolder,
    recorded: Recorded[OpenChunks] | None,
    in_flight: InFlightNow,
) -> None:
    """
    Warn of what was paid and this run does not read. Of others' batches with the first plan; of its own with the last,
    as a repair that was sent before a kill is nothing that the passes before it ask for.
    """
    limits = pipeline.settings.limits
    in_order = passes.names(canary_rows=limits.canary_rows, retry_passes=limits.retry_passes)
    if recorded is None or pass_name not in (in_order[0], in_order[-1]):
        return
    read = {chunk.chunk_id for chunk in in_flight.chunks if not chunk.request_ids.isdisjoint(needed)}
    day = layout.runs_of(folder.pipeline, folder.partition)
    now = datetime.now(UTC)
    for entry in find_unread(recorded.value.chunks, in_flight.entries, read=read | in_flight.over, day=day, now=now):
        if pass_name == in_order[-1 if entry.run_id == folder.run_id else 0]:
            log.warning("%s", describe_unread(entry, run_id=folder.run_id))


def _estimates(pass_name: str, sizes: pa.Table, later: Set[str], rows: Path, known: Estimator) -> dict[str, Estimate]:
    """
    What this pass costs, and what the main pass after it will for the requests ``later``, where it is the canary.

    :param sizes: of what it sends, in SIZES_SCHEMA
    """
    found = {pass_name: known.of(pass_name, sizes)}
    if later:
        found[passes.MAIN] = known.of(passes.MAIN, read_sizes(later, {}, rows))
    return found


def read_plans(lake: Lake, folder: RunFolder, extracted_at: datetime) -> dict[str, PassPlan]:
    """The plans of all of the run's passes, in their order; those of an earlier extract do not count."""
    names = [key.rpartition("/")[2].removesuffix(".json") for key in lake.list(folder.plans) if key.endswith(".json")]
    plans = {name: read_plan(lake, folder, name, extracted_at) for name in sorted(names, key=_order)}
    return {name: found for name, found in plans.items() if found}


def _order(pass_name: str) -> tuple[bool, bool, str]:
    return passes.is_retry(pass_name), pass_name != passes.CANARY, pass_name


def read_repairs(lake: Lake, folder: RunFolder, pass_names: Iterable[str]) -> pa.Table:
    """
    Which request was made anew as which repair in these passes: ``request_id``, ``repair_id`` and its ``depth``. An
    earlier version told no depth, and made no repair of a repair.
    """
    keys = [folder.repairs(name) for name in pass_names if passes.is_retry(name)]
    try:
        tables = [pq.read_table(pa.BufferReader(lake.read(key))) for key in keys]
    except (ObjectMissing, pa.ArrowInvalid) as error:
        raise LakeError(
            f"The repairs of run {folder.run_id} cannot be read ({', '.join(map(lake.locate, keys))}): {error}. Clear"
            " the `plan` of the retry pass: it writes them anew, and nothing is paid again.",
            retryable=False,
        ) from error
    for key, table in zip(keys, tables, strict=True):
        check_stamp(table.schema.metadata, lake.locate(key))
    together = pa.concat_tables([_REPAIRS_SCHEMA.empty_table(), *tables], promote_options="default")
    together = together.set_column(2, "depth", pc.fill_null(together["depth"], 1))
    return together.group_by(_REPAIRS_SCHEMA.names).aggregate([])


@dataclass(frozen=True, kw_only=True)
class _NewChunk:
    """
    A chunk that is about to be written.

    :param request_ids: sorted
    :param after: what its id tells of beside them: the batches that failed to answer them before, and the withdrawn
        chunks that had the same requests
    """

    request_ids: Sequence[str]
    after: Set[str]


def _new_chunks(
    to_send: Set[str], first_ids: Sequence[str], failed_in: Mapping[str, Set[str]], ledger: Ledger
) -> list[_NewChunk]:
    """
    The chunks as cut() has cut them. None has the id of a chunk that was withdrawn, which nobody sends any more.

    :param first_ids: the first id of each
    """
    ids = sorted(to_send)
    bounds = [*(bisect_left(ids, first) for first in first_ids), len(ids)]
    chunks = [
        _NewChunk(request_ids=part, after={batch for each in part for batch in failed_in.get(each, ())})
        for part in (ids[start:end] for start, end in pairwise(bounds))
    ]
    unsure = list(range(len(chunks)))
    while unsure:
        names = [chunk_id(chunks[number].request_ids, after=chunks[number].after) for number in unsure]
        withdrawn = {
            number: name
            for number, name, entry in zip(unsure, names, ledger.entries(names), strict=True)
            if entry and entry.state == "withdrawn"
        }
        for number, name in withdrawn.items():
            chunks[number] = replace(chunks[number], after=chunks[number].after | {name})
        unsure = list(withdrawn)
    return chunks


def _write_chunks(
    chunks: Sequence[_NewChunk],
    to_send: Set[str],
    wanted: Selection,
    rows: Path,
    pipeline: Pipeline,
    temporary: Path,
    folder: RunFolder,
    pass_name: str,
) -> list[ChunkWriter]:
    """Write the chunks to local files, so many at once as may be open: the rows are read again for each lot."""
    cached = pipeline.cached_prefix
    writers = [
        ChunkWriter(
            temporary / f"chunk-{number}.parquet",
            pipeline=pipeline.name,
            schema_text=pipeline.schema_text,
            after=chunk.after,
            partition=str(folder.partition),
            pass_name=pass_name,
            cached=cached,
        )
        for number, chunk in enumerate(chunks)
    ]
    for start in range(0, len(chunks), _OPEN_FILES):
        lot = slice(start, start + _OPEN_FILES)
        first_ids = [chunk.request_ids[0] for chunk in chunks[lot]]
        if len(chunks) > _OPEN_FILES:
            here: Set[str] = {request_id for chunk in chunks[lot] for request_id in chunk.request_ids}
        else:
            here = to_send
        with ExitStack() as open_writers:
            for writer in writers[lot]:
                open_writers.enter_context(writer)
            write = open_writers.enter_context(write_behind())
            for batch in _requests(here, wanted.made, rows):
                for number, part in _parts(batch, first_ids):
                    write(writers[start + number].write, part)
    return writers


def read_sizes(to_send: Set[str], made: Mapping[str, Request], rows: Path) -> pa.Table:
    """How large each of the requests is that are to be sent, in SIZES_SCHEMA."""
    return pa.Table.from_batches(map(sizes_of, _requests(to_send, made, rows)), SIZES_SCHEMA)


def _requests(to_send: Set[str], made: Mapping[str, Request], rows: Path) -> Iterator[pa.RecordBatch]:
    """The requests to be sent, each once, in portions: first those of the rows, then those that stand in none."""
    yield from read_requests(rows, to_send - made.keys() if made else to_send)
    anew = [asdict(request) for request_id, request in made.items() if request_id in to_send]
    yield pa.RecordBatch.from_pylist(anew, REQUESTS_SCHEMA)


def _parts(requests: pa.RecordBatch, first_ids: Sequence[str]) -> Iterator[tuple[int, pa.RecordBatch]]:
    """The requests of each chunk, with its number, in their order."""
    if len(first_ids) == 1:
        yield 0, requests
        return
    numbers = pa.array([chunk_number(request_id, first_ids) for request_id in requests["request_id"].to_pylist()])
    for number in numbers.unique().to_pylist():
        yield number, requests.filter(pc.equal(numbers, number))


def _commit(
    divided: Division,
    writers: list[ChunkWriter],
    recorded: Recorded[OpenChunks] | None,
    in_flight: InFlightNow,
    folder: RunFolder,
    ledger: Ledger,
    lake: Lake,
    reserved: Sequence[Decimal | None],
) -> list[str]:
    """
    Make the plan known to every other plan of the pipeline, and return the keys of the pass's chunks.

    Raises Conflict if another plan was made since the ledger was read: then nothing of this one counts.
    """
    joined = [layout.chunk(ledger.pipeline, chunk_id) for chunk_id in divided.join]
    made = [writer.upload(lake) for writer in writers]
    planned = {writer.chunk_id for writer in writers}
    forgotten = {chunk_id for chunk_id in in_flight.over if not was_sent(in_flight.entries[chunk_id])}
    withdrawn = {*divided.take_over, *forgotten} - planned
    before = recorded.value.chunks if recorded else {}
    # Before the plan counts: a chunk that can still be sent is open, and no two of them hold the same request.
    for each in sorted(withdrawn):
        _withdraw(each, before[each], folder.run_id, ledger, lake)
    now = datetime.now(UTC)
    chunks = {
        chunk_id: chunk for chunk_id, chunk in before.items() if chunk_id not in in_flight.over | withdrawn | planned
    }
    chunks |= {
        writer.chunk_id: OpenChunk(
            folder=folder.prefix,
            also_planned_by=_others(before.get(writer.chunk_id), folder),
            planned_at=now,
            expected_usd=usd,
        )
        for writer, usd in zip(writers, reserved, strict=True)
    }
    if chunks != before:
        ledger.write_open(OpenChunks(chunks=chunks), over=recorded)
    return [*joined, *made]


def _others(chunk: OpenChunk | None, folder: RunFolder) -> list[str]:
    """The other runs that have planned the same chunk, and may send it as well."""
    return [each for each in chunk.planned_by if each != folder.prefix] if chunk else []


def _withdraw(chunk_id: str, opened: OpenChunk, run_id: str, ledger: Ledger, lake: Lake) -> None:
    """From now on nobody sends this chunk. Raises Conflict if somebody has just begun to."""
    known = ledger.find(chunk_id)
    if known and known.value.state == "withdrawn":
        if known.value.was_open != opened:  # yet another run has planned it at the same moment
            ledger.write(known.value.model_copy(update={"was_open": opened}), over=known)
        return
    if known and was_sent(known.value):
        raise Conflict(f"Chunk {chunk_id} has just been sent.")
    now = datetime.now(UTC)
    key = layout.chunk(ledger.pipeline, chunk_id)
    if known:
        planned = known.value
    elif not lake.exists(key):
        return  # without its file nobody can send it
    else:
        requests = len(request_ids_of(lake, key))
        planned = Entry.planned(
            chunk_id=chunk_id, pipeline=ledger.pipeline, chunk=key, requests=requests, run_id=run_id, at=now
        )
    ledger.write(planned.becomes("withdrawn", at=now, run_id=run_id, was_open=opened), over=known)


def _write_plan(made: PassPlan, wanted: Selection, pass_name: str, folder: RunFolder, lake: Lake) -> None:
    if wanted.repairs is not None:
        lines = [
            {"request_id": repair.of, "repair_id": repair.request.request_id, "depth": repair.depth}
            for repair in wanted.repairs
        ]
        pq.write_table(pa.Table.from_pylist(lines, with_stamp(_REPAIRS_SCHEMA)), sink := pa.BufferOutputStream())
        lake.write(folder.repairs(pass_name), sink.getvalue().to_pybytes())
    lake.write(folder.plan_json(pass_name), made.model_dump_json(indent=1).encode())
