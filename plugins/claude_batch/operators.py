"""
The operators, in the order of the flow: extract, plan, submit (ClaudeBatchOperator), load, publish.

What they do is in include/steps, which is imported where it is used: Dag files import this module, and parsing a Dag
must not load pyarrow and the SDK.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, Any, NoReturn, cast

from airflow.providers.standard.triggers.temporal import DateTimeTrigger
from airflow.sdk import BaseOperator, conf
from airflow.sdk.exceptions import (
    AirflowRescheduleException,
    AirflowSkipException,
    DownstreamTasksSkipped,
)

from claude_batch import pipelines
from claude_batch.arguments import check_arguments
from claude_batch.failures import SOONEST_RESUME, airflow_failure, airflow_failures
from include.enrichment.answers import headline
from include.enrichment.errors import EnrichmentError, LoadError, NotSent, NotYet, PartitionError
from include.enrichment.runs.options import readable_options
from include.enrichment.runs.partition import Partition, check_not_future, interval_warning, resolve_partition
from include.enrichment.storage.layout import RunFolder

if TYPE_CHECKING:
    from airflow.sdk import Context, XComArg


class _RunOperator(BaseOperator):
    """
    What works on one run of one pipeline. In the UI's list of tasks its label says the day and what came of it; the
    label of the task that ends a run becomes the run's note (run_notes.py).
    """

    template_fields: Sequence[str] = ("partition",)

    def __init__(
        self, *, pipeline: str, partition: str | None = None, aws_conn_id: str = "aws_default", **kwargs: Any
    ) -> None:
        # A label of tasks that are mapped; Airflow renders it after any task, also after one that fails.
        super().__init__(**{"map_index_template": "{{ task.headline }}", **kwargs})
        check_arguments(type(self).__name__, pipeline=pipeline, partition=partition, aws_conn_id=aws_conn_id)
        pipelines.check_pipeline(pipeline)
        self.pipeline = pipeline
        self.partition = partition
        self.aws_conn_id = aws_conn_id
        self.headline = ""

    def run_folder(self, context: Context) -> RunFolder:
        """The run's folder on the lake. Raises PartitionError if the run names no partition."""
        dag_run = context["dag_run"]
        partition = resolve_partition(
            param=self._param(context),
            partition_key=dag_run.partition_key,
            data_interval_start=dag_run.data_interval_start,
            backfill=dag_run.run_type == "backfill",
        )
        return RunFolder(pipeline=self.pipeline, partition=partition, run_id=dag_run.run_id)

    def interval_warning(self, context: Context) -> str:
        """Why the run's data interval may not be what its partition is; empty if there is nothing to say."""
        dag_run = context["dag_run"]
        return interval_warning(
            param=self._param(context),
            partition_key=dag_run.partition_key,
            data_interval_start=dag_run.data_interval_start,
        )

    def _param(self, context: Context) -> object:
        return self.partition or context["params"].get("partition")

    def _set_headline(self, context: Context, *results: str) -> None:
        options = readable_options(context["params"])
        self.headline = headline.headline(self.run_folder(context).partition, options, *results)

    @contextmanager
    def _failures(self, context: Context) -> Iterator[None]:
        """airflow_failures(), and the label says the cause."""
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


