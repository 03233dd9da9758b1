"""clean: delete the working files of old runs from the lake."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

from include.enrichment.batches.cleaning import (
    awaited_chunks,
    check_days,
    old_chunks,
    old_parts,
    old_raw,
    old_runs,
    old_transcripts,
)
from include.enrichment.batches.ledger import OpenChunk
from include.enrichment.storage import layout
from include.gateways.lake import Lake, Listed
from include.gateways.ledger_store import Ledger
from include.gateways.result_store import ResultStore
from include.gateways.uploads.upload_records import UploadRecords

_WRITERS = 16
#: The kind of what an evaluation leaves behind that was killed before its summary.
_EVALUATIONS = "cut evaluations"
_PARTS = "parts of answers"

#: Objects to delete, by kind, in the order in which they are deleted.
Old = Mapping[str, Sequence[Listed]]


def find_old(lake: Lake, *, days: int, raw_days: int | None = None) -> Old:
    """
    Find objects that are older than ``days`` and no longer needed: working files of runs that have ended, chunk files
    whose batches were loaded, parts of synchronous answers that were loaded, records of uploaded files that the API has
    deleted, and files of evaluations that ended before their summary. With ``raw_days`` also raw copies and transcripts
    of that age whose outcomes are in the result store. Nothing else is ever deleted.

    Deletes nothing itself. Raises SpecError for an age that the files of an unfinished run may have.
    """
    for age in (days, raw_days):
        if age is not None:
            check_days(age)
    now = datetime.now(UTC)
    kinds = (
        "runs",
        "their working files",
        "chunk files",
        _PARTS,
        "records of uploads",
        _EVALUATIONS,
        "raw copies",
        "transcripts",
    )
    found: dict[str, list[Listed]] = {kind: [] for kind in kinds}
    for pipeline in _pipelines(lake):
        in_flight = _in_flight(lake, pipeline, now=now, days=days)
        for listed in _of_runs(lake, pipeline, in_flight, now=now, days=days):
            # Without its first file no task of a run starts: a cleared task says that `extract` has to run again.
            first = listed.key == f"{layout.run_folder_of(listed.key)}pipeline.json"
            found["runs" if first else "their working files"].append(listed)
        found["chunk files"] += _of_chunks(lake, pipeline, in_flight, now=now, days=days)
        found[_PARTS] += _of_parts(lake, pipeline, now=now, days=days)
        found["records of uploads"] += _of_uploads(lake, pipeline, now=now, days=days)
        found[_EVALUATIONS] += _of_evaluations(lake, pipeline, now=now, days=days)
        if raw_days is not None:
            found["raw copies"] += _of_raw(lake, pipeline, now=now, days=raw_days)
            found["transcripts"] += _of_transcripts(lake, pipeline, now=now, days=raw_days)
    return found


def clean(lake: Lake, old: Old) -> int:
    """
    Delete what find_old() has found, and return the number of deleted objects.

    It may be killed at any point and may run next to runs and other cleaners: an object that was written again since it
    was found stays.
    """
    with ThreadPoolExecutor(_WRITERS) as writers:
        return sum(sum(writers.map(lake.delete, objects)) for objects in old.values())


def _pipelines(lake: Lake) -> list[str]:
    """Every pipeline with objects that could be deleted."""
    kinds = ("runs/", "chunks/", "raw/", layout.UPLOADS_FOLDER, layout.EVALUATIONS_FOLDER, layout.TRANSCRIPTS_FOLDER)
    return sorted({listed.key.split("/")[1] for kind in kinds for listed in lake.objects(kind)})


def _in_flight(lake: Lake, pipeline: str, *, now: datetime, days: int) -> dict[str, OpenChunk]:
    """The open chunks that some run waits for."""
    ledger = Ledger(lake, pipeline=pipeline)
    opened = ledger.open_chunks()
    entries = dict(zip(opened, ledger.entries(list(opened)), strict=True))
    return awaited_chunks(opened, entries, _loaded(lake, pipeline), now=now, days=days)


def _loaded(lake: Lake, pipeline: str) -> dict[str, datetime]:
    """When the outcomes of each loaded batch were written."""
    stored = lake.objects(layout.results_folder(pipeline))
    return {layout.batch_id_of(each.key): each.changed_at for each in stored if layout.is_batch_file(each.key)}


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


def _of_parts(lake: Lake, pipeline: str, *, now: datetime, days: int) -> Iterator[Listed]:
    parts: defaultdict[str, list[Listed]] = defaultdict(list)
    for listed in lake.objects(layout.asked_folder(pipeline)):
        parts[layout.asked_chunk_of(listed.key)].append(listed)
    entries = dict(zip(parts, Ledger(lake, pipeline=pipeline).entries(list(parts)), strict=True))
    written = {chunk_id: max(each.changed_at for each in of_chunk) for chunk_id, of_chunk in parts.items()}
    for chunk_id in sorted(old_parts(written, entries, _loaded(lake, pipeline), now=now, days=days)):
        yield from parts[chunk_id]


def _of_uploads(lake: Lake, pipeline: str, *, now: datetime, days: int) -> Iterator[Listed]:
    listed = {each.key: each for each in lake.objects(layout.uploads_folder(pipeline))}
    old = [key for key, each in listed.items() if each.changed_at < now - timedelta(days=days)]
    for key, recorded in zip(old, UploadRecords(lake, pipeline=pipeline).read(old), strict=True):
        if recorded and recorded.value.is_over(now=now):
            yield listed[key]


def _of_raw(lake: Lake, pipeline: str, *, now: datetime, days: int) -> Iterator[Listed]:
    found = {layout.batch_id_of(listed.key): listed for listed in lake.objects(layout.raw_folder(pipeline))}
    files = {batch_id: listed for batch_id, listed in found.items() if listed.key == layout.raw(pipeline, batch_id)}
    written = {batch_id: listed.changed_at for batch_id, listed in files.items()}
    for batch_id in sorted(old_raw(written, _loaded(lake, pipeline).keys(), now=now, days=days)):
        yield files[batch_id]


def _of_transcripts(lake: Lake, pipeline: str, *, now: datetime, days: int) -> Iterator[Listed]:
    steps: defaultdict[str, list[Listed]] = defaultdict(list)
    for listed in lake.objects(layout.transcripts_folder(pipeline)):
        steps[layout.request_of_transcript(listed.key)].append(listed)
    last_written = {row: max(each.changed_at for each in found) for row, found in steps.items()}
    old = old_transcripts(last_written, now=now, days=days)
    for row in ResultStore(lake, pipeline=pipeline).look_up(old).paid:
        yield from steps[row]


def _of_evaluations(lake: Lake, pipeline: str, *, now: datetime, days: int) -> Iterator[Listed]:
    files: defaultdict[str, list[Listed]] = defaultdict(list)
    for listed in lake.objects(layout.evaluations_folder(pipeline)):
        files[layout.evaluation_of(listed.key).summary_json].append(listed)
    for summary, of_evaluation in files.items():
        newest = max(each.changed_at for each in of_evaluation)
        if newest < now - timedelta(days=days) and all(each.key != summary for each in of_evaluation):
            yield from of_evaluation
