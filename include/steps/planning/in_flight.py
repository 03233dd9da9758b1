"""What is in flight: the requests in chunks of the pipeline that were planned and whose batches have not landed yet."""

from __future__ import annotations

from collections.abc import Mapping, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime

from include.enrichment.batches.ledger import UNSETTLED, Entry, OpenChunks
from include.enrichment.batches.pass_plan import InFlight, is_closed
from include.enrichment.errors import LakeError
from include.enrichment.storage import layout
from include.enrichment.storage.layout import RunFolder
from include.gateways.lake import Lake
from include.gateways.ledger_store import Ledger, Recorded
from include.steps.files.chunk_files import request_ids_of

_READERS = 8


@dataclass(frozen=True, kw_only=True)
class InFlightNow:
    """
    The open chunks.

    :param entries: their ledger entries, as far as there are any
    :param over: those of them that need not be listed any more
    """

    chunks: list[InFlight]
    entries: Mapping[str, Entry | None]
    over: Set[str]


def find_in_flight(recorded: Recorded[OpenChunks] | None, folder: RunFolder, ledger: Ledger, lake: Lake) -> InFlightNow:
    """
    Look at every open chunk.

    :param recorded: the pipeline's open chunks, from the ledger
    :param folder: of the run that plans

    Raises LakeError where it cannot be told what is in flight, or was paid for: then nothing may be sent.
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
            request_ids=frozenset(request_ids),
            sent=(entry := entries[chunk_id]) is not None and entry.state != "planned",
            own=opened[chunk_id].planned_by == [folder.prefix],
        )
        for chunk_id, request_ids in zip(live, ids, strict=True)
    ]
    return InFlightNow(chunks=chunks, entries=entries, over=over)


def _check_none_lost(loaded: Set[str], entries: Mapping[str, Entry | None], ledger: Ledger, lake: Lake) -> None:
    """Raises LakeError if the outcomes of a batch were deleted of which there is a raw copy: they were paid for."""
    received = {layout.batch_id_of_raw(key) for key in lake.list(layout.raw_folder(ledger.pipeline))}
    loading = {entry.batch_id for entry in entries.values() if entry and entry.state != "landed"}
    lost = received - loaded - loading
    if lost:
        names = ", ".join(lake.locate(layout.results(ledger.pipeline, batch_id)) for batch_id in sorted(lost)[:3])
        raise LakeError(
            f"Outcomes are gone of which raw copies of the results are there (batches: {len(lost):,}): {names}."
            " Nothing was sent: their requests would be paid for again. Clear the `load` of the batch, in any run that"
            " waited for it: it makes the outcomes anew from the raw copy. Or delete the raw copy, to give the answers"
            " up.",
            retryable=True,  # another run may just be loading it
        )


def _ids_in_flight(chunk_id: str, entry: Entry | None, ledger: Ledger, lake: Lake) -> list[str]:
    key = layout.chunk(ledger.pipeline, chunk_id)
    try:
        return request_ids_of(lake, key)
    except LakeError as error:  # it is gone, or damaged
        if error.retryable:
            raise
        if not was_sent(entry):
            return []  # nobody can send it any more
        raise LakeError(
            f"{error} Chunk {chunk_id} is {entry.state if entry else 'planned'} in the ledger, and without its file"
            " nobody can tell what is in flight. Nothing was sent. Restore the file; or, to give its answers up and pay"
            f" for them again, take the chunk out of {lake.locate(layout.open_chunks(ledger.pipeline))}.",
            retryable=False,
        ) from error


def was_sent(entry: Entry | None) -> bool:
    """Whether a batch was made of the chunk, or may have been."""
    return entry is not None and (entry.batch_id is not None or entry.state in UNSETTLED)
