"""The asset of a pipeline's table, and an operator that runs when the table is published."""

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
    Return the asset of the table that a pipeline publishes, for ``schedule=`` and ``outlets=``.

    The extra of its events is ``{"partition", "rows", "published", "rejected", "cost_usd"}``. ``cost_usd`` is the run's
    cost as text, null if a price is unknown. Raises SpecError if there is no such pipeline.
    """
    check_arguments("table_asset()", pipeline=pipeline)
    pipelines.check_pipeline(pipeline)
    # With any scheme but ``x-``, Airflow loads the providers' URI checks, and boto3 with them.
    return Asset(name=pipeline, uri=f"x-claude-batch://tables/{pipeline}", group="claude-batch")


class SummaryOperator(BaseOperator):
    """
    Count the values of a column in each partition published since the Dag's last run, and write the counts to the lake.

    Returns the partitions. For a Dag with ``schedule=table_asset(pipeline)``. One run may receive the events of several
    publishes. A partition that is published again is counted again. An event without a partition, which a person may
    have created, fails the task after the other partitions are counted.

    :param pipeline: a folder below include/pipelines
    :param column: a column of its table. SpecError if the pipeline's key and output schema have no such column
    :param aws_conn_id: the connection of the lake
    """

    def __init__(self, *, pipeline: str, column: str, aws_conn_id: str = "aws_default", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_arguments(type(self).__name__, pipeline=pipeline, column=column, aws_conn_id=aws_conn_id)
        pipelines.check_pipeline(pipeline)
        # Columns whose names begin with an underscore are added by us.
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
            self.log.info(
                "Counted %s in %s", self.column, ", ".join(counted) or "no partition: no asset event names one"
            )
            if problems:
                raise PartitionError(" ".join(problems))
        return counted


def _partition(extra: object) -> Partition:
    """Return the partition of an asset event. Raises PartitionError if the event has none."""
    text = extra.get("partition") if isinstance(extra, Mapping) else None
    try:
        return parse_partition(text, "the event's partition")
    except PartitionError as error:
        raise PartitionError(
            f"An asset event with the extra {extra!r} names no partition and was skipped; the others were counted."
            ' Create the event again with the extra {"partition": "2026-11-21"}, as `publish` does.'
        ) from error
