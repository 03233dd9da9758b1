"""The processing of due batches: one at a time, in a thread, while the server keeps responding to polls."""

from __future__ import annotations

import asyncio
import logging

from include.emulator.engine.batches import SECOND, Batch
from include.emulator.engine.results import Situation, write_results
from include.emulator.engine.store import Store

# A poll of a small batch waits this long for its processing to finish, so that the batch never seems late.
_BRIEF_WAIT_SECONDS = 0.25
_SMALL_BATCH = 1000
_LONGEST_SLEEP_SECONDS = 3600.0

log = logging.getLogger(__name__)


class Processing:
    """The server's queue of batches to process."""

    def __init__(self, store: Store, seed: int) -> None:
        self._store = store
        self._seed = seed
        self._turn = asyncio.Lock()
        self._in_progress: dict[str, asyncio.Task[None]] = {}
        self._alarms: dict[str, asyncio.TimerHandle] = {}

    def resume(self) -> None:
        """Watch every batch that has not ended, after a restart or when a clock was moved."""
        for batch in self._store.running():
            self.watch(batch)

    def watch(self, batch: Batch) -> None:
        """Process a batch as soon as it is due by its workspace's clock; call again when its due time changes."""
        if alarm := self._alarms.pop(batch.id, None):
            alarm.cancel()
        due = batch.due()
        if due is None or batch.id in self._in_progress:
            return
        wait = (due[0] - self._store.now(batch.workspace)) / SECOND
        if wait <= 0:
            task = asyncio.get_running_loop().create_task(self._process(batch.workspace, batch.id))
            self._in_progress[batch.id] = task
            task.add_done_callback(lambda done: self._on_done(batch, done))
        else:
            loop = asyncio.get_running_loop()
            self._alarms[batch.id] = loop.call_later(min(wait, _LONGEST_SLEEP_SECONDS), self._recheck, batch)

    async def wait_briefly(self, batches: list[Batch]) -> bool:
        """Wait briefly for small batches in processing; return whether there were any."""
        tasks = [task for batch in batches if batch.size <= _SMALL_BATCH and (task := self._in_progress.get(batch.id))]
        if tasks:
            await asyncio.wait(tasks, timeout=_BRIEF_WAIT_SECONDS)
        return bool(tasks)

    def _on_done(self, batch: Batch, done: asyncio.Task[None]) -> None:
        del self._in_progress[batch.id]
        if done.cancelled():
            return
        if failure := done.exception():
            # The batch stays in progress, as the real API would show it; the log has the reason.
            log.error("Batch %s could not be processed; it stays in progress.", batch.id, exc_info=failure)
        else:
            self._recheck(batch)

    def _recheck(self, batch: Batch) -> None:
        current = self._store.batch(batch.workspace, batch.id)
        if current is not None and current.ended_at is None:
            self.watch(current)

    async def _process(self, workspace: str, batch_id: str) -> None:
        # One at a time, so that a batch finds in the cache the prefixes that the previous one wrote.
        async with self._turn:
            batch = self._store.batch(workspace, batch_id)
            due = batch.due() if batch else None
            if batch is None or due is None or batch.ended_at is not None:
                return
            at, end = due
            if at > self._store.now(workspace):  # canceled while it waited for its turn
                return
            situation = Situation(
                warm_prefixes=self._store.warm_prefixes(workspace, batch.created_at),
                open_file=self._store.files.contents(workspace, at).resolve,
                refused=self._store.refusals(workspace),
            )
            body, results, bill = (
                folder / batch.id for folder in (self._store.bodies, self._store.results, self._store.bills)
            )
            totals = await asyncio.to_thread(write_results, batch, end, self._seed, body, results, bill, situation)
            self._store.end(batch, at, totals.counts, totals.warmed, totals.charge, totals.refused)
