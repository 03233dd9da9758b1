"""
The whole flow of a pipeline as one task group: extract, then the passes, each of them plan and for each chunk submit,
wait, waited and load, then publish.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, TaskGroup, TriggerRule, WeightRule, chain, task_group
from airflow.sdk.definitions._internal.contextmanager import DagContext  # 3.3 has no public name for it

from claude_batch import pipelines
from claude_batch.arguments import check_arguments
from claude_batch.assets import table_asset
from claude_batch.forms.params import form
from claude_batch.operators import ClaudeBatchOperator, ExtractOperator, LoadOperator, PlanOperator, PublishOperator
from claude_batch.sensors import ClaudeBatchSensor
from include.enrichment.errors import SpecError
from include.enrichment.spec.parse_time import pass_names


def enrich(
    pipeline: str | None = None,
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
    Enrich one partition: the task group ``<pipeline>``, to be called within a Dag. The Dag gets the pipeline's form as
    its params, beside those that it has.

    Which passes it has is said by ``limits.canary_rows`` and ``limits.retry_passes`` of the pipeline.

    Raises SpecError where there is no such pipeline, where the Dag has the name of another one, where it has a param
    of the form's names that is not the form's, or for an argument of a wrong type or value.

    :param pipeline: a folder below include/pipelines; None: the one that is called like the Dag
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
    dag = DagContext.get_current()
    if dag is None:
        raise SpecError("enrich() was called outside of a Dag: call it in the function below @dag.")
    pipeline = dag.dag_id if pipeline is None else pipeline
    check_arguments(
        "enrich()",
        pipeline=pipeline,
        aws_conn_id=aws_conn_id,
        anthropic_conn_id=anthropic_conn_id,
        deferrable=deferrable,
        poke_interval=poke_interval,
        cancel_on_kill=cancel_on_kill,
        pool=pool,
        source_ready_after=source_ready_after,
    )
    pipelines.check_pipeline(pipeline)
    earlier = [task.pipeline for task in dag.tasks if isinstance(task, ExtractOperator)]
    _check_name(dag, pipeline, earlier)
    _add_form(dag, pipeline, earlier)
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
            for name in pass_names(pipelines.PIPELINES / pipeline / "pipeline.yaml")
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
        # When a run is cleared again, Airflow keeps the number of chunks of its last plans until they have run again.
        # Where that was 0, the older chunks are `removed`, which counts as done. So each plan also waits for the plan
        # before it, and `publish` for the last one.
        plans = [requests_pass.children[f"{requests_pass.group_id}.plan"] for requests_pass in passes]
        chain(*plans, publish)
    return flow


def _check_name(dag: DAG, pipeline: str, earlier: list[str]) -> None:
    """Raises SpecError if a Dag with the name of one pipeline begins with another: a copied file, most likely."""
    if pipeline != dag.dag_id and not earlier and (pipelines.PIPELINES / dag.dag_id).is_dir():
        raise SpecError(
            f"{_file(dag)}: Dag {dag.dag_id!r} enriches {pipeline!r}, and there is a pipeline {dag.dag_id!r}. Write"
            " enrich() without a name: it enriches the pipeline that is called like the Dag. To enrich"
            f" {pipeline!r} here, give the Dag another id."
        )


def _add_form(dag: DAG, pipeline: str, earlier: list[str]) -> None:
    """Raises SpecError if the Dag has a param with the name of a field that is not the field."""
    fields = form(pipeline)
    own = {name: dag.params.get_param(name) for name in fields if name in dag.params}
    differ = ", ".join(name for name, param in own.items() if param.dump() != fields[name].dump())
    if differ and earlier:
        raise SpecError(
            f"{_file(dag)}: Dag {dag.dag_id!r} enriches {earlier[0]!r} and {pipeline!r}, whose forms differ: {differ}."
            f" A Dag has one form. Give {pipeline!r} a Dag of its own, with schedule=table_asset({earlier[0]!r})."
        )
    if differ:
        raise SpecError(
            f"{_file(dag)}: Dag {dag.dag_id!r} has params that differ from the form of pipeline {pipeline!r}: {differ}."
            " enrich() adds the form to the Dag: remove params=form(…), and give params of your own other names."
        )
    dag.params.update(fields)


def _file(dag: DAG) -> str:
    return "/".join(Path(dag.fileloc).parts[-2:])


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
