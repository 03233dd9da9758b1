"""The Dags that plays.py and waits.py run while they break containers.

They are as in production, except that minutes become seconds: the delay between tries, and the search for a lost batch,
because the emulated API lists a batch within seconds.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import Param, dag, get_current_context, task

from claude_batch.sensors import ClaudeBatchSensor
from claude_batch.task_group import enrich
from include.enrichment.batches import submission

# Every task's process parses this file before it runs its task, so these apply wherever a chunk is submitted.
submission.CREATE_WINDOW = timedelta(seconds=20)
submission.LISTING_LAG = timedelta(seconds=3)
submission.SOON, submission.LATE = timedelta(seconds=1), timedelta(seconds=20)

RETRIES = {"retries": 8, "retry_delay": timedelta(seconds=10)}


@dag(dag_id="faults", schedule=None, default_args=RETRIES)
def faults() -> None:
    """The catalogue."""
    enrich("catalogue", poke_interval=5)


@dag(dag_id="many", schedule=None, default_args=RETRIES, max_active_tasks=1000)
def many() -> None:
    """A day in a hundred batches."""
    enrich(poke_interval=5)


@dag(dag_id="waits", schedule=None, max_active_tasks=2000, params={"batches": Param([], type="array")})
def waits() -> None:
    """Wait for batches that already exist."""

    @task
    def batches() -> list[str]:
        found: list[str] = get_current_context()["params"]["batches"]
        return found

    ClaudeBatchSensor.partial(task_id="wait", poke_interval=15, retries=8, retry_delay=timedelta(seconds=10)).expand(
        batch_id=batches()
    )


faults()
many()
waits()
