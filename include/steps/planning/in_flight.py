"""The chunks in flight: planned by any run of the pipeline, and their batches not loaded yet."""

from __future__ import annotations

from collections.abc import Mapping, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import pyarrow as pa

from include.enrichment.batches.ledger import UNSETTLED, Entry, OpenChunk, OpenChunks
from include.enrichment.batches.pass_plan import InFlight, is_closed
from include.enrichment.errors import LakeError
from include.enrichment.requests.request_ids import RequestIds
from include.enrichment.storage import layout
from include.enrichment.storage.layout import RunFolder
from include.gateways.lake import Lake
from include.gateways.ledger_store import Ledger, Recorded
from include.steps.files.chunk_files import request_ids_of

#: Each holds the ids of a chunk several times while it reads them, 2 MB for 100,000.
_READERS = 2


@dataclass(frozen=True, kw_only=True)
class InFlightNow:
    """
    The open chunks at this moment.

    :param recorded: the list of open chunks as it was read from the ledger
    :param entries: the ledger entry of each open chunk that has one
    :param over: the open chunks that may leave the list
    """

    recorded: Recorded[OpenChunks] | None
    chunks: list[InFlight]
    entries: Mapping[str, Entry | None]
    over: Set[str]

    @property
    def opened(self) -> Mapping[str, OpenChunk]:
        """The open chunks by id."""
        return self.recorded.value.chunks if self.recorded else {}

    def holding(self, request_ids: RequestIds) -> set[str]:
        """Return the open chunks with any of these requests."""
        return {chunk.chunk_id for chunk in self.chunks if not chunk.request_ids.isdisjoint(request_ids)}

    def is_asked(self, chunk_id: str) -> bool:
        """Return whether the open chunk is being asked synchronously."""
        entry = self.entries[chunk_id]
        return entry is not None and entry.state == "asking"

    def without_ids(self) -> InFlightNow:
        """Return the same without the chunks, which hold the ids of their requests."""
        return replace(self, chunks=[])


def find_in_flight(recorded: Recorded[OpenChunks] | None, folder: RunFolder, ledger: Ledger, lake: Lake) -> InFlightNow:
    """
    Read every open chunk.

    :param recorded: the pipeline's open chunks, from the ledger
    :param folder: the folder of the run that plans

    Raises LakeError if it is uncertain what is in flight or was paid for: then nothing may be sent.
    """
    opened = recorded.value.chunks if recorded else {}
    entries = dict(zip(opened, ledger.entries(list(opened)), strict=True))
    now = datetime.now(UTC)
    loaded = ledger.loaded_batches()
    _check_none_lost(loaded, entries, ledger, lake)
    over = {chunk_id for chunk_id, chunk in opened.items() if is_closed(chunk, entries[chunk_id], loaded, now=now)}
    live = [chunk_id for chunk_id in opened if chunk_id not in over]
    with ThreadPoolExecutor(_READERS) as readers:
        ids = readers.map(lambda chunk_id: _ids_in_flight(chunk_id, entries[chunk_id], ledger, lake), live)
    chunks = [
        InFlight(
            chunk_id=chunk_id,
            request_ids=request_ids,
            sent=(entry := entries[chunk_id]) is not None and entry.state != "planned",
            own=opened[chunk_id].planned_by == [folder.prefix],
        )
        for chunk_id, request_ids in zip(live, ids, strict=True)
    ]
    return InFlightNow(recorded=recorded, chunks=chunks, entries=entries, over=over)


def _check_none_lost(loaded: Set[str], entries: Mapping[str, Entry | None], ledger: Ledger, lake: Lake) -> None:
    """Raises LakeError if the outcomes of a batch were deleted and its raw copy was not: its answers were paid for."""
    received = {layout.batch_id_of(key) for key in lake.list(layout.raw_folder(ledger.pipeline))}
    loading = {entry.batch_id for entry in entries.values() if entry and entry.state != "landed"}
    lost = received - loaded - loading
    if lost:
        names = ", ".join(lake.locate(layout.results(ledger.pipeline, batch_id)) for batch_id in sorted(lost)[:3])
        raise LakeError(
            f"Outcomes were deleted while the raw copies still exist ({len(lost):,} of them): {names}."
            " Nothing was sent, as their requests would be billed again.\n"
            "Clear the `load` of the batch in any run that waited for it: it restores the outcomes from the raw copy."
            " To give up the answers, delete the raw copy.",
            retryable=True,  # another run may be loading it at this moment
        )


def _ids_in_flight(chunk_id: str, entry: Entry | None, ledger: Ledger, lake: Lake) -> RequestIds:
    key = layout.chunk(ledger.pipeline, chunk_id)
    try:
        found = request_ids_of(lake, key)
        pa.default_memory_pool().release_unused()  # of this thread, before another needs some
        return found
    except LakeError as error:  # the file is missing or damaged
        if error.retryable:
            raise
        if not was_sent(entry):
            return RequestIds()  # without its file nobody can send it
        raise LakeError(
            f"{error} Chunk {chunk_id} is {entry.state if entry else 'planned'} in the ledger, and its file is needed"
            " to know which requests are in flight. Nothing was sent. Restore the file, or give up its answers and pay"
            f" for them again: remove the chunk from {lake.locate(layout.open_chunks(ledger.pipeline))}.",
            retryable=False,
        ) from error


def was_sent(entry: Entry | None) -> bool:
    """Whether a batch was created for the chunk, or may have been, or it is asked synchronously."""
    return entry is not None and (entry.batch_id is not None or entry.state in UNSETTLED)
