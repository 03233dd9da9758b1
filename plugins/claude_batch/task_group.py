"""
The whole flow of a pipeline as one task group: extract, then the passes, each of them plan and for each chunk submit,
wait, waited and load, then publish.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import TaskGroup, TriggerRule, WeightRule, chain, task_group

from claude_batch import operators
from claude_batch.assets import table_asset
from claude_batch.operators import ClaudeBatchOperator, ExtractOperator, LoadOperator, PlanOperator, PublishOperator
from claude_batch.sensors import ClaudeBatchSensor
from include.enrichment.passes import pass_names


def enrich(
    pipeline: str,
    *,
    aws_conn_id: str = "aws_default",
    anthropic_conn_id: str = "anthropic_default",
    deferrable: bool = True,
    poke_interval: float = 60,
    cancel_on_kill: bool = False,
    pool: str = "claude_batches",
    source_ready_after: timedelta | None = None,
) -> TaskGroup:
    """
    Enrich one partition: the task group ``<pipeline>``, to be called within a Dag.

    Which passes it has is said by ``limits.canary_rows`` and ``limits.retry_passes`` of the pipeline.

    :param pipeline: a folder below include/pipelines
    :param aws_conn_id: the connection of the lake
    :param anthropic_conn_id: the connection of the API
    :param deferrable: wait in the triggerer; False reschedules what waits, for a deployment without a triggerer
    :param poke_interval: the longest pause between two looks at a batch, in seconds, give or take a tenth
    :param cancel_on_kill: cancel a batch whose wait somebody marks as failed, skipped or done, unless another run holds
        it. A clear never cancels
    :param pool: the Airflow pool of `submit` and `wait`, which also while it is deferred holds a slot: so many batches
        are in the API's queue at once, of all Dags and runs. It is in config/pools.json; without it tasks wait for ever
    :param source_ready_after: `extract` waits until so long after the partition's end, midnight UTC; None: not at all
    """
    lake = {"aws_conn_id": aws_conn_id}
    both = {**lake, "anthropic_conn_id": anthropic_conn_id}
    queued = {**both, "deferrable": deferrable, "pool": pool, "weight_rule": WeightRule.ABSOLUTE}
    wait = {**queued, "poke_interval": poke_interval, "cancel_on_kill": cancel_on_kill}
    with TaskGroup(group_id=pipeline) as flow:
        extract = ExtractOperator(
            task_id="extract",
            pipeline=pipeline,
            source_ready_after=source_ready_after,
            deferrable=deferrable,
            **both,
        )
        passes = [
            _requests_pass(name, pipeline, both, queued, wait)
            for name in pass_names(operators.PIPELINES / pipeline / "pipeline.yaml")
        ]
        # A pass with nothing to send is skipped, and the partition is published all the same.
        publish = PublishOperator(
            task_id="publish",
            pipeline=pipeline,
            trigger_rule=TriggerRule.NONE_FAILED,
            outlets=[table_asset(pipeline)],
            **lake,
        )
        chain(extract, *passes, publish)
    return flow


def _requests_pass(
    name: str, pipeline: str, connections: dict[str, str], submit_options: dict[str, Any], wait_options: dict[str, Any]
) -> TaskGroup:
    """One pass over requests: planned at its start, then each chunk flows on by itself."""
    with TaskGroup(group_id=name) as requests_pass:
        plan = PlanOperator(
            task_id="plan",
            pipeline=pipeline,
            pass_name=name,
            aws_conn_id=connections["aws_conn_id"],
            trigger_rule=TriggerRule.NONE_FAILED,
        )
        chunk_label = "{{ task.chunk.rpartition('/')[2][:8] }}"

        @task_group(group_id="chunk")
        def flow_of_chunk(chunk: str) -> None:
            submit = ClaudeBatchOperator(
                task_id="submit", chunk=chunk, map_index_template=chunk_label, **submit_options
            )
            wait = ClaudeBatchSensor(
                task_id="wait",
                batch_id=submit.output,
                chunk=chunk,
                map_index_template="{{ task.batch_id }}",
                # A batch that is there takes its slot before another one is made.
                priority_weight=2,
                **wait_options,
            )
            # A wait that failed does not keep finished answers from being loaded, as they are paid; after a submit that
            # failed there is nothing to load. No trigger rule of `load` tells the two apart, as `plan` is upstream of
            # it, too. The scheduler ends this task by itself: it takes no worker.
            waited = EmptyOperator(task_id="waited", trigger_rule=TriggerRule.ALL_DONE)
            load = LoadOperator(
                task_id="load",
                chunk=chunk,
                batch_id=submit.output,
                map_index_template=chunk_label,
                **connections,
            )
            submit >> wait >> waited >> load

        flow_of_chunk.expand(chunk=plan.output)
    return requests_pass
