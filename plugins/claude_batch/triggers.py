"""
The trigger: waits for one batch in the triggerer, without a worker. It looks and never touches: no download, no cancel.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from include.enrichment.errors import ApiError, SetupError
from include.enrichment.poll import BatchPoll, BatchStatus, Ended, GiveUp

#: Airflow 3.3 can fail a task whose trigger fires before the scheduler has seen the worker's exit (apache/airflow issue
#: 66374).
_FIRST_EVENT_SECONDS = 30


def _event(payload: dict[str, Any]) -> TriggerEvent:
    return TriggerEvent(payload)  # type: ignore[no-untyped-call]  # Airflow's is not annotated


class ClaudeBatchTrigger(BaseTrigger):
    """
    Fires once: when the batch has ended, or when waiting on is of no use.

    It may be started anew at any time, on any triggerer, and then simply looks again. A kill, a clear or a move to
    another triggerer does nothing to the batch: on_kill is left as it is, since Airflow also calls it when a triggerer
    was merely slow.

    The event is ``{"batch_id", "counts"}`` for a batch that has ended, ``{"batch_id", "error"}`` otherwise.

    :param batch_id: the batch to wait for
    :param anthropic_conn_id: the connection of the API
    :param poke_interval: the longest pause between two looks, in seconds
    :param deadline: when the batch has to have ended, ISO 8601 with its offset
    """

    def __init__(self, *, batch_id: str, anthropic_conn_id: str, poke_interval: float, deadline: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's is not annotated
        self.batch_id = batch_id
        self.anthropic_conn_id = anthropic_conn_id
        self.poke_interval = poke_interval
        self.deadline = deadline

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """As Airflow stores it between triggerers."""
        return "claude_batch.triggers.ClaudeBatchTrigger", {
            "batch_id": self.batch_id,
            "anthropic_conn_id": self.anthropic_conn_id,
            "poke_interval": self.poke_interval,
            "deadline": self.deadline,
        }

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look at the batch until there is something to say."""
        from claude_batch.connections import open_async_claude

        if self.trigger_id is not None:  # None: run within a task by dag.test(), where nothing races
            await asyncio.sleep(_FIRST_EVENT_SECONDS)
        deadline = datetime.fromisoformat(self.deadline)
        poll = BatchPoll(self.batch_id, deadline=deadline, interval_seconds=self.poke_interval)
        try:
            claude = await open_async_claude(self.anthropic_conn_id)
        except SetupError as error:
            yield _event({"batch_id": self.batch_id, "error": str(error)})
            return
        async with claude:
            while True:
                look: BatchStatus | ApiError | SetupError
                try:
                    look = await claude.retrieve(self.batch_id)
                except (ApiError, SetupError) as error:
                    look = error
                decision = poll.decide(look, now=datetime.now(UTC))
                if isinstance(decision, Ended):
                    yield _event({"batch_id": self.batch_id, "counts": decision.status.counts})
                    return
                if isinstance(decision, GiveUp):
                    yield _event({"batch_id": self.batch_id, "error": str(decision.error)})
                    return
                if decision.trouble:
                    self.log.warning(
                        "Batch %s: %s Looking again in %.0f s", self.batch_id, decision.trouble, decision.seconds
                    )
                await asyncio.sleep(decision.seconds)
