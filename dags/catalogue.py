"""Categorise the products that changed yesterday, every night.

Reads one day of `products`, asks Claude for category, audience, pitch, keywords and network need, and replaces that day
of `tables/catalogue` on the lake. The prompts and the output schema are in `include/pipelines/catalogue`. The run of a
day starts at midnight UTC and waits without a worker until 02:00, when the warehouse has the whole day.

To run one day: Trigger, and enter the day under Partition. To run many days: Trigger, Backfill.

Triage: clearing any task is safe. A cleared `submit` finds the batch that is already paid for, a cleared `wait`
continues to wait, and a cleared `publish` writes the same objects. If `publish` fails because too many rows were
rejected, read the rejects that its error names first.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from airflow.sdk import dag

from claude_batch.task_group import enrich
from include.dag_defaults import MIDNIGHT, NIGHTLY


@dag(
    dag_id=Path(__file__).stem,
    schedule=MIDNIGHT,
    start_date=datetime(2026, 10, 20, tzinfo=UTC),
    doc_md=__doc__,
    tags=["claude-batch"],
    **NIGHTLY,
)
def nightly() -> None:
    enrich(source_ready_after=timedelta(hours=2))


nightly()
