"""Translate the UI strings that changed yesterday, into four languages, every night.

Reads one day of `ui_strings`, asks Claude for each string in each locale, and replaces that day of `tables/ui_strings`
on the lake. The prompts, the glossary and the checks are in `include/pipelines/ui_strings`. The run of a day starts at
midnight UTC and waits without a worker until 02:00. A night without a changed string publishes an empty day.

To run one day: Trigger, and enter the day under Partition. To run many days: Trigger, Backfill.

Triage: clearing any task is safe, and no request is billed twice. The app shows the English text of a string without a
translation, so nothing is urgent before the next release. If `publish` says that too many rows were rejected, read the
rejects that it names: their reasons say which placeholder was lost or how long a text may be. Translate a stubborn
string by hand, or give its limit more room in the warehouse.
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
