"""Sort the support tickets of yesterday, every night.

Reads one day of `tickets`, asks Claude for category, urgency, a flag and a summary, and replaces that day of
`tables/tickets` on the lake. The prompts and the output schema are in `include/pipelines/tickets`. The run of a day
starts at midnight UTC and waits without a worker until 00:30, when the help desk has written its last tickets to the
warehouse.

To run one day: Trigger, and enter the day under Partition. To run many days: Trigger, Backfill.

Triage: clearing any task is safe, and no request is billed twice. If `publish` says that too many rows were rejected,
read the reasons that it names. `ticket_actions` starts once the day is published: until then nobody acts.
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
    enrich(source_ready_after=timedelta(minutes=30))


nightly()
