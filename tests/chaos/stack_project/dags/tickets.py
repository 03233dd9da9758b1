"""Label the tickets of one day while processes are killed and the API fails. random_runs.py starts the runs.

This is the flow of production with three differences. There are many tries with short delays, because each kill uses
up one. No pool limits the batches, because many should be in flight at once. Minutes become seconds: the emulated API
lists a batch within seconds, and a killed create is over at once. The 30 seconds before a trigger's first event stay,
because the race that they prevent is real here too.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from airflow.sdk import dag

from claude_batch import pipelines
from claude_batch.task_group import enrich
from include.enrichment.batches import submission

pipelines.PIPELINES = Path(__file__).parents[1] / "pipelines"
# Every task's process parses this file before it runs its task, so these apply wherever a chunk is submitted.
submission.CREATE_WINDOW = timedelta(seconds=20)
submission.LISTING_LAG = timedelta(seconds=3)
submission.SOON, submission.LATE = timedelta(seconds=1), timedelta(seconds=20)


@dag(
    dag_id=Path(__file__).stem,
    schedule=None,
    max_active_runs=16,
    default_args={"retries": 8, "retry_delay": timedelta(seconds=3)},
    doc_md=__doc__,
)
def tickets() -> None:
    enrich(poke_interval=2, pool="default_pool")


tickets()
