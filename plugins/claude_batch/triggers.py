"""
The trigger that waits for one batch in the triggerer, without a worker.

The poller makes the API calls. They are all reads, except for the cancel of a batch that its run's deadline cannot wait
for, or that the Dag's author wants canceled with its task.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from claude_batch import poller
from claude_batch.failures import SHORTEST_DEFERRAL
from include.enrichment.batches.cancel import is_only_holder, may_cancel
from include.enrichment.batches.poll import BatchPoll, Ended, GiveUp, LookAgain
from include.enrichment.errors import EnrichmentError


def _event(payload: dict[str, Any]) -> TriggerEvent:
    return TriggerEvent(payload)  # type: ignore[no-untyped-call]  # Airflow's is not annotated


class ClaudeBatchTrigger(BaseTrigger):
    """
    Fire once: when the batch has ended, or when further waiting is pointless. At the switch time the trigger cancels a
    batch that no other run needs, and goes on waiting for its end.

    Any triggerer may restart it at any time; it then polls again. A kill, a clear or a move to another triggerer leaves
    the batch alone, unless ``cancel_on_kill`` is set.

    The event is ``{"batch_id", "counts"}`` for a batch that has ended, ``{"batch_id", "error"}`` otherwise.

    :param batch_id: the batch to wait for
    :param anthropic_conn_id: the connection of the API
    :param poke_interval: the longest pause between two polls, in seconds, plus or minus a tenth
    :param deadline: when the batch must have ended, ISO 8601 with its offset
    :param chunk: the lake key of the batch's chunk
    :param cancel_on_kill: cancel the batch if a person ended the task during the wait and no other run needs the batch
    :param aws_conn_id: the connection of the lake
    :param switch_at: as for ClaudeBatchSensor, with ``run_id``, the run that waits
    """

    def __init__(
        self,
        *,
        batch_id: str,
        anthropic_conn_id: str,
        poke_interval: float,
        deadline: str,
        chunk: str | None = None,
        cancel_on_kill: bool = False,
        aws_conn_id: str = "aws_default",
        switch_at: str = "",
        run_id: str = "",
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's is not annotated
        self.batch_id = batch_id
        self.anthropic_conn_id = anthropic_conn_id
        self.poke_interval = poke_interval
        self.deadline = deadline
        self.chunk = chunk
        self.cancel_on_kill = cancel_on_kill
        self.aws_conn_id = aws_conn_id
        self.switch_at = switch_at
        self.run_id = run_id

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments, as Airflow stores them."""
        return "claude_batch.triggers.ClaudeBatchTrigger", {
            "batch_id": self.batch_id,
            "anthropic_conn_id": self.anthropic_conn_id,
            "poke_interval": self.poke_interval,
            "deadline": self.deadline,
            "chunk": self.chunk,
            "cancel_on_kill": self.cancel_on_kill,
            "aws_conn_id": self.aws_conn_id,
            "switch_at": self.switch_at,
            "run_id": self.run_id,
        }

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield the only event, at the end of the wait."""
        if self.trigger_id is not None:  # None: dag.test() runs the trigger in the task's process, without a race
            await asyncio.sleep(SHORTEST_DEFERRAL.total_seconds())
        deadline = datetime.fromisoformat(self.deadline)
        poll = BatchPoll(self.batch_id, deadline=deadline, interval_seconds=self.poke_interval)
        decision = await self._wait(poll)
        if isinstance(decision, Ended):
            yield _event({"batch_id": self.batch_id, "counts": decision.status.counts})
        else:
            yield _event({"batch_id": self.batch_id, "error": str(decision.error)})

    async def _wait(self, poll: BatchPoll) -> Ended | GiveUp:
        """Wait for the end of the batch. At the switch time, cancel it."""
        switch_at = datetime.fromisoformat(self.switch_at) if self.switch_at else None
        while True:
            seconds = (switch_at - datetime.now(UTC)).total_seconds() if switch_at else None
            try:
                async with asyncio.timeout(seconds):
                    return await poller.wait(poll, connection=self.anthropic_conn_id, on_trouble=self._log_trouble)
            except TimeoutError:
                switch_at = await self._switch()

    async def _switch(self) -> datetime | None:
        """Cancel the batch unless another run needs it. Return when to try again, None if that is settled."""
        from claude_batch.connections.claude_connection import open_async_claude
        from include.steps.wait import describe_shared, describe_switch

        try:
            holders = await asyncio.to_thread(self._holders)
            if not is_only_holder(self.run_id, holders):
                self.log.warning("%s", describe_shared(self.batch_id, holders))
                return None
            async with await open_async_claude(self.anthropic_conn_id) as claude:
                await claude.cancel(self.batch_id)
        except EnrichmentError as error:
            again_at = datetime.now(UTC) + timedelta(seconds=self.poke_interval)
            self.log.warning(
                "Batch %s is not canceled yet: %s Trying again at %s UTC", self.batch_id, error, f"{again_at:%H:%M:%S}"
            )
            return again_at
        self.log.warning("%s", describe_switch(self.batch_id, datetime.fromisoformat(self.switch_at)))
        return None

    def _log_trouble(self, decision: LookAgain) -> None:
        self.log.warning("Batch %s: %s Polling again in %.0f s", self.batch_id, decision.trouble, decision.seconds)

    async def on_kill(self) -> None:
        """
        Cancel the batch if ``cancel_on_kill`` is set and no run needs it; see may_cancel().

        If that cannot be determined, the batch continues: it can still be canceled later, whereas a canceled batch has
        to be paid for again.
        """
        from claude_batch.connections.claude_connection import open_async_claude

        if not self.cancel_on_kill:
            return
        try:
            # Connections, the lake and Airflow's API block: threads keep them off the event loop.
            state = await asyncio.to_thread(self._task_state)
            holders = await asyncio.to_thread(self._holders)
            if self.task_instance is None or not may_cancel(state, self.task_instance.run_id, holders):
                self.log.warning(
                    "The wait for batch %s was killed, and the batch continues: its task is %s, and the runs that need"
                    " it are %s. It is canceled only if the task is marked as failed, success or skipped and no other"
                    " run needs it",
                    self.batch_id,
                    state,
                    holders,
                )
                return
            async with await open_async_claude(self.anthropic_conn_id) as claude:
                await claude.cancel(self.batch_id)
        except Exception:  # a killed trigger can only log, and the batch can still be canceled by hand
            self.log.exception("The wait for batch %s was killed, but the batch may not be canceled", self.batch_id)
            return
        self.log.warning(
            "Batch %s was canceled: its task is marked as %s and no other run needs it. Its finished requests are"
            " billed and can be loaded",
            self.batch_id,
            state,
        )

    def _task_state(self) -> str | None:
        """Return the current state of the task instance, None if there is none."""
        from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

        if (ti := self.task_instance) is None:
            return None
        states = RuntimeTaskInstance.get_task_states(
            dag_id=ti.dag_id, task_ids=[ti.task_id], run_ids=[ti.run_id], map_index=ti.map_index
        )
        name = ti.task_id if ti.map_index < 0 else f"{ti.task_id}_{ti.map_index}"
        state = states.get(ti.run_id, {}).get(name)
        return None if state is None else str(state)

    def _holders(self) -> list[str]:
        """Return the runs that need the batch, none if the ledger does not list the batch."""
        from claude_batch.connections.gateways import open_lake
        from include.steps.wait import find_holders

        if self.chunk is None:
            return []
        return find_holders(self.chunk, self.batch_id, lake=open_lake(self.aws_conn_id))
