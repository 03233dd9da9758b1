"""The flow of a pipeline put together by hand, to set another task in the middle of it.

It does what `enrich("tickets")` does for a pipeline whose partitions fit one batch, with a task of your own after
the wait.
"""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.sdk import dag, task

from claude_batch.forms.params import form
from claude_batch.operators import ClaudeBatchOperator, ExtractOperator, LoadOperator, PlanOperator, PublishOperator
from claude_batch.sensors import ClaudeBatchSensor


@dag(schedule=None, start_date=datetime(2026, 11, 1, tzinfo=UTC), params=form("tickets"), doc_md=__doc__)
def own_flow() -> None:
    extract = ExtractOperator(task_id="extract", pipeline="tickets")
    plan = PlanOperator(task_id="plan", pipeline="tickets", pass_name="main")

    @task
    def only_chunk(chunks: list[str]) -> str:
        (chunk,) = chunks
        return chunk

    @task
    def tell(batch_id: str, counts: dict[str, int]) -> str:
        return f"{batch_id}: {counts['succeeded']} answered"

    chunk = only_chunk(plan.output)
    submit = ClaudeBatchOperator(task_id="submit", chunk=chunk)
    wait = ClaudeBatchSensor(task_id="wait", batch_id=submit.output)
    load = LoadOperator(task_id="load", chunk=chunk, batch_id=submit.output)
    publish = PublishOperator(task_id="publish", pipeline="tickets")

    extract >> plan
    wait >> [load, tell(submit.output, wait.output)]
    load >> publish


own_flow()
