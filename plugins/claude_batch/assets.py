"""The asset of a pipeline's table, and an operator that follows it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow.sdk import Asset, BaseOperator

from claude_batch import pipelines
from claude_batch.arguments import check_arguments
from claude_batch.failures import airflow_failures
from include.enrichment.errors import PartitionError, SpecError, nearest
from include.enrichment.runs.partition import Partition, parse_partition
from include.enrichment.spec.parse_time import column_names

if TYPE_CHECKING:
    from airflow.sdk import Context


def table_asset(pipeline: str) -> Asset:
    """
    The table that a pipeline publishes, for ``schedule=`` and for ``outlets=``. The extra of its events is
    ``{"partition", "rows", "published", "rejected", "cost_usd"}``; the last is what the run cost, as text, and null
    where a price is not known. Raises SpecError if there is no such pipeline.
    """
    check_arguments("table_asset()", pipeline=pipeline)
    pipelines.check_pipeline(pipeline)
    # ``x-``: to check any other URI, Airflow loads what each provider has to say of it, and boto3 with that.
    return Asset(name=pipeline, uri=f"x-claude-batch://tables/{pipeline}", group="claude-batch")


class SummaryOperator(BaseOperator):
    """
    Count the values of a column in each partition that has been published since the last run of its Dag, and leave the
    counts on the lake. Returns the partitions.

    For a Dag that is scheduled on ``table_asset(pipeline)``. What several runs published before it could start comes to
    it at once, and the same partition may come again: it is then counted anew. An event that names no partition, as one
    that a person made may do, fails the task once the others are counted.

    :param pipeline: a folder below include/pipelines
    :param column: a column of its table. SpecError for one that the pipeline's key and output schema do not have
    :param aws_conn_id: the connection of the lake
    """

    def __init__(self, *, pipeline: str, column: str, aws_conn_id: str = "aws_default", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_arguments(type(self).__name__, pipeline=pipeline, column=column, aws_conn_id=aws_conn_id)
        pipelines.check_pipeline(pipeline)
        # Names that begin with an underscore are our own columns.
        columns = column_names(pipelines.PIPELINES / pipeline)
        if columns and column not in columns and not column.startswith("_"):
            raise SpecError(
                f"{self.task_id}: the table of {pipeline!r} has no column {column!r}{nearest(column, columns) or '.'}"
                f" There are: {', '.join(columns)}."
            )
        self.pipeline = pipeline
        self.column = column
        self.aws_conn_id = aws_conn_id

    def execute(self, context: Context) -> list[str]:
        from claude_batch.connections.gateways import open_lake
        from include.steps.summarise import summarise

        events = context["triggering_asset_events"][table_asset(self.pipeline)]
        partitions: set[Partition] = set()
        problems: list[str] = []
        for event in events:
            try:
                partitions.add(_partition(event.extra))
            except PartitionError as error:
                problems.append(str(error))
        with airflow_failures():
            lake = open_lake(self.aws_conn_id)
            for partition in sorted(partitions, key=str):
                summarise(self.pipeline, partition, self.column, lake=lake)
            counted = sorted(map(str, partitions))
            self.log.info("Summed up: %s", ", ".join(counted) or "nothing: no asset event names a partition")
            if problems:
                raise PartitionError(" ".join(problems))
        return counted


def _partition(extra: object) -> Partition:
    """The partition that an event of a table's asset tells. Raises PartitionError if it tells none."""
    text = extra.get("partition") if isinstance(extra, Mapping) else None
    try:
        return parse_partition(text, "the event's partition")
    except PartitionError as error:
        raise PartitionError(
            f"An asset event with the extra {extra!r} names no partition, and was left out; the others were counted."
            ' Make it again with an extra such as {"partition": "2026-11-21"}, as `publish` does.'
        ) from error
