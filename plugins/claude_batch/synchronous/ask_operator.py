"""The task that asks a pass's synchronous chunks."""

from __future__ import annotations

import threading
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowSkipException

from claude_batch.arguments import check_arguments
from claude_batch.failures import leave_worker
from claude_batch.run_operator import RunOperator
from include.enrichment.answers import headline
from include.enrichment.errors import NotSent, NotYet

if TYPE_CHECKING:
    from airflow.sdk import Context

    from include.enrichment.spec.pipeline import Pipeline
    from include.gateways.synchronous.answerer import Answerer


class AskOperator(RunOperator):
    """
    Ask the synchronous chunks of a pass and load them; returns the number of requests for each outcome.

    Answers are stored as they come. Killing, retrying and clearing the task is safe: the next try asks only what has no
    stored answer. At most ``limits.synchronous_requests`` answers of a process that is killed are lost and paid for
    again.

    The task is skipped if the pass asks nothing synchronously. It waits without a worker while the API accepts no call
    for a longer time, and while another process asks a chunk that it needs.

    :param pipeline: as for ExtractOperator
    :param partition: as for ExtractOperator
    :param aws_conn_id: the connection of the lake
    :param anthropic_conn_id: the connection of the API
    :param pass_name: as for PlanOperator
    :param deferrable: as for ExtractOperator
    """

    def __init__(
        self,
        *,
        pass_name: str,
        anthropic_conn_id: str = "anthropic_default",
        deferrable: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_arguments(
            type(self).__name__, pass_name=pass_name, anthropic_conn_id=anthropic_conn_id, deferrable=deferrable
        )
        self.pass_name = pass_name
        self.anthropic_conn_id = anthropic_conn_id
        self.deferrable = deferrable
        self._stopping: threading.Event | None = None

    def execute(self, context: Context) -> dict[str, int]:
        from claude_batch.connections.claude_connection import open_claude
        from claude_batch.connections.gateways import open_buckets, open_lake
        from include.steps.ask import ask

        self._stopping = threading.Event()
        try:
            with self.failures(context), open_claude(self.anthropic_conn_id) as claude:
                counts = ask(
                    self.run_folder(context),
                    pass_name=self.pass_name,
                    lake=open_lake(self.aws_conn_id),
                    claude=claude,
                    open_answerer=self.open_answerer,
                    open_buckets=open_buckets,
                    stopping=self._stopping,
                )
        except NotSent as reason:
            self.set_headline(context, "nothing to ask")
            raise AirflowSkipException(str(reason)) from None
        except NotYet as later:
            self.log.warning("%s Trying again at about %s UTC; the worker is free", later, f"{later.again_at:%H:%M:%S}")
            leave_worker(self, until=later.again_at)
        self.set_headline(context, headline.counted(counts))
        return counts

    def resume(self, context: Context, event: Any) -> dict[str, int]:
        """Try again. The lake alone knows what was answered before."""
        return self.execute(context)

    def on_kill(self) -> None:
        """Ask nothing more. The answers that come before Airflow ends the process are stored."""
        if self._stopping:
            self._stopping.set()

    def open_answerer(self, pipeline: Pipeline) -> AbstractAsyncContextManager[Answerer]:
        """Return what answers the requests of the pipeline: here, one call to the API for each."""
        from claude_batch.connections.claude_connection import open_messages

        return open_messages(self.anthropic_conn_id)
