"""clean: working files of runs that have ended long ago leave the lake."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from include.enrichment.batches.cleaning import check_days, old_chunks, old_raw, old_runs, waited_for
from include.enrichment.batches.ledger import OpenChunk
from include.enrichment.storage import layout
from include.gateways.lake import Lake, Listed
from include.gateways.ledger_store import Ledger

_WRITERS = 16


#: What can be deleted, by what it is, in the order in which it is deleted.
Old = Mapping[str, Sequence[Listed]]


def find_old(lake: Lake, *, days: int, raw_days: int | None = None) -> Old:
    """
    What of the lake is older than so many days and no longer needed: working files of runs that have ended, and chunk
    files whose batches were loaded. Never anything else; raw copies only where ``raw_days`` says from which age on, and
    only of batches whose outcomes are in the result store.

    Reads, and deletes nothing. Raises SpecError for an age that the files of a run may have that is still going.
    """
    for age in (days, raw_days):
        if age is not None:
            check_days(age)
    now = datetime.now(UTC)
    found: dict[str, list[Listed]] = {"runs": [], "their working files": [], "chunk files": [], "raw copies": []}
    for pipeline in _pipelines(lake):
        in_flight = _in_flight(lake, pipeline, now=now, days=days)
        for listed in _of_runs(lake, pipeline, in_flight, now=now, days=days):
            # Without its first file no task of a run begins: whoever clears one is told to extract anew.
            first = listed.key == f"{layout.run_folder_of(listed.key)}pipeline.json"
            found["runs" if first else "their working files"].append(listed)
        found["chunk files"] += _of_chunks(lake, pipeline, in_flight, now=now, days=days)
        if raw_days is not None:
            found["raw copies"] += _of_raw(lake, pipeline, now=now, days=raw_days)
    return found


def clean(lake: Lake, old: Old) -> int:
    """
    Delete what find_old() has found, and return how many objects were deleted.

    It may be killed at any point, and others may do the same or run meanwhile: what was written anew since it was found
    stays.
    """
    with ThreadPoolExecutor(_WRITERS) as writers:
        return sum(sum(writers.map(lake.delete, objects)) for objects in old.values())


def _pipelines(lake: Lake) -> list[str]:
    """Every pipeline that has left anything that could be deleted."""
    kinds = ("runs/", "chunks/", "raw/")
    return sorted({listed.key.split("/")[1] for kind in kinds for listed in lake.objects(kind)})


def _in_flight(lake: Lake, pipeline: str, *, now: datetime, days: int) -> dict[str, OpenChunk]:
    """The open chunks that some run waits for."""
    ledger = Ledger(lake, pipeline=pipeline)
    opened = recorded.value.chunks if (recorded := ledger.find_open()) else {}
    entries = dict(zip(opened, ledger.entries(list(opened)), strict=True))
    return waited_for(opened, entries, _loaded(lake, pipeline), now=now, days=days)


def _loaded(lake: Lake, pipeline: str) -> dict[str, datetime]:
    """When the outcomes were written, by batch, of all that are in the result store."""
    stored = lake.objects(layout.results_folder(pipeline))
    return {layout.batch_id_of(each.key): each.changed_at for each in stored if layout.is_results(each.key)}


def _of_runs(
    lake: Lake, pipeline: str, in_flight: Mapping[str, OpenChunk], *, now: datetime, days: int
) -> Iterator[Listed]:
    runs: defaultdict[str, list[Listed]] = defaultdict(list)
    for listed in lake.objects(layout.runs_folder(pipeline)):
        if listed.key.startswith(folder := layout.run_folder_of(listed.key)):
            runs[folder].append(listed)
    last_written = {folder: max(each.changed_at for each in files) for folder, files in runs.items()}
    for folder in sorted(old_runs(last_written, in_flight.values(), now=now, days=days)):
        yield from runs[folder]


def _of_chunks(
    lake: Lake, pipeline: str, in_flight: Mapping[str, OpenChunk], *, now: datetime, days: int
) -> Iterator[Listed]:
    found = {layout.chunk_id_of(listed.key): listed for listed in lake.objects(layout.chunks_folder(pipeline))}
    files = {chunk_id: listed for chunk_id, listed in found.items() if listed.key == layout.chunk(pipeline, chunk_id)}
    entries = dict(zip(files, Ledger(lake, pipeline=pipeline).entries(list(files)), strict=True))
    written = {chunk_id: listed.changed_at for chunk_id, listed in files.items()}
    loaded = _loaded(lake, pipeline)
    for chunk_id in sorted(old_chunks(written, entries, in_flight, loaded, now=now, days=days)):
        yield files[chunk_id]


def _of_raw(lake: Lake, pipeline: str, *, now: datetime, days: int) -> Iterator[Listed]:
    found = {layout.batch_id_of_raw(listed.key): listed for listed in lake.objects(layout.raw_folder(pipeline))}
    files = {batch_id: listed for batch_id, listed in found.items() if listed.key == layout.raw(pipeline, batch_id)}
    written = {batch_id: listed.changed_at for batch_id, listed in files.items()}
    for batch_id in sorted(old_raw(written, _loaded(lake, pipeline).keys(), now=now, days=days)):
        yield files[batch_id]
