"""Ends batches when they are due: one at a time, in a thread, while polls go on being answered."""

from __future__ import annotations

import asyncio
import logging

from include.emulator.engine.batches import SECOND, Batch
from include.emulator.engine.settling import write_results
from include.emulator.engine.store import Store

# A poll of a small batch that is just being settled waits this long for it, so that it never looks late.
_PATIENCE_SECONDS = 0.25
_SMALL = 1000
_LONGEST_SLEEP_SECONDS = 3600.0

log = logging.getLogger(__name__)


class Processing:
    """The processing queue of the server."""

    def __init__(self, store: Store, seed: int) -> None:
        self._store = store
        self._seed = seed
        self._turn = asyncio.Lock()
        self._settling: dict[str, asyncio.Task[None]] = {}
        self._alarms: dict[str, asyncio.TimerHandle] = {}

    def resume(self) -> None:
        """Take up every batch that has not ended, as after a restart or when a clock was moved."""
        for batch in self._store.running():
            self.watch(batch)

    def watch(self, batch: Batch) -> None:
        """Settle a batch as soon as it is due by its workspace's clock; ask again whenever its due time changes."""
        if alarm := self._alarms.pop(batch.id, None):
            alarm.cancel()
        due = batch.due()
        if due is None or batch.id in self._settling:
            return
        wait = (due[0] - self._store.now(batch.workspace)) / SECOND
        if wait <= 0:
            task = asyncio.get_running_loop().create_task(self._settle(batch.workspace, batch.id))
            self._settling[batch.id] = task
            task.add_done_callback(lambda done: self._after(batch, done))
        else:
            loop = asyncio.get_running_loop()
            self._alarms[batch.id] = loop.call_later(min(wait, _LONGEST_SLEEP_SECONDS), self._again, batch)

    async def patience(self, batches: list[Batch]) -> bool:
        """Wait a moment for small batches that are being settled; False if there was nothing to wait for."""
        tasks = [task for batch in batches if batch.size <= _SMALL and (task := self._settling.get(batch.id))]
        if tasks:
            await asyncio.wait(tasks, timeout=_PATIENCE_SECONDS)
        return bool(tasks)

    def _after(self, batch: Batch, done: asyncio.Task[None]) -> None:
        del self._settling[batch.id]
        if done.cancelled():
            return
        if failure := done.exception():
            # The batch stays in progress, as a real one would look to its owner; the log says why.
            log.error("batch %s could not be settled", batch.id, exc_info=failure)
        else:
            self._again(batch)

    def _again(self, batch: Batch) -> None:
        current = self._store.batch(batch.workspace, batch.id)
        if current is not None and current.ended_at is None:
            self.watch(current)

    async def _settle(self, workspace: str, batch_id: str) -> None:
        # In turn, so that a batch finds in the cache what the one before it has left there.
        async with self._turn:
            batch = self._store.batch(workspace, batch_id)
            due = batch.due() if batch else None
            if batch is None or due is None or batch.ended_at is not None:
                return
            at, end = due
            if at > self._store.now(workspace):  # canceled while it waited for its turn
                return
            warm = self._store.warm_prefixes(workspace, batch.created_at)
            body, results, bill = (
                folder / batch.id for folder in (self._store.bodies, self._store.results, self._store.bills)
            )
            settled = await asyncio.to_thread(write_results, batch, end, self._seed, body, results, bill, warm)
            self._store.end(batch, at, settled.counts, settled.warmed, settled.charge)
