"""
The operators, in the order of the flow: extract, plan, submit (ClaudeBatchOperator), load, publish.

The work itself is in include/steps. Dag files import this module, so it imports include/steps inside the methods:
parsing a Dag must not load pyarrow and the SDK.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, Any, cast

from airflow.sdk import BaseOperator, conf
from airflow.sdk.exceptions import AirflowSkipException, DownstreamTasksSkipped

from claude_batch import pipelines
from claude_batch.arguments import check_arguments
from claude_batch.failures import airflow_failure, airflow_failures, leave_worker
from claude_batch.run_operator import RunOperator
from include.enrichment.answers import headline
from include.enrichment.errors import LoadError, NotSent, NotYet
from include.enrichment.runs.partition import Partition, check_not_future

if TYPE_CHECKING:
    from airflow.sdk import Context, XComArg

    from include.gateways.claude import Claude


class ExtractOperator(RunOperator):
    """
    Read a pipeline's partition from its source and render its rows.

    Checks model, key, lake and source before it reads a row. Writes the rows to the run's folder on the lake and
    returns their number.

    :param pipeline: a folder below include/pipelines
    :param partition: a day, e.g. ``2026-11-21`` (templated). Default: the run's param ``partition``, else its partition
        key, else the day that the publish which triggered it names, else the day on which its data interval starts
    :param aws_conn_id: the connection of the lake
    :param anthropic_conn_id: the connection of the API
    :param source_ready_after: how long after the end of the day (midnight UTC) the warehouse has all its rows. The task
        waits until then without a worker. None: it does not wait
    :param deferrable: wait in the triggerer. False: reschedule the task, for a deployment without a triggerer
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
        from claude_batch.connections.claude_connection import open_claude
        from claude_batch.connections.gateways import open_buckets, open_lake, open_source
        from include.enrichment.runs.options import run_options
        from include.enrichment.spec.pipeline_folder import load_pipeline
        from include.steps.extract import extract
        from include.steps.extracting.setup_check import check_setup
        from include.steps.planning.token_counts import count_sample

        with self.failures(context):
            folder = self.run_folder(context)
            self.log.info("Partition %s of %s", folder.partition, self.pipeline)
            self.warn_about_interval(context)
            pipeline = load_pipeline(pipelines.PIPELINES / self.pipeline)
            # self.params has the params that the Dag and the task define. Any other param of the run is a typo.
            pipeline = pipeline.for_run(run_options(context["params"], others={"partition", *self.params}))
            check_not_future(folder.partition, today=datetime.now(UTC).date())
            self._wait_for_source(folder.partition)
            lake = open_lake(self.aws_conn_id)
            with open_claude(self.anthropic_conn_id) as claude:
                context_tokens = check_setup(pipeline, lake=lake, claude=claude)
                connection = pipeline.settings.attachments_connection
                buckets = open_buckets(connection) if connection else None
                extracted = extract(
                    pipeline,
                    folder,
                    source=open_source(pipeline, lake=lake),
                    lake=lake,
                    buckets=buckets,
                    context_tokens=context_tokens,
                    deadline=self.deadline_of_run(context, pipeline),
                )
                count_sample(folder, lake=lake, claude=claude, buckets=buckets)
        result = headline.extracted(extracted.source_rows, requests=extracted.rows, unsendable=extracted.unsendable)
        self.log.info("Extracted %s: %s", folder.partition, result)
        self.set_headline(context, result)
        return extracted.rows

    def resume(self, context: Context, event: Any) -> int:
        """Extract, now that the source is ready."""
        return self.execute(context)

    def source_ready_at(self, partition: Partition) -> datetime | None:
        """Return when the warehouse has all rows of the partition, None if ``source_ready_after`` is not set."""
        if self.source_ready_after is None:
            return None
        return datetime.combine(partition.end, time.min, UTC) + self.source_ready_after

    def _wait_for_source(self, partition: Partition) -> None:
        ready_at = self.source_ready_at(partition)
        if ready_at and datetime.now(UTC) < ready_at:
            self.log.info(
                "Waiting without a worker until the day's rows are complete at %s UTC", f"{ready_at:%Y-%m-%d %H:%M}"
            )
            leave_worker(self, until=ready_at)