class ExtractOperator(_RunOperator):
    """
    Read a pipeline's partition from the warehouse and render its rows.

    Before it reads anything it asks lake and API whether the run can succeed at all. Leaves the rows in the run's
    folder on the lake; returns their number.

    :param pipeline: a folder below include/pipelines
    :param partition: a day such as ``2026-11-21`` (templated); without it the run's param ``partition``, its partition
        key, or the day its data interval starts
    :param aws_conn_id: the connection of the lake
    :param anthropic_conn_id: the connection of the API
    :param source_ready_after: the warehouse has all rows of the partition so long after its end, which is midnight UTC;
        until then the task waits without a worker. None: it does not wait
    :param deferrable: wait in the triggerer; False reschedules the task instead, for a deployment without a triggerer
    """

    def __init__(
        self,
        *,
        anthropic_conn_id: str = "anthropic_default",
        source_ready_after: timedelta | None = None,
        deferrable: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_arguments(
            type(self).__name__,
            anthropic_conn_id=anthropic_conn_id,
            source_ready_after=source_ready_after,
            deferrable=deferrable,
        )
        self.anthropic_conn_id = anthropic_conn_id
        self.source_ready_after = source_ready_after
        self.deferrable = deferrable

    def execute(self, context: Context) -> int:
        from claude_batch.connections.claude import open_claude
        from claude_batch.connections.gateways import open_lake, open_source
        from include.enrichment.runs.options import run_options
        from include.enrichment.spec.pipeline_folder import load_pipeline
        from include.steps.extract import check_setup, extract
        from include.steps.planning.token_counts import count_sample

        with self._failures(context):
            folder = self.run_folder(context)
            self.log.info("Partition %s of %s", folder.partition, self.pipeline)
            if warning := self.interval_warning(context):
                self.log.warning("%s", warning)
            pipeline = load_pipeline(pipelines.PIPELINES / self.pipeline)
            # The params of the Dag and of the task are in self.params; those that only the run has are not.
            pipeline = pipeline.for_run(run_options(context["params"], others={"partition", *self.params}))
            check_not_future(folder.partition, today=datetime.now(UTC).date())
            self._wait_for_source(folder.partition)
            lake = open_lake(self.aws_conn_id)
            with open_claude(self.anthropic_conn_id) as claude:
                check_setup(pipeline, lake=lake, claude=claude)
                source = open_source(pipeline.settings.source, pipeline=pipeline.name)
                extracted = extract(pipeline, folder, warehouse=source, lake=lake)
                count_sample(folder, lake=lake, claude=claude)
        self.log.info(
            "Partition %s: %s rows, %s of them cannot be sent", folder.partition, extracted.rows, extracted.unsendable
        )
        self._set_headline(context, headline.extracted(extracted.rows, unsendable=extracted.unsendable))
        return extracted.rows

    def resume(self, context: Context, event: Any) -> int:
        """The source is ready."""
        return self.execute(context)

    def source_ready_at(self, partition: Partition) -> datetime | None:
        """When the warehouse has all rows of the partition; None if nobody has said."""
        if self.source_ready_after is None:
            return None
        return datetime.combine(partition.end, time.min, UTC) + self.source_ready_after

    def _wait_for_source(self, partition: Partition) -> None:
        ready_at = self.source_ready_at(partition)
        if ready_at and datetime.now(UTC) < ready_at:
            self.log.info("The day's rows are complete at %s UTC. No worker is held.", f"{ready_at:%Y-%m-%d %H:%M}")
            _leave_worker(self, until=ready_at)


class PlanOperator(_RunOperator):
    """
    Decide what a pass sends, and cut it into chunks, one for each batch.

    What has been answered and paid for is not sent again, whichever run did it, and what is in flight is waited for.
    Returns the lake keys of the chunk files, to map the rest of the flow over; an empty list where there is nothing to
    send or to wait for. Fails before the main pass if the canary has failed for good. In a dry run it only tells what
    all passes would send, and skips every task after it.

    :param pipeline: as for ExtractOperator
    :param partition: as for ExtractOperator
    :param aws_conn_id: the connection of the lake
    :param pass_name: ``canary``, ``main``, or ``retry`` (``retry_1``, ``retry_2``, …)
    """

    def __init__(self, *, pass_name: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_arguments(type(self).__name__, pass_name=pass_name)
        self.pass_name = pass_name

    def execute(self, context: Context) -> list[str]:
        from claude_batch.connections.gateways import open_lake
        from include.steps.dry_run import dry_run
        from include.steps.files.extracted import read_pipeline
        from include.steps.plan import plan

        most = conf.getint("core", "max_map_length")
        with self._failures(context):
            lake, folder = open_lake(self.aws_conn_id), self.run_folder(context)
            if read_pipeline(lake, folder).options.dry_run:
                told = dry_run(folder, lake=lake)
                self.log.info("Dry run: nothing is sent, and every later task is skipped.\n%s", told.table())
                self._set_headline(context, headline.forecast(told))
                later = sorted(self.get_flat_relative_ids())
                raise DownstreamTasksSkipped(tasks=later)  # type: ignore[no-untyped-call]  # not annotated
            chunks = plan(folder, pass_name=self.pass_name, lake=lake, most_chunks=most)
        self._set_headline(context, headline.planned(chunks))
        return chunks


def _leave_worker(task: ExtractOperator | ClaudeBatchOperator, *, until: datetime) -> NoReturn:
    """Wait until then, or for half a minute at least; then comes ``resume``, or ``execute`` once more."""
    moment = max(until, datetime.now(UTC) + SOONEST_RESUME)
    if not task.deferrable:
        raise AirflowRescheduleException(moment) from None  # type: ignore[no-untyped-call]  # not annotated
    task.defer(trigger=DateTimeTrigger(moment=moment), method_name="resume")


class _ChunkOperator(BaseOperator):
    """What works on one chunk."""

    template_fields: Sequence[str] = ("chunk",)

    def __init__(
        self,
        *,
        chunk: str | XComArg,
        aws_conn_id: str = "aws_default",
        anthropic_conn_id: str = "anthropic_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_arguments(type(self).__name__, aws_conn_id=aws_conn_id, anthropic_conn_id=anthropic_conn_id)
        self.chunk = cast(str, chunk)  # an XComArg is resolved before the task runs
        self.aws_conn_id = aws_conn_id
        self.anthropic_conn_id = anthropic_conn_id


class ClaudeBatchOperator(_ChunkOperator):
    """
    Submit a chunk of requests as one message batch; returns the batch's id.

    Safe to kill, to retry and to clear at any time: a chunk that was submitted before, by whichever run, is not sent
    again. The SDK's own retries are off. Where it is unclear whether a batch was made, the batch is looked for and
    adopted, and the chunk is sent again only when there surely is none. A batch is never cancelled here.

    While the API takes no batch (a full queue, a rate limit, overload), while an unclear create settles, and while a
    batch of one request warms the prompt cache for it, the task waits without a worker. A spend limit or a refused key
    fails at once. A chunk of which other runs have taken every request over is skipped, and with it its `wait` and
    `load`: the run's next pass waits for what the others have sent.

    :param chunk: the lake key of a chunk file (templated), from PlanOperator or from ``chunk_files.write_chunk``
    :param aws_conn_id: the connection of the lake
    :param anthropic_conn_id: the connection of the API
    :param deferrable: wait in the triggerer; False reschedules the task instead, for a deployment without a triggerer
    """

    def __init__(self, *, deferrable: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_arguments(type(self).__name__, deferrable=deferrable)
        self.deferrable = deferrable

    def execute(self, context: Context) -> str:
        from claude_batch.connections.claude import open_claude
        from claude_batch.connections.gateways import open_lake
        from include.steps.submit import submit

        try:
            with airflow_failures(), open_claude(self.anthropic_conn_id) as claude:
                run_id = context["dag_run"].run_id
                return submit(self.chunk, run_id=run_id, lake=open_lake(self.aws_conn_id), claude=claude)
        except NotSent as reason:
            raise AirflowSkipException(str(reason)) from None
        except NotYet as later:
            again_at = f"{later.again_at:%H:%M:%S} UTC"
            self.log.warning("%s Looking again at %s or soon after, without a worker until then", later, again_at)
            _leave_worker(self, until=later.again_at)

    def resume(self, context: Context, event: Any) -> str:
        """Try again: what happened before is in the ledger, and nowhere else."""
        return self.execute(context)


class LoadOperator(_ChunkOperator):
    """
    Load the results of a chunk's ended batch into the result store; returns the number of requests for each outcome.

    Nothing is visible before every line is there. A batch that has been loaded is not downloaded again. A few lines
    that the API does not give at the last try either are outcomes of their own, ``missing``; lines that cannot be read
    then are ``invalid``.

    :param chunk: the lake key of the chunk file that was submitted (templated)
    :param batch_id: its batch (templated), from ClaudeBatchOperator
    :param aws_conn_id: the connection of the lake
    :param anthropic_conn_id: the connection of the API
    """

    template_fields: Sequence[str] = ("chunk", "batch_id")

    def __init__(self, *, batch_id: str | XComArg, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.batch_id = cast(str, batch_id)  # likewise

    def execute(self, context: Context) -> dict[str, int]:
        from claude_batch.connections.claude import open_claude
        from claude_batch.connections.gateways import open_lake
        from include.steps.load import load

        if not self.batch_id:
            raise airflow_failure(
                LoadError(f"Chunk {self.chunk} has no batch: see its `submit`. There is nothing to load.")
            )
        ti = context["ti"]
        with airflow_failures(), open_claude(self.anthropic_conn_id) as claude:
            return load(
                self.chunk,
                self.batch_id,
                lake=open_lake(self.aws_conn_id),
                claude=claude,
                # The tries are minutes apart: what the last one does not find either will not come.
                accept_missing=ti.try_number > ti.max_tries,
            )


class PublishOperator(_RunOperator):
    """
    Publish the partition: the typed table by business key, the rejects beside it, the manifest last. Returns the counts
    and what the run cost; the events of the assets in ``outlets`` have them too, with the partition. A trial is
    published into the run's folder: it sends no event, and the tasks after this one are skipped.

    Leaves the partition as it was if a later run has read the warehouse since; fails, and leaves it too, if more rows
    were rejected than the pipeline's ``max_reject_ratio`` allows, or if the source has lost all its rows.

    :param pipeline: as for ExtractOperator
    :param partition: as for ExtractOperator
    :param aws_conn_id: the connection of the lake
    """

    def execute(self, context: Context) -> dict[str, int | str | None]:
        from claude_batch.connections.gateways import open_lake
        from include.enrichment.cost.prices import format_decimal
        from include.steps.publish import publish

        with self._failures(context):
            folder = self.run_folder(context)
            manifest = publish(folder, lake=open_lake(self.aws_conn_id))
        self._set_headline(context, *headline.published(manifest, run_id=folder.run_id))
        told = {
            "rows": manifest.rows,
            "published": manifest.published,
            "rejected": manifest.rejected,
            # As text: neither XCom nor the event's extra has an exact number for it.
            "cost_usd": None if manifest.cost_usd is None else format_decimal(manifest.cost_usd),
        }
        if manifest.trial is None:
            for asset in self.outlets:
                context["outlet_events"][asset].extra = {"partition": manifest.partition, **told}
            return told
        self.log.info("A trial: the partition's table is as it was, and the tasks after this one are skipped.")
        self.outlets = []  # Airflow sends an event for each outlet that a task has when it succeeds
        if later := sorted(self.get_flat_relative_ids()):
            raise DownstreamTasksSkipped(tasks=later)  # type: ignore[no-untyped-call]  # not annotated
        return told
