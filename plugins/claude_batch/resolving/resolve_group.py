"""
The second stage that acts as one task group: an agent answers each row of a pipeline, and its tools act.

The tasks: extract, the passes, publish. A pass is plan and ask; if a tool asks first, approve and act follow.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import TaskGroup, TriggerRule, chain

from claude_batch import pipelines
from claude_batch.arguments import check_arguments
from claude_batch.assets import table_asset
from claude_batch.operators import ExtractOperator, PlanOperator, PublishOperator
from claude_batch.resolving.agent_operator import AgentOperator
from claude_batch.task_group import begin_flow
from include.enrichment.errors import SpecError
from include.enrichment.spec.parse_time import asks_first, has_tools, pass_names


def resolve(
    pipeline: str | None = None,
    *,
    aws_conn_id: str = "aws_default",
    anthropic_conn_id: str = "anthropic_default",
    deferrable: bool = True,
    answer_within: timedelta = timedelta(hours=12),
) -> TaskGroup:
    """
    Add the task group ``<pipeline>``, in which an agent resolves the rows of one partition, to the Dag that calls this
    function.

    The pipeline has ``tools``, and usually the table of an earlier pipeline as its source, with a ``where`` that
    chooses the rows. The rest is as for enrich(): the form, the passes, the published table.

    Raises SpecError as enrich() does, and if the pipeline has no tools.

    :param pipeline: a folder below include/pipelines. None: the pipeline with the Dag's name
    :param aws_conn_id: the connection of the lake
    :param anthropic_conn_id: the connection of the API
    :param deferrable: wait in the triggerer. False: reschedule waiting tasks, for a deployment without a triggerer
    :param answer_within: how long a person has to approve the calls of tools with ``ask_first``. Then they are rejected
    """
    check_arguments("resolve()", answer_within=answer_within)
    pipeline = begin_flow(
        "resolve()",
        pipeline,
        aws_conn_id=aws_conn_id,
        anthropic_conn_id=anthropic_conn_id,
        deferrable=deferrable,
    )
    file = pipelines.PIPELINES / pipeline / "pipeline.yaml"
    if not has_tools(file):
        raise SpecError(
            f"resolve(): pipeline {pipeline!r} has no tools in its pipeline.yaml. Add them, or call enrich() in place"
            " of resolve()."
        )
    both: dict[str, Any] = {"aws_conn_id": aws_conn_id, "anthropic_conn_id": anthropic_conn_id}
    with TaskGroup(group_id=pipeline) as flow:
        extract = ExtractOperator(task_id="extract", pipeline=pipeline, deferrable=deferrable, **both)
        passes = [
            _pass(
                name, pipeline, both, deferrable=deferrable, answer_within=answer_within if asks_first(file) else None
            )
            for name in pass_names(file)
        ]
        publish = PublishOperator(
            task_id="publish",
            pipeline=pipeline,
            trigger_rule=TriggerRule.NONE_FAILED,
            outlets=[table_asset(pipeline)],
            **both,
        )
        chain(extract, *passes, publish)
    return flow


def _pass(
    name: str, pipeline: str, connections: dict[str, Any], *, deferrable: bool, answer_within: timedelta | None
) -> TaskGroup:
    """:param answer_within: None: no tool asks first"""
    aws_conn_id = connections["aws_conn_id"]
    of_pass = {"pipeline": pipeline, "pass_name": name}
    with TaskGroup(group_id=name) as requests_pass:
        plan = PlanOperator(task_id="plan", aws_conn_id=aws_conn_id, trigger_rule=TriggerRule.NONE_FAILED, **of_pass)
        asking = {**of_pass, **connections, "deferrable": deferrable}
        ask = AgentOperator(task_id="ask", asks_person=answer_within is not None, **asking)
        plan >> ask
        if answer_within is not None:
            # Not at the top: Airflow's part of it takes a while to import, and few Dags ask a person.
            from claude_batch.resolving.approve_operator import ApproveOperator

            approve = ApproveOperator(
                task_id="approve", answer_within=answer_within, aws_conn_id=aws_conn_id, **of_pass
            )
            ask >> approve >> AgentOperator(task_id="act", asks_person=False, **asking)
    return requests_pass
