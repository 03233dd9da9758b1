"""The sensor that waits for one batch."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

from airflow.sdk import BaseSensorOperator, PokeReturnValue

from claude_batch.arguments import check_arguments
from claude_batch.failures import airflow_failure, airflow_failures
from claude_batch.triggers import ClaudeBatchTrigger
from include.enrichment.batches.cancel import is_only_holder
from include.enrichment.batches.poll import WINDOW, BatchPoll, Ended, GiveUp, Look, LookAgain
from include.enrichment.errors import ApiError, BatchError, EnrichmentError, SetupError

if TYPE_CHECKING:
    from airflow.sdk import Context, XComArg


class ClaudeBatchSensor(BaseSensorOperator):
    """
    Wait until a message batch has ended; returns the number of requests for each API status.

    Killing, clearing and rerunning the sensor leaves the batch alone, unless ``cancel_on_kill`` is set. Expired and
    errored requests do not fail the sensor: `load` judges each request.

    A deferred wait holds no worker. All waits of a triggerer on one connection share one client and its polls: one call
    to the API's list covers 1,000 batches. With ``deferrable=False`` Airflow pokes, by default in mode ``reschedule``.

    Transient API errors are waited out. The sensor fails if the key is rejected, if the batch stays unknown, or half an
    hour after the API's limit of 24 hours. Without deferral each poke is a new process without memory, so an unknown
    batch or an unreachable API ends the wait only at ``timeout``.

    :param batch_id: the batch (templated), from ClaudeBatchOperator
    :param chunk: the lake key of the batch's chunk (templated), for the log; ``cancel_on_kill`` requires it
    :param cancel_on_kill: cancel the batch if this task or its run is marked as failed, success or skipped during the
        wait and no other run needs the batch. A clear cancels nothing. Finished results can still be loaded. Requires
        ``chunk`` and ``deferrable``; ValueError without them
    :param switch_at: when the batch is canceled if it has not ended and no other run needs it (templated), ISO 8601
        with its offset: the XCom ``switch_at`` of PlanOperator. Empty: never. Requires ``chunk``; ValueError without it
    :param anthropic_conn_id: the connection of the API
    :param aws_conn_id: the connection of the lake, whose ledger lists the runs that need the batch
    :param deferrable: wait in the triggerer. False: poke, for a deployment without a triggerer
    :param poke_interval: the longest pause between two polls, in seconds, plus or minus a tenth. A new batch is polled
        more often, and the API may request a longer pause
    :param timeout: the sensor fails after this many seconds
    """

    template_fields: Sequence[str] = ("batch_id", "chunk", "switch_at")

    def __init__(
        self,
        *,
        batch_id: str | XComArg,
        chunk: str | XComArg | None = None,
        cancel_on_kill: bool = False,
        switch_at: str = "",
        anthropic_conn_id: str = "anthropic_default",
        aws_conn_id: str = "aws_default",
        deferrable: bool = True,
        poke_interval: float = 60,
        timeout: float = 25 * 60 * 60,
        mode: str = "reschedule",
        **kwargs: Any,
    ) -> None:
        check_arguments(
            type(self).__name__,
            cancel_on_kill=cancel_on_kill,
            anthropic_conn_id=anthropic_conn_id,
            aws_conn_id=aws_conn_id,
            deferrable=deferrable,
            poke_interval=poke_interval,
        )
        super().__init__(poke_interval=poke_interval, timeout=timeout, mode=mode, **kwargs)
        if cancel_on_kill and (chunk is None or not deferrable):
            raise ValueError(
                f"{self.task_id}: cancel_on_kill needs `chunk`, the lake key of the batch's chunk, and deferrable=True."
            )
        if switch_at and chunk is None:
            raise ValueError(f"{self.task_id}: switch_at needs `chunk`, the lake key of the batch's chunk.")
        # An XComArg is resolved before the task runs.
        self.batch_id = cast(str, batch_id)
        self.chunk = cast("str | None", chunk)
        self.cancel_on_kill = cancel_on_kill
        self.switch_at = switch_at
        self.anthropic_conn_id = anthropic_conn_id
        self.aws_conn_id = aws_conn_id
        self.deferrable = deferrable

    def execute(self, context: Context) -> Any:
        if not self.deferrable:
            return super().execute(context)
        poll = self._poll()
        decision = self._look(poll)
        if isinstance(decision, Ended):
            return self._ended(decision.status.counts)
        self.log.info("%s", self._description())
        self.defer(
            trigger=ClaudeBatchTrigger(
                batch_id=self.batch_id,
                anthropic_conn_id=self.anthropic_conn_id,
                poke_interval=self.poke_interval,
                deadline=poll.deadline.isoformat(),
                chunk=self.chunk,
                cancel_on_kill=self.cancel_on_kill,
                aws_conn_id=self.aws_conn_id,
                switch_at=self.switch_at,
                run_id=context["dag_run"].run_id if self.switch_at else "",
            ),
            method_name="execute_complete",
            timeout=timedelta(seconds=self.timeout),
        )

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, int]:
        """Return the counts of the trigger's event. Raises Failed for an event with an error."""
        if "error" in event:
            raise airflow_failure(BatchError(event["error"]))
        return self._ended(event["counts"])

    def poke(self, context: Context) -> PokeReturnValue:
        """Poll once, for ``deferrable=False``."""
        decision = self._look(self._poll())
        if isinstance(decision, Ended):
            return PokeReturnValue(True, self._ended(decision.status.counts))
        if self.switch_at and not decision.canceling:
            self._switch(datetime.fromisoformat(self.switch_at), context["dag_run"].run_id)
        return PokeReturnValue(False)

    def _switch(self, switch_at: datetime, run_id: str) -> None:
        """Cancel the batch if the switch time has come and no other run needs it. Each poke tries again."""
        from claude_batch.connections.claude_connection import open_claude
        from claude_batch.connections.gateways import open_lake
        from include.steps.wait import describe_shared, describe_switch, find_holders

        if self.chunk is None or datetime.now(UTC) < switch_at:
            return
        try:
            holders = find_holders(self.chunk, self.batch_id, lake=open_lake(self.aws_conn_id))
            if not is_only_holder(run_id, holders):
                self.log.warning("%s", describe_shared(self.batch_id, holders))
                return
            with open_claude(self.anthropic_conn_id) as claude:
                claude.cancel(self.batch_id)
        except EnrichmentError as error:
            self.log.warning("Batch %s is not canceled yet: %s The next poke tries again", self.batch_id, error)
            return
        self.log.warning("%s", describe_switch(self.batch_id, switch_at))

    def _poll(self) -> BatchPoll:
        return BatchPoll(self.batch_id, deadline=datetime.now(UTC) + WINDOW, interval_seconds=self.poke_interval)

    def _look(self, poll: BatchPoll) -> Ended | LookAgain:
        from claude_batch.connections.claude_connection import open_claude

        look: Look
        with airflow_failures(), open_claude(self.anthropic_conn_id) as claude:
            try:
                look = claude.retrieve(self.batch_id)
            except (ApiError, SetupError) as error:
                look = error
        decision = poll.decide(look, now=datetime.now(UTC))
        if isinstance(decision, GiveUp):
            raise airflow_failure(decision.error)
        if isinstance(decision, LookAgain) and decision.trouble:
            self.log.warning("Batch %s: %s Polling again", self.batch_id, decision.trouble)
        return decision

    def _description(self) -> str:
        from claude_batch.connections.gateways import open_lake
        from include.steps.wait import batch_contents, describe_wait

        contents = None
        if self.chunk:
            with suppress(EnrichmentError):  # the wait works without it
                contents = batch_contents(self.chunk, lake=open_lake(self.aws_conn_id))
        return describe_wait(self.batch_id, contents)

    def _ended(self, counts: dict[str, int]) -> dict[str, int]:
        nonzero = ", ".join(f"{count:,} {name}" for name, count in counts.items() if count)
        self.log.info("Batch %s has ended: %s", self.batch_id, nonzero)
        return counts
