"""The asset of a pipeline's table, and an operator that follows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import Asset, BaseOperator

from claude_batch.failures import airflow_failures
from include.enrichment.partition import resolve_partition

if TYPE_CHECKING:
    from airflow.sdk import Context


def table_asset(pipeline: str) -> Asset:
    """
    The table that a pipeline publishes, for ``schedule=`` and for ``outlets=``. The extra of its events is
    ``{"partition", "rows", "published", "rejected", "cost_usd"}``; the last is what the run cost, as text, and null
    where a price is not known.
    """
    # ``x-``: to check any other URI, Airflow loads what each provider has to say of it, and boto3 with that.
    return Asset(name=pipeline, uri=f"x-claude-batch://tables/{pipeline}", group="claude-batch")


class SummaryOperator(BaseOperator):
    """
    Count the values of a column in each partition that has been published since the last run of its Dag, and leave the
    counts on the lake. Returns the partitions.

    For a Dag that is scheduled on ``table_asset(pipeline)``. What several runs published before it could start comes to
    it at once, and the same partition may come again: it is then counted anew.

    :param pipeline: a folder below include/pipelines
    :param column: a column of its table
    :param aws_conn_id: the connection of the lake
    """

    def __init__(self, *, pipeline: str, column: str, aws_conn_id: str = "aws_default", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.pipeline = pipeline
        self.column = column
        self.aws_conn_id = aws_conn_id

    def execute(self, context: Context) -> list[str]:
        from claude_batch.connections import open_lake
        from include.steps.summary import summarise

        events = context["triggering_asset_events"][table_asset(self.pipeline)]
        partitions = sorted({event.extra["partition"] for event in events})
        with airflow_failures():
            lake = open_lake(self.aws_conn_id)
            for text in partitions:
                partition = resolve_partition(param=text, partition_key=None, data_interval_start=None)
                summarise(self.pipeline, partition, self.column, lake=lake)
        self.log.info("Summed up: %s", ", ".join(partitions) or "nothing, for no asset event has started this run")
        return partitions
