"""The invariants of a world: what must hold when all of its runs have ended, no matter what was killed."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from include.enrichment.answers.manifest import Manifest
from include.enrichment.answers.outcome import is_paid
from include.enrichment.batches.ledger import Entry, OpenChunks
from include.enrichment.batches.usage import USAGE_SCHEMA
from include.enrichment.documents.upload import Upload
from include.enrichment.errors import LakeError
from include.enrichment.runs.passes import MAIN
from include.enrichment.storage import layout
from include.gateways.lake import Lake
from tests.chaos.kill_points.run import Run
from tests.chaos.kill_points.world import World
from tests.chaos.objects import damaged_objects
from tests.fixtures.flow import DAY

_PIPELINE = "tickets"
#: Where a partition's rows are; each row is in one of them, and a pipeline may lack the last.
_ROOMS = ("tables", "rejects", "samples")
_LAST_BATCH_SECONDS = 600


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """
    The outcome of one world: the counts of a Finding, and a line per problem.

    :param kills: how many processes were killed
    """

    rows_lost: int = 0
    billed_twice: int = 0
    orphans: int = 0
    kills: int = 0
    problems: list[str] = field(default_factory=list)


def check(world: World, *, killed: int, rejected: int = 0) -> Outcome:
    """
    Check lake and API when all runs have ended, after one more run has planned and found nothing to do.

    :param killed: how many processes were killed
    :param rejected: how many rows may be rejects, apart from those that fail a check
    """
    world.emulator.set_faults([])
    made = _all_ended(world)
    foreign = world.foreign_batches()
    lost, problems = _lost_rows(world, rejected)
    later = Run(world=world, run_id="one_more")
    later.extract()
    if chunks := later.plan(MAIN):
        problems.append(f"a later run would send or wait for {len(chunks)} chunk(s)")
    ours = {str(batch["id"]): batch for batch in made if batch["id"] not in foreign}
    loaded = {layout.batch_id_of(key) for key in world.lake.list(layout.results_folder(_PIPELINE))}
    if taken := loaded & foreign:
        problems.append(f"{len(taken)} batch(es) of another program were loaded")
    if canceled := [call["path"] for call in world.emulator.log()["calls"] if "/cancel" in call["path"]]:
        problems.append(f"canceled: {', '.join(canceled)}")
    # A batch with answers is billed even if nobody downloads them.
    orphans = [batch_id for batch_id, batch in ours.items() if batch_id not in loaded and _is_billed(batch)]
    problems += [f"batch {batch_id} was paid and never loaded" for batch_id in orphans]
    twice = billed_twice(world)
    if world.kind.open_requests:
        problems += _wrong_books_of_asked(world, twice, killed)
    else:
        problems += [f"{twice} request(s) were billed again"] if twice else []
        problems += _wrong_usage_records(world, foreign)
    if world.kind.judged:  # all of whose scenarios leave the tickets as they are
        problems += _wrong_costs(world)
    broken = half_done(world)
    problems += broken
    problems += _unsettled(world.lake, foreign)
    problems += [f"file {name} is left" for name in world.files_left()]
    return Outcome(
        rows_lost=lost,
        billed_twice=twice,
        orphans=len(orphans) + len(broken),
        kills=killed,
        problems=problems,
    )


def half_done(world: World) -> list[str]:
    """Return the problems that a reader of the lake must never see, even right after a process has died."""
    lake = world.lake
    raw = {key.rpartition("/")[2].removesuffix(".jsonl.zst") for key in lake.list(f"raw/{_PIPELINE}/")}
    loaded = {layout.batch_id_of(key) for key in lake.list(layout.results_folder(_PIPELINE))}
    found = [f"batch {batch_id} has outcomes, but no raw results" for batch_id in loaded - raw]
    found += [
        f"batch {batch_id} has outcomes, but no usage record" for batch_id in loaded - recorded_costs(lake).keys()
    ]
    found += damaged_objects(lake)[1]
    found += [f"nobody knows file {name}" for name in set(world.files_left()) - _known_files(lake)]
    if lake.exists(layout.manifest(_PIPELINE, DAY)):
        try:
            found += _lost_rows(world, len(world.keys()))[1]
        except LakeError as error:
            found.append(f"there is a manifest, but: {error}")
    return found


def _known_files(lake: Lake) -> set[str]:
    """Return the names of the files that a record says may exist."""
    records = [Upload.model_validate_json(lake.read(key)) for key in lake.list(layout.uploads_folder(_PIPELINE))]
    return {name for record in records if record.state != "deleted" for name in record.names}


def recorded_costs(lake: Lake) -> dict[str, Decimal | None]:
    """Return the cost of each batch by its usage record."""
    usage_records = pa.concat_tables(
        [
            USAGE_SCHEMA.empty_table(),
            *(pq.read_table(pa.BufferReader(lake.read(key))) for key in lake.list(layout.USAGE_FOLDER)),
        ]
    ).to_pylist()
    batches = {record["batch_id"] for record in usage_records}
    assert len(usage_records) == len(batches), "a batch has two usage records"
    return {record["batch_id"]: record["cost_usd"] for record in usage_records}


def _wrong_usage_records(world: World, foreign: set[str]) -> Iterator[str]:
    """Yield a problem per batch whose recorded cost differs from the API's bill."""
    billed = {bill["id"]: Decimal(bill["usd"]) for bill in world.emulator.bills()["bills"] if bill["id"] not in foreign}
    recorded = recorded_costs(world.lake)
    for batch_id in sorted({*billed, *recorded}):
        if (billed_usd := billed.get(batch_id, Decimal())) != (recorded_usd := recorded.get(batch_id)):
            yield f"batch {batch_id} is billed ${billed_usd:f}, but its usage record says ${recorded_usd}"


