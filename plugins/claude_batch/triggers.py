"""
The trigger: waits for one batch in the triggerer, without a worker. The poller looks for it, and nothing is touched,
unless the Dag's author wants a batch canceled with its task.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from claude_batch import poller
from claude_batch.failures import SOONEST_RESUME
from include.enrichment.batches.cancel import may_cancel
from include.enrichment.batches.poll import BatchPoll, Ended, LookAgain


def _event(payload: dict[str, Any]) -> TriggerEvent:
    return TriggerEvent(payload)  # type: ignore[no-untyped-call]  # Airflow's is not annotated


class ClaudeBatchTrigger(BaseTrigger):
    """
    Fires once: when the batch has ended, or when waiting on is of no use.

    It may be started anew at any time, on any triggerer, and then simply looks again. A kill, a clear or a move to
    another triggerer does nothing to the batch, unless ``cancel_on_kill`` says otherwise.

    The event is ``{"batch_id", "counts"}`` for a batch that has ended, ``{"batch_id", "error"}`` otherwise.

    :param batch_id: the batch to wait for
    :param anthropic_conn_id: the connection of the API
    :param poke_interval: the longest pause between two looks, in seconds, give or take a tenth
    :param deadline: when the batch has to have ended, ISO 8601 with its offset
    :param chunk: the lake key of the chunk that the batch was made of
    :param cancel_on_kill: cancel the batch when the task was marked as over while it waited, and no other run holds it
    :param aws_conn_id: the connection of the lake
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
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's is not annotated
        self.batch_id = batch_id
        self.anthropic_conn_id = anthropic_conn_id
        self.poke_interval = poke_interval
        self.deadline = deadline
        self.chunk = chunk
        self.cancel_on_kill = cancel_on_kill
        self.aws_conn_id = aws_conn_id

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """As Airflow stores it between triggerers."""
        return "claude_batch.triggers.ClaudeBatchTrigger", {
            "batch_id": self.batch_id,
            "anthropic_conn_id": self.anthropic_conn_id,
            "poke_interval": self.poke_interval,
            "deadline": self.deadline,
            "chunk": self.chunk,
            "cancel_on_kill": self.cancel_on_kill,
            "aws_conn_id": self.aws_conn_id,
        }

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait until there is something to say."""
        if self.trigger_id is not None:  # None: run within a task by dag.test(), where nothing races
            await asyncio.sleep(SOONEST_RESUME.total_seconds())
        deadline = datetime.fromisoformat(self.deadline)
        poll = BatchPoll(self.batch_id, deadline=deadline, interval_seconds=self.poke_interval)
        decision = await poller.wait(poll, connection=self.anthropic_conn_id, on_trouble=self._log_trouble)
        if isinstance(decision, Ended):
            yield _event({"batch_id": self.batch_id, "counts": decision.status.counts})
        else:
            yield _event({"batch_id": self.batch_id, "error": str(decision.error)})

    def _log_trouble(self, decision: LookAgain) -> None:
        self.log.warning("Batch %s: %s Looking again in %.0f s", self.batch_id, decision.trouble, decision.seconds)

    async def on_kill(self) -> None:
        """
        Cancel the batch if that is wanted and nobody needs it any more; see may_cancel().

        Where that cannot be found out, the batch goes on: what is not canceled can still be, and what is canceled would
        have to be paid anew.
        """
        from claude_batch.connections.claude import open_async_claude

        if not self.cancel_on_kill:
            return
        try:
            # Connections, the lake and Airflow's own answers block: a thread keeps them off the event loop.
            state = await asyncio.to_thread(self._task_state)
            holders = await asyncio.to_thread(self._holders)
            if self.task_instance is None or not may_cancel(state, self.task_instance.run_id, holders):
                self.log.warning(
                    "The wait for batch %s was killed, and the batch goes on: its task's state is %s, the runs that"
                    " hold it are %s. It is canceled only when the task is marked as over and no other run holds it",
                    self.batch_id,
                    state,
                    holders,
                )
                return
            async with await open_async_claude(self.anthropic_conn_id) as claude:
                await claude.cancel(self.batch_id)
        except Exception:  # a killed trigger has nobody to tell but the log, and what was not canceled still can be
            self.log.exception("The wait for batch %s was killed, and the batch was not surely canceled", self.batch_id)
            return
        self.log.warning(
            "Batch %s was canceled: its task is marked as %s and no other run holds it. What it had finished stays paid"
            " and can be loaded",
            self.batch_id,
            state,
        )

    def _task_state(self) -> str | None:
        """The state of the task instance as it is now, None if it is not to be found."""
        from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

        if (mine := self.task_instance) is None:
            return None
        states = RuntimeTaskInstance.get_task_states(
            dag_id=mine.dag_id, task_ids=[mine.task_id], run_ids=[mine.run_id], map_index=mine.map_index
        )
        name = mine.task_id if mine.map_index < 0 else f"{mine.task_id}_{mine.map_index}"
        state = states.get(mine.run_id, {}).get(name)
        return None if state is None else str(state)

    def _holders(self) -> list[str]:
        """The runs that hold the batch, none if the ledger knows of no such batch."""
        from claude_batch.connections.gateways import open_lake
        from include.enrichment.storage import layout
        from include.gateways.ledger_store import Ledger

        if self.chunk is None:
            return []
        ledger = Ledger(open_lake(self.aws_conn_id), pipeline=layout.pipeline_of(self.chunk))
        (entry,) = ledger.latest([layout.chunk_id_of(self.chunk)])
        return entry.run_ids if entry and entry.batch_id == self.batch_id else []
