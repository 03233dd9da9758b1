"""
The whole flow of a pipeline as one task group.

The tasks: extract, the passes, publish. A pass is plan, ask for its synchronous chunks, and for each other chunk
submit, wait, waited and load.
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
from claude_batch.synchronous.ask_operator import AskOperator
from include.enrichment.errors import SpecError
from include.enrichment.spec.parse_time import has_tools, pass_names


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
    Add the task group ``<pipeline>``, which enriches one partition, to the Dag that calls this function.

    The Dag also gets the params of the pipeline's trigger form. The pipeline's ``limits.canary_rows`` and
    ``limits.retry_passes`` determine the passes.

    Raises SpecError if there is no such pipeline, if the Dag is named after a different pipeline, if a param of the Dag
    differs from the form's param of the same name, or for an argument of a wrong type or value.

    :param pipeline: a folder below include/pipelines. None: the pipeline with the Dag's name
    :param aws_conn_id: the connection of the lake
    :param anthropic_conn_id: the connection of the API
    :param deferrable: wait in the triggerer. False: reschedule waiting tasks, for a deployment without a triggerer
    :param poke_interval: the longest pause between two polls of a batch, in seconds, plus or minus a tenth
    :param cancel_on_kill: cancel a batch whose wait a person marks as failed, skipped or success, unless another run
        needs the batch. A clear never cancels
    :param pool: the Airflow pool of `submit` and `wait`. A deferred `wait` keeps its slot, so the pool limits how many
        batches of all Dags and runs are in the API's queue. Defined in config/pools.json; if the pool does not exist,
        tasks wait forever
    :param source_ready_after: `extract` waits until this long after the end of the day (midnight UTC). None: no wait
    """
    pipeline = begin_flow(
        "enrich()",
        pipeline,
        aws_conn_id=aws_conn_id,
        anthropic_conn_id=anthropic_conn_id,
        deferrable=deferrable,
        poke_interval=poke_interval,
        cancel_on_kill=cancel_on_kill,
        pool=pool,
        source_ready_after=source_ready_after,
    )
    if has_tools(pipelines.PIPELINES / pipeline / "pipeline.yaml"):
        raise SpecError(f"enrich(): pipeline {pipeline!r} has tools. Call resolve() in place of enrich().")
    both = {"aws_conn_id": aws_conn_id, "anthropic_conn_id": anthropic_conn_id}
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
            _requests_pass(name, pipeline, both, queued, wait, deferrable=deferrable)
            for name in pass_names(pipelines.PIPELINES / pipeline / "pipeline.yaml")
        ]
        # A pass with nothing to send is skipped; the partition is still published.
        publish = PublishOperator(
            task_id="publish",
            pipeline=pipeline,
            trigger_rule=TriggerRule.NONE_FAILED,
            outlets=[table_asset(pipeline)],
            **both,
        )
        chain(extract, *passes, publish)
        # When a run is cleared again, Airflow keeps the number of chunks of its last plans until they have run again.
        # Where that was 0, the older chunks are `removed`, which counts as done. So each plan also waits for the plan
        # before it, and `publish` for the last one.
        plans = [requests_pass.children[f"{requests_pass.group_id}.plan"] for requests_pass in passes]
        chain(*plans, publish)
    return flow


def begin_flow(function: str, pipeline: str | None, **arguments: object) -> str:
    """
    Check the arguments of a flow, add its form to the current Dag, and return the name of its pipeline.

    Raises SpecError as enrich() does.

    :param function: the function that was called, for errors
    :param pipeline: None: the pipeline with the Dag's name
    """
    dag = DagContext.get_current()
    if dag is None:
        raise SpecError(f"{function} was called outside a Dag. Call it in the function below @dag.")
    pipeline = dag.dag_id if pipeline is None else pipeline
    check_arguments(function, pipeline=pipeline, **arguments)
    pipelines.check_pipeline(pipeline)
    earlier = [task.pipeline for task in dag.tasks if isinstance(task, ExtractOperator)]
    _check_name(dag, pipeline, earlier)
    _add_form(dag, pipeline, earlier)
    return pipeline