def _wrong_books_of_asked(world: World, twice: int, killed: int) -> Iterator[str]:
    """
    Yield a problem if a killed process lost more answers than it may have requests open, or if the books are not the
    bill. They lack the lost answers.
    """
    if twice > killed * world.kind.open_requests:
        yield f"{twice} request(s) were billed again, for {killed} kill(s)"
    billed, recorded = world.emulator.billed_usd(), sum(filter(None, recorded_costs(world.lake).values()), Decimal())
    if recorded > billed or (not twice and recorded != billed):
        yield f"${billed} is billed, and the usage records say ${recorded}"
    if left := world.lake.list("asked/"):
        yield f"{len(left)} part(s) of loaded chunks are left"


def billed_twice(world: World) -> int:
    """
    Count the billings of a request beyond its first, as the API does: the same content is the same request. Samples
    have the same content, so with these the results are counted instead, by the id of the request.
    """
    if not world.kind.sampled:
        return int(world.emulator.bills()["billed_twice"])
    paid: list[str] = []
    for key in world.lake.list(layout.results_folder(_PIPELINE)):
        lines = pq.read_table(pa.BufferReader(world.lake.read(key)), columns=["request_id", "outcome"]).to_pylist()
        paid += [line["request_id"] for line in lines if is_paid(line["outcome"])]
    return len(paid) - len(set(paid))


def _all_ended(world: World) -> list[dict[str, object]]:
    """Wait until every batch has ended, because only then it is billed, and return all batches."""
    deadline = time.monotonic() + _LAST_BATCH_SECONDS
    while not all(batch["ended"] for batch in world.emulator.batches_made()):
        if time.monotonic() > deadline:
            raise AssertionError(f"Some batches have not ended within {_LAST_BATCH_SECONDS} s.")
        time.sleep(0.05)
    return world.emulator.batches_made()


def _is_billed(batch: dict[str, object]) -> bool:
    return bool(batch["succeeded"])