class PlanOperator(RunOperator):
    """
    Decide what a pass sends and split it into chunks, one for each batch.

    Requests that any run has already paid for are not sent again; requests in flight are waited for. Returns the lake
    keys of the chunk files that become batches, over which `chunk` is mapped; `ask` finds the others in the plan. The
    list is empty if there is no batch to send or to wait for. Fails before the main pass if the canary failed for good.
    A dry run logs what all passes would send and skips every later task.

    The XCom ``switch_at`` is the time at which the waits cancel their batches, empty in a run without a deadline.

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
        from include.steps.ask import planned_pass
        from include.steps.dry_run import dry_run
        from include.steps.files.extracted import read_pipeline
        from include.steps.plan import plan

        with self.failures(context):
            lake, folder = open_lake(self.aws_conn_id), self.run_folder(context)
            if read_pipeline(lake, folder).options.dry_run:
                forecast = dry_run(folder, lake=lake)
                self.log.info("Dry run: nothing is sent, and every later task is skipped.\n%s", forecast.table())
                self.set_headline(context, headline.forecast(forecast))
                later = sorted(self.get_flat_relative_ids())
                raise DownstreamTasksSkipped(tasks=later)  # type: ignore[no-untyped-call]  # not annotated
            most_chunks = conf.getint("core", "max_map_length")
            chunks = plan(folder, pass_name=self.pass_name, lake=lake, most_chunks=most_chunks)
            made = planned_pass(folder, pass_name=self.pass_name, lake=lake)
        self.set_headline(context, headline.planned(chunks))
        if batches := [chunk for chunk in chunks if chunk not in made.synchronous]:
            # Also without a deadline: each wait reads it, and Airflow logs an ERROR for an XCom that does not exist.
            context["ti"].xcom_push("switch_at", made.switch_at.isoformat() if made.switch_at else "")
        return batches


class _ChunkOperator(BaseOperator):
    """A task that works on one chunk."""

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

    Killing, retrying and clearing it is always safe: a chunk that any run has submitted is not sent again. If the
    response to a create was lost, the task looks for the batch and adopts it, and sends the chunk again only once the
    API shows that there is none. The SDK's own retries are off. The task never cancels a batch.

    It waits without a worker while the API accepts no batch (full queue, rate limit, overload), while a lost create
    settles, and while a batch of one request warms the prompt cache. A spend limit or a rejected key fails it at once.
    If other runs have taken over every request of the chunk, the task is skipped, and `wait` and `load` with it; the
    next pass waits for those requests.

    :param chunk: the lake key of a chunk file (templated), from PlanOperator or from ``chunk_files.write_chunk``
    :param aws_conn_id: the connection of the lake
    :param anthropic_conn_id: the connection of the API
    :param deferrable: as for ExtractOperator
    """

    def __init__(self, *, deferrable: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_arguments(type(self).__name__, deferrable=deferrable)
        self.deferrable = deferrable

    def execute(self, context: Context) -> str:
        from claude_batch.connections.claude_connection import open_claude
        from claude_batch.connections.gateways import open_buckets, open_lake
        from include.steps.submit import submit

        try:
            with airflow_failures(), open_claude(self.anthropic_conn_id) as claude:
                return submit(
                    self.chunk,
                    run_id=context["dag_run"].run_id,
                    lake=open_lake(self.aws_conn_id),
                    claude=claude,
                    open_buckets=open_buckets,
                )
        except NotSent as reason:
            raise AirflowSkipException(str(reason)) from None
        except NotYet as later:
            again_at = f"{later.again_at:%H:%M:%S} UTC"
            self.log.warning("%s Trying again at about %s; the worker is free until then", later, again_at)
            leave_worker(self, until=later.again_at)

    def resume(self, context: Context, event: Any) -> str:
        """Try again. The ledger alone knows what happened before."""
        return self.execute(context)


class LoadOperator(_ChunkOperator):
    """
    Load the results of a chunk's ended batch into the result store; returns the number of requests for each outcome.

    Readers see either all results of the batch or none. A loaded batch is not downloaded again. On the last try, a few
    lines that the API still does not return become outcome ``missing``, and unreadable lines become ``invalid``.

    :param chunk: the lake key of the chunk file that was submitted (templated)
    :param batch_id: the chunk's batch (templated), from ClaudeBatchOperator
    :param aws_conn_id: the connection of the lake
    :param anthropic_conn_id: the connection of the API
    """

    template_fields: Sequence[str] = ("chunk", "batch_id")

    def __init__(self, *, batch_id: str | XComArg, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.batch_id = cast(str, batch_id)  # as for chunk

    def execute(self, context: Context) -> dict[str, int]:
        from claude_batch.connections.claude_connection import open_claude
        from claude_batch.connections.gateways import open_lake
        from include.steps.load import load

        if not self.batch_id:
            raise airflow_failure(
                LoadError(f"Chunk {self.chunk} has no batch, so there is nothing to load. See the log of its `submit`.")
            )
        ti = context["ti"]
        with airflow_failures(), open_claude(self.anthropic_conn_id) as claude:
            return load(
                self.chunk,
                self.batch_id,
                lake=open_lake(self.aws_conn_id),
                claude=claude,
                # Tries are minutes apart: a line that is missing on the last one will not come.
                accept_missing=ti.try_number > ti.max_tries,
            )


class PublishOperator(RunOperator):
    """
    Publish the partition: first the typed table and the rejects, then the manifest.

    Returns the counts and the run's cost. The events of the assets in ``outlets`` carry them too, with the partition. A
    trial is published into the run's folder: it sends no event, and later tasks are skipped.

    The partition stays as it was if another run has read the warehouse more recently. It also stays, and the task
    fails, if more rows were rejected than ``max_reject_ratio`` allows or if the source has lost all its rows.

    Then it deletes the documents that were uploaded for this run and that no other run needs.

    :param pipeline: as for ExtractOperator
    :param partition: as for ExtractOperator
    :param aws_conn_id: the connection of the lake
    :param anthropic_conn_id: the connection of the API, used only by pipelines with attachments
    """

    def __init__(self, *, anthropic_conn_id: str = "anthropic_default", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_arguments(type(self).__name__, anthropic_conn_id=anthropic_conn_id)
        self.anthropic_conn_id = anthropic_conn_id

    def execute(self, context: Context) -> dict[str, int | str | None]:
        from claude_batch.connections.gateways import open_lake
        from include.enrichment.cost.prices import format_decimal
        from include.steps.publish import publish

        with self.failures(context):
            folder, lake = self.run_folder(context), open_lake(self.aws_conn_id)
            manifest = publish(folder, lake=lake, open_claude=self._open_claude)
        self.set_headline(context, *headline.published(manifest, run_id=folder.run_id))
        counts = {
            "rows": manifest.rows,
            "published": manifest.published,
            "rejected": manifest.rejected,
            # As text: XCom and the event's extra have no exact decimal type.
            "cost_usd": None if manifest.cost_usd is None else format_decimal(manifest.cost_usd),
        }
        if manifest.trial is None:
            for asset in self.outlets:
                context["outlet_events"][asset].extra = {"partition": manifest.partition, **counts}
            return counts
        self.log.info("Trial run: the day's table is unchanged, and later tasks are skipped.")
        self.outlets = []  # Airflow sends an event for each outlet of a task that succeeds
        if later := sorted(self.get_flat_relative_ids()):
            raise DownstreamTasksSkipped(tasks=later)  # type: ignore[no-untyped-call]  # not annotated
        return counts

    def _open_claude(self) -> Claude:
        from claude_batch.connections.claude_connection import open_claude

        return open_claude(self.anthropic_conn_id)