def _check_name(dag: DAG, pipeline: str, earlier: list[str]) -> None:
    """Raise SpecError if the Dag has the name of one pipeline and enriches another first, as a copied file would."""
    if pipeline != dag.dag_id and not earlier and (pipelines.PIPELINES / dag.dag_id).is_dir():
        raise SpecError(
            f"{_file(dag)}: Dag {dag.dag_id!r} enriches {pipeline!r}, but there is a pipeline {dag.dag_id!r} too. Write"
            f" enrich() without a name to enrich {dag.dag_id!r}. To enrich {pipeline!r} here, give the Dag another id."
        )


def _add_form(dag: DAG, pipeline: str, earlier: list[str]) -> None:
    """Add the form's params. Raises SpecError if the Dag has a different param of the same name."""
    fields = form(pipeline)
    own = {name: dag.params.get_param(name) for name in fields if name in dag.params}
    differ = ", ".join(name for name, param in own.items() if param.dump() != fields[name].dump())
    if differ and earlier:
        raise SpecError(
            f"{_file(dag)}: Dag {dag.dag_id!r} enriches {earlier[0]!r} and {pipeline!r}, whose forms differ: {differ}."
            f" A Dag has only one form. Give {pipeline!r} its own Dag, with schedule=table_asset({earlier[0]!r})."
        )
    if differ:
        raise SpecError(
            f"{_file(dag)}: Dag {dag.dag_id!r} has params that differ from the form of pipeline {pipeline!r}: {differ}."
            " enrich() adds the form to the Dag. Remove params=form(…), and rename your own params."
        )
    dag.params.update(fields)


def _file(dag: DAG) -> str:
    return "/".join(Path(dag.fileloc).parts[-2:])


def _requests_pass(
    name: str,
    pipeline: str,
    connections: dict[str, str],
    submit_options: dict[str, Any],
    wait_options: dict[str, Any],
    *,
    deferrable: bool,
) -> TaskGroup:
    """Return the task group of one pass. After `plan`, `ask` and each chunk of a batch advance independently."""
    with TaskGroup(group_id=name) as requests_pass:
        plan = PlanOperator(
            task_id="plan",
            pipeline=pipeline,
            pass_name=name,
            aws_conn_id=connections["aws_conn_id"],
            trigger_rule=TriggerRule.NONE_FAILED,
        )
        # One task asks all synchronous chunks, because the API's rate limits hold for all of them together.
        ask = AskOperator(task_id="ask", pipeline=pipeline, pass_name=name, deferrable=deferrable, **connections)
        plan >> ask
        chunk_label = "{{ task.chunk.rpartition('/')[2][:8] }}"

        @task_group(group_id="chunk")
        def chunk_flow(chunk: str) -> None:
            submit = ClaudeBatchOperator(
                task_id="submit", chunk=chunk, map_index_template=chunk_label, **submit_options
            )
            wait = ClaudeBatchSensor(
                task_id="wait",
                batch_id=submit.output,
                chunk=chunk,
                switch_at=f"{{{{ ti.xcom_pull('{plan.task_id}', key='switch_at', map_indexes=-1) or '' }}}}",
                map_index_template="{{ task.batch_id }}",
                # An existing batch gets its slot before a new one is submitted.
                priority_weight=2,
                **wait_options,
            )
            # `load` must run after a failed wait, because finished answers are paid for, but not after a failed submit,
            # which leaves nothing to load. With `plan` upstream too, no trigger rule of `load` can tell the two apart.
            # The scheduler itself completes this empty task; no worker runs it.
            waited = EmptyOperator(task_id="waited", trigger_rule=TriggerRule.ALL_DONE)
            load = LoadOperator(
                task_id="load",
                chunk=chunk,
                batch_id=submit.output,
                map_index_template=chunk_label,
                **connections,
            )
            submit >> wait >> waited >> load

        chunk_flow.expand(chunk=plan.output)
    return requests_pass
