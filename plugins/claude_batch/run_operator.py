"""The base of the operators that work on one run of one pipeline: extract, plan and publish."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from claude_batch import pipelines
from claude_batch.arguments import check_arguments
from claude_batch.failures import airflow_failures
from include.enrichment.answers import headline
from include.enrichment.errors import EnrichmentError, PartitionError
from include.enrichment.runs.deadline import deadline_of_run
from include.enrichment.runs.options import readable_options
from include.enrichment.runs.partition import interval_warning, resolve_partition
from include.enrichment.storage.layout import RunFolder

if TYPE_CHECKING:
    from airflow.sdk import Context

    from include.enrichment.spec.pipeline import Pipeline


class RunOperator(BaseOperator):
    """
    A task that works on one run of one pipeline.

    Airflow shows ``headline`` as the task's label: the day and the result. The label of the task that ends a run
    becomes the run's note (ui/run_notes.py).
    """

    template_fields: Sequence[str] = ("partition",)

    def __init__(
        self, *, pipeline: str, partition: str | None = None, aws_conn_id: str = "aws_default", **kwargs: Any
    ) -> None:
        # Meant for mapped tasks, but Airflow renders it for every task, even one that fails.
        super().__init__(**{"map_index_template": "{{ task.headline }}", **kwargs})
        check_arguments(type(self).__name__, pipeline=pipeline, partition=partition, aws_conn_id=aws_conn_id)
        pipelines.check_pipeline(pipeline)
        self.pipeline = pipeline
        self.partition = partition
        self.aws_conn_id = aws_conn_id
        self.headline = ""

    def run_folder(self, context: Context) -> RunFolder:
        """Return the run's folder on the lake. Raises PartitionError if the run has no partition."""
        dag_run = context["dag_run"]
        partition = resolve_partition(
            param=self._partition_param(context),
            partition_key=dag_run.partition_key,
            data_interval_start=dag_run.data_interval_start,
            published=_published_partitions(context),
            backfill=dag_run.run_type == "backfill",
        )
        return RunFolder(pipeline=self.pipeline, partition=partition, run_id=dag_run.run_id)

    def deadline_of_run(self, context: Context, pipeline: Pipeline) -> datetime | None:
        """Return when the run should have its answers, and log it; None for a run without a deadline."""
        dag_run = context["dag_run"]
        deadline = deadline_of_run(
            pipeline.settings.limits.deadline,
            pipeline.options.deadline,
            run_type=dag_run.run_type,
            run_after=dag_run.run_after,
            now=datetime.now(UTC),
        )
        if deadline:
            self.log.info("The run's deadline is %s UTC", f"{deadline:%Y-%m-%d %H:%M}")
        return deadline

    def warn_about_interval(self, context: Context) -> None:
        """Log a warning if the run's partition may not be the data interval that its author expects."""
        dag_run = context["dag_run"]
        warning = interval_warning(
            param=self._partition_param(context),
            partition_key=dag_run.partition_key,
            data_interval_start=dag_run.data_interval_start,
        )
        if warning:
            self.log.warning("%s", warning)

    def set_headline(self, context: Context, *results: str) -> None:
        """Set the task's label to the day, the run's options and these results."""
        options = readable_options(context["params"])
        self.headline = headline.headline(self.run_folder(context).partition, options, *results)

    @contextmanager
    def failures(self, context: Context) -> Iterator[None]:
        """Raise what airflow_failures() raises, after setting the task's label to the cause."""
        with airflow_failures():
            try:
                yield
            except EnrichmentError as error:
                try:
                    partition = self.run_folder(context).partition
                except PartitionError:
                    partition = None
                self.headline = headline.failure(partition, readable_options(context["params"]), str(error))
                raise

    def _partition_param(self, context: Context) -> object:
        return self.partition or context["params"].get("partition")


def _published_partitions(context: Context) -> list[object]:
    """Return the partition in each asset event that triggered the run, as `publish` writes it; none for other runs."""
    events = context.get("triggering_asset_events") or {}
    extras = [event.extra for found in events.values() for event in found]
    return [extra["partition"] for extra in extras if isinstance(extra, Mapping) and "partition" in extra]
