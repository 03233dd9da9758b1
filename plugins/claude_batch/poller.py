"""
The poller: one client and one round of polls at a time, shared by all waits of an event loop on one connection.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Collection, Coroutine, Mapping
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from include.enrichment.batches import poll_schedule
from include.enrichment.batches.poll import BatchPoll, Ended, GiveUp, Look, LookAgain
from include.enrichment.errors import ApiError, SetupError

if TYPE_CHECKING:
    from include.gateways.async_claude import AsyncClaude

#: How long the last wait stays for its poller to close the connections.
CLOSING_SECONDS = 5

#: By event loop and connection id. A poller stays here as long as it has waits.
_pollers: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, _Poller]] = WeakKeyDictionary()


async def wait(poll: BatchPoll, *, connection: str, on_trouble: Callable[[LookAgain], None]) -> Ended | GiveUp:
    """
    Wait until ``poll`` decides that its batch has ended or that further waiting is pointless.

    All waits on this event loop for the same connection are polled together. Raises RuntimeError if the poller fails; a
    new wait then starts a new poller.

    :param connection: the id of the Anthropic connection
    :param on_trouble: called for each transient error of a poll of this batch, in the context of the caller
    """
    pollers = _pollers.setdefault(asyncio.get_running_loop(), {})
    if connection not in pollers:
        pollers[connection] = _Poller(connection, pollers)
    return await pollers[connection].wait(poll, on_trouble)


@dataclass(eq=False, slots=True, kw_only=True)
class _Wait:
    """One wait. ``due`` is the time of its next poll, by the loop's clock."""

    poll: BatchPoll
    due: float
    on_trouble: Callable[[LookAgain], None]
    decided: asyncio.Future[Ended | GiveUp]
    #: Airflow routes log lines by context: an error goes to the log of its own wait.
    context: Context = field(default_factory=copy_context)


class _Poller:
    """Polls for its waits, from the first wait to the last. ``registry`` is where new waits look for it."""

    def __init__(self, connection: str, registry: dict[str, _Poller]) -> None:
        self._connection = connection
        self._registry = registry
        self._loop = asyncio.get_running_loop()
        self._waits: set[_Wait] = set()
        self._joined = asyncio.Event()
        self._claude: AsyncClaude | None = None
        #: A round that reads the list does not begin before this moment; see poll_schedule.py.
        self._calm_until = self._loop.time()
        #: The API requested no call before this moment.
        self._backoff_until = self._loop.time()
        # An empty context: what the poller itself logs belongs to no single wait.
        self._task = self._loop.create_task(self._run(), context=Context())
        self._task.add_done_callback(self._fail_remaining)

    async def wait(self, poll: BatchPoll, on_trouble: Callable[[LookAgain], None]) -> Ended | GiveUp:
        """Add a wait and return its decision; see the function wait()."""
        one = _Wait(poll=poll, due=self._loop.time(), on_trouble=on_trouble, decided=self._loop.create_future())
        self._waits.add(one)
        self._joined.set()
        try:
            return await one.decided
        finally:
            self._waits.discard(one)
            if not self._waits:
                if self._unregister():
                    self._task.cancel()
                # An event loop may end with its last wait, as that of dag.test() does, and would cut off the closing.
                await asyncio.wait([self._task], timeout=CLOSING_SECONDS)

    async def _run(self) -> None:
        try:
            while self._waits:
                await self._sleep()
                await self._round()
        finally:
            self._unregister()
            await self._close_client()

    async def _sleep(self) -> None:
        """Sleep until the next round begins. A new wait wakes it, because the round may then begin earlier."""
        while True:
            begin = poll_schedule.next_round_at([one.due for one in self._waits], calm_until=self._calm_until)
            begin = max(begin, self._backoff_until)
            if begin <= self._loop.time():
                return
            self._joined.clear()
            try:
                async with asyncio.timeout_at(begin):
                    await self._joined.wait()
            except TimeoutError:
                pass

    async def _round(self) -> None:
        began = self._loop.time()
        until = poll_schedule.round_covers_until([one.due for one in self._waits], now=began)
        due = {one.poll.batch_id: one.poll.created_at for one in self._waits if one.due <= until}
        looks = await self._look(due, bystanders={one.poll.batch_id for one in self._waits})
        stretch = 1 + poll_schedule.JITTER * random.random()
        if until > began:
            self._calm_until = began + poll_schedule.CALM_SECONDS * stretch
        covered = [one for one in self._waits if one.poll.batch_id in looks]
        for first in range(0, len(covered), poll_schedule.SLICE):
            for one in covered[first : first + poll_schedule.SLICE]:
                self._decide(one, looks[one.poll.batch_id], stretch)
            await asyncio.sleep(0)

    async def _look(self, due: Mapping[str, datetime], *, bystanders: Collection[str]) -> dict[str, Look]:
        """
        Poll the batches that are due, and any bystanders that the same API calls return.

        A rejected key may have been replaced in the connection, so the connection is read once more before any wait
        fails.
        """
        looks: dict[str, Look] = {}
        for _ in range(2):
            pending = {
                batch_id: made for batch_id, made in due.items() if isinstance(looks.get(batch_id), SetupError | None)
            }
            try:
                claude = self._claude = self._claude or await self._open_client()
            except SetupError as error:
                return looks | dict.fromkeys(pending, error)
            looks |= await claude.look(pending, bystanders=bystanders)
            if not any(isinstance(look, SetupError) for look in looks.values()):
                break
            await self._close_client()
        return looks

    def _decide(self, one: _Wait, look: Look, stretch: float) -> None:
        """End a wait, or set its next poll and report the transient error, if there was one."""
        if one.decided.done():  # its caller was canceled
            return
        now = self._loop.time()
        if isinstance(look, ApiError) and look.retry_after_seconds:
            self._backoff_until = max(self._backoff_until, now + look.retry_after_seconds * stretch)
        decision = one.poll.decide(look, now=datetime.now(UTC))
        if not isinstance(decision, LookAgain):
            self._waits.discard(one)
            one.decided.set_result(decision)
            return
        one.due = now + decision.seconds * stretch
        if decision.trouble:
            self._loop.call_soon(one.on_trouble, decision, context=one.context)

    async def _open_client(self) -> AsyncClaude:
        # The imports of the connection's hook take seconds, once per process.
        open_async_claude = await asyncio.to_thread(_import_opener)
        return await open_async_claude(self._connection)

    async def _close_client(self) -> None:
        claude, self._claude = self._claude, None
        if claude:
            await claude.close()

    def _unregister(self) -> bool:
        """Make later waits start a new poller. Returns False if they already do."""
        if self._registry.get(self._connection) is not self:
            return False
        del self._registry[self._connection]
        return True

    def _fail_remaining(self, task: asyncio.Task[None]) -> None:
        """Raise RuntimeError in every wait that is left when the poller ends, for whatever reason it ended."""
        cause = None if task.cancelled() else task.exception()
        for one in self._waits:
            if not one.decided.done():
                failure = RuntimeError(
                    f"Polling for batch {one.poll.batch_id} failed unexpectedly: {cause!r}. The batch is unchanged;"
                    " the next attempt of this task continues the wait."
                )
                failure.__cause__ = cause
                one.decided.set_exception(failure)


def _import_opener() -> Callable[[str], Coroutine[Any, Any, AsyncClaude]]:
    from claude_batch.connections.claude_connection import open_async_claude

    return open_async_claude