def _lost_rows(world: World, rejected: int) -> tuple[int, list[str]]:
    """
    Count the rows that the partition's objects do not hold exactly once, or reject without need, and list the problems.

    :param rejected: how many rows may be rejects, apart from those that fail a check
    """
    lake, expected = world.lake, world.keys()
    manifest = Manifest.model_validate_json(lake.read(layout.manifest(_PIPELINE, DAY)))
    rows = {room: _read_rows(lake, room) for room in _ROOMS if room != "samples" or not world.kind.escalated}
    everything = [row for found in rows.values() for row in found]
    keys = [tuple(row[name] for name in world.kind.key) for row in everything]
    needless = [row for row in rows["rejects"] if not (world.kind.judged and row["reason"].startswith("check "))]
    problems = []
    if Counter(keys) != Counter(expected):
        problems.append(f"{len(keys)} rows, {len(set(keys))} of them distinct, of {len(expected)} are on the lake")
    stated = {"tables": manifest.published, "rejects": manifest.rejected, "samples": manifest.not_kept}
    if manifest.rows != len(expected) or any(len(found) != stated[room] for room, found in rows.items()):
        problems.append(f"the manifest says {manifest.rows}, {stated}; { ({room: len(rows[room]) for room in rows}) }")
    if (
        manifest.samples
        and len({row["ticket"] for row in rows["tables"]}) < len(rows["tables"])
        and not world.kind.judged
    ):
        problems.append("a ticket is published twice")
    if world.kind.escalated and manifest.escalated != len(_read_rows(lake, "samples")):
        problems.append(f"{manifest.escalated} rows are escalated, but not as many have another answer")
    if len(needless) > rejected:
        problems.append(f"{len(needless)} rows were rejected: {manifest.rejected_by}")
    if world.kind.carried and any(row["body"] != world.tickets()[row["ticket"]] for row in everything):
        problems.append("a row has the carried text of another ticket")
    return len({*expected} - {*keys}) + max(0, len(needless) - rejected), problems


def _read_rows(lake: Lake, room: str) -> list[dict[str, Any]]:
    key = f"{room}/{_PIPELINE}/dt={DAY}/data.parquet"
    return pq.read_table(pa.BufferReader(lake.read(key))).to_pylist() if lake.exists(key) else []


def _wrong_costs(world: World) -> Iterator[str]:
    """Yield a problem if the cost of the partition's rows is not what its batches cost by the usage records."""
    manifest = Manifest.model_validate_json(world.lake.read(layout.manifest(_PIPELINE, DAY)))
    recorded = sum((cost or Decimal() for cost in recorded_costs(world.lake).values()), Decimal())
    of_rows = sum((row["_cost_usd"] for room in _ROOMS for row in _read_rows(world.lake, room)), Decimal())
    if not of_rows == recorded == manifest.partition_cost_usd:
        yield f"the rows cost ${of_rows}, the manifest says ${manifest.partition_cost_usd}, the records ${recorded}"


def _unsettled(lake: Lake, foreign: set[str]) -> Iterator[str]:
    """Yield the ledger's open entries, although no run is left."""
    opened = OpenChunks.model_validate_json(lake.read(layout.open_chunks(_PIPELINE))).chunks
    if opened:
        yield f"the ledger still has {len(opened)} open chunk(s)"
    keys = [key for key in lake.list(f"ledger/{_PIPELINE}/") if key != layout.open_chunks(_PIPELINE)]
    entries = [Entry.model_validate_json(lake.read(key)) for key in keys]
    for entry in entries:
        if entry.state not in ("landed", "withdrawn"):
            yield f"chunk {entry.chunk_id} is {entry.state}"
        if entry.batch_id in foreign:
            yield f"chunk {entry.chunk_id} has another program's batch"
    batches = [entry.batch_id for entry in entries if entry.batch_id]
    if len(batches) != len(set(batches)):
        yield "two chunks have one batch"
