"""The audit after all runs: each source row, each billed batch, and each object on the lake."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

import pyarrow.parquet as pq

from include.cli.output.published_day import read_published, stack_lake, unaccounted
from include.enrichment.runs.partition import Partition
from include.enrichment.storage import layout
from include.stack.stack import Stack
from tests.chaos.stack_boot import PIPELINE, ChaosStack


@dataclass(frozen=True, kw_only=True)
class Day:
    """
    The rows of one run's day.

    :param lost: source rows that are not published or rejected exactly once, each with its number of occurrences
    """

    rows: int
    published: int
    rejected: int
    lost: list[str]


def audit_day(stack: Stack, day: date, keys: Sequence[str]) -> Day:
    """Compare the day's rows in the warehouse with those on the lake; without a manifest all are lost."""
    found = read_published(stack, PIPELINE, Partition(start=day))
    if found is None:
        return Day(rows=len(keys), published=0, rejected=0, lost=[f"{key}: not published" for key in keys])
    lost = unaccounted(keys, found, "ticket")
    counted = (found.table.num_rows, found.rejects.num_rows)
    stated = (found.manifest.published, found.manifest.rejected)
    if counted != stated:
        lost.append(f"{day}: the manifest says {stated}, the objects have {counted}")
    return Day(rows=len(keys), published=counted[0], rejected=counted[1], lost=lost)


def orphans(chaos: ChaosStack) -> list[str]:
    """Return the billed batches whose results are not on the lake."""
    loaded = {layout.batch_id_of(path) for path in stack_lake(chaos.stack).list(layout.results_folder(PIPELINE))}
    billed = [batch for batch in chaos.emulator.batches_made() if batch["succeeded"] or not batch["ended"]]
    return [str(batch["id"]) for batch in billed if batch["id"] not in loaded]


def recorded_and_billed(chaos: ChaosStack) -> tuple[Decimal | None, Decimal]:
    """Return the cost of all batches by the usage records (None if a batch has two) and by the API's bills."""
    lake = stack_lake(chaos.stack)
    files = [io.BytesIO(lake.read(key)) for key in lake.list(layout.USAGE_FOLDER)]
    records = [record for file in files for record in pq.read_table(file).to_pylist()]
    unique = len(records) == len({record["batch_id"] for record in records})
    recorded = sum((record["cost_usd"] for record in records), Decimal()) if unique else None
    return recorded, Decimal(chaos.emulator.bills()["usd"])
