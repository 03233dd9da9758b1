"""The remainder of a chunk, when another plan took over some of its requests before it was sent."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

from include.enrichment.batches.ledger import Entry, OpenChunk, OpenChunks
from include.enrichment.errors import LakeError, NotSent
from include.enrichment.requests.chunk import chunk_id
from include.enrichment.requests.request_ids import RequestIds
from include.enrichment.storage import layout
from include.enrichment.storage.layout import RunFolder
from include.gateways.disk import working_folder
from include.gateways.lake import Conflict, Lake
from include.gateways.ledger_store import Ledger, Recorded
from include.gateways.result_store import ResultStore
from include.steps.files.chunk_files import Chunk, ChunkWriter, read_part
from include.steps.planning.in_flight import find_in_flight

log = logging.getLogger(__name__)

_TRIES = 20


def write_remainder(chunk: Chunk, withdrawn: Entry, *, run_id: str, ledger: Ledger, lake: Lake) -> str:
    """
    Write the requests of a withdrawn chunk that nobody took over as a new chunk, and return its key. If it was written
    before, only return the key.

    The new chunk is open and planned by this run, and the entry of the withdrawn one points to it. The run's next pass
    waits for the requests that were taken over, or plans them.

    Raises NotSent if nothing is left, if this run did not plan the chunk, or if it has planned again since.
    """
    for _ in range(_TRIES):
        recorded, known = ledger.find_open(), ledger.find(chunk.chunk_id)
        withdrawn = known.value if known else withdrawn
        if withdrawn.remainder:
            return layout.chunk(ledger.pipeline, withdrawn.remainder)
        folder = _planned_by(run_id, withdrawn, recorded)
        left = _left(chunk, recorded, folder, ledger, lake) if folder else RequestIds()
        if not left or folder is None or known is None:
            raise NotSent(
                f"Chunk {chunk.chunk_id} ({len(chunk.request_ids):,} requests) was never sent. Run {withdrawn.run_id}"
                f" took it over at {withdrawn.changed_at:%Y-%m-%d %H:%M:%S} UTC, and this run has nothing left to send."
                " The next pass of this run waits for the requests that others have sent, and plans the rest."
            )
        try:
            return _make(chunk, left, folder, recorded, known, ledger, lake)
        except Conflict:
            continue
    raise LakeError(f"Other runs planned at the same moment {_TRIES} times. Nothing was sent. Clear this task.")


def _planned_by(run_id: str, withdrawn: Entry, recorded: Recorded[OpenChunks] | None) -> RunFolder | None:
    """
    The folder of the run, if it planned the chunk before it was withdrawn, or at the same moment. None for a run that
    has planned again since: its new chunks hold all that it still needs.
    """
    if withdrawn.run_id == run_id:
        return None
    still_open = recorded.value.chunks.get(withdrawn.chunk_id) if recorded else None
    planned_by = [prefix for each in (withdrawn.was_open, still_open) if each for prefix in each.planned_by]
    return layout.folder_of_run(planned_by, run_id)


def _left(
    chunk: Chunk, recorded: Recorded[OpenChunks] | None, folder: RunFolder, ledger: Ledger, lake: Lake
) -> RequestIds:
    """The chunk's requests that are neither in another open chunk nor answered."""
    left = RequestIds(chunk.request_ids)
    for other in find_in_flight(recorded, folder, ledger, lake).chunks:
        # A chunk of this run and of this id was written here, by a process that died before it recorded it. Any other
        # chunk that the run has planned since is sent on its own.
        made_here = other.own and other.chunk_id == chunk_id(
            other.request_ids, after=[chunk.chunk_id], synchronous=chunk.synchronous
        )
        if other.sent or not made_here:
            left -= other.request_ids
    return left - ResultStore(lake, pipeline=ledger.pipeline).look_up(left).paid


def _make(
    chunk: Chunk,
    left: RequestIds,
    folder: RunFolder,
    recorded: Recorded[OpenChunks] | None,
    known: Recorded[Entry],
    ledger: Ledger,
    lake: Lake,
) -> str:
    """Raises Conflict if another run has planned, or has written the remainder, in the meantime."""
    with working_folder() as temporary:
        writer = ChunkWriter(
            temporary / "remainder.parquet",
            pipeline=chunk.pipeline,
            schema_text=chunk.schema_text,
            after=[chunk.chunk_id],
            partition=chunk.partition,
            pass_name=chunk.pass_name,
            cached=chunk.cached,
            attachments_connection=chunk.attachments_connection,
            variant=chunk.variant,
            synchronous=chunk.synchronous,
        )
        with writer:
            for requests in read_part(lake, chunk, left.array):
                writer.write(requests)
        key = writer.upload(lake)
    # It costs no more than the whole chunk would have.
    usd = known.value.was_open.expected_usd if known.value.was_open else None
    opened = OpenChunk(folder=folder.prefix, planned_at=datetime.now(UTC), expected_usd=usd)
    before = recorded.value.chunks if recorded else {}
    ledger.write_open(OpenChunks(chunks={**before, writer.chunk_id: opened}), over=recorded)
    ledger.write(known.value.with_remainder(writer.chunk_id), over=known)
    log.warning(
        "Run %s took over %s of the %s requests of chunk %s before it was sent; the rest becomes chunk %s",
        known.value.run_id,
        f"{len(chunk.request_ids) - len(left):,}",
        f"{len(chunk.request_ids):,}",
        chunk.chunk_id,
        writer.chunk_id,
    )
    return key
