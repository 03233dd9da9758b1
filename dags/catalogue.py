"""Categorise the products that changed yesterday, every night at 02:00 UTC.

Reads one day of `products`, asks Claude for category, audience, pitch, keywords and network need, and replaces that day
of `tables/catalogue` on the lake. What it asks is in `include/pipelines/catalogue`.

Triage: clearing any task is safe. A cleared `submit` finds the batch that it has already paid for, a cleared `wait`
waits on, a cleared `publish` writes the same object. If `publish` says that too many rows were rejected, read the
rejects it names first.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from airflow.sdk import CronDataIntervalTimetable, dag

from claude_batch.params import PARTITION
from claude_batch.task_group import enrich
from include.dag_defaults import NIGHTLY


@dag(
    dag_id=Path(__file__).stem,
    schedule=CronDataIntervalTimetable("0 2 * * *", timezone="UTC"),
    start_date=datetime(2026, 10, 20, tzinfo=UTC),
    params=PARTITION,
    doc_md=__doc__,
    tags=["claude-batch"],
    **NIGHTLY,
)
def nightly() -> None:
    enrich("catalogue")


nightly()
