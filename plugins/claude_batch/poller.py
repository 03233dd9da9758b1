"""
The poller: what all waits of an event loop on one connection share. One client, and one round of looks at a time, which
every wait is told of.
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

#: By event loop and connection id; a poller is here as long as somebody waits.
_pollers: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, _Poller]] = WeakKeyDictionary()


async def wait(poll: BatchPoll, *, connection: str, on_trouble: Callable[[LookAgain], None]) -> Ended | GiveUp:
    """
    Wait until ``poll`` has decided that its batch has ended, or that waiting on is of no use.

    Every wait on this event loop for the same connection looks together with this one. Raises RuntimeError if the
    looking came to an unforeseen end; a wait that is begun again then looks anew.

    :param connection: the id of the Anthropic connection
    :param on_trouble: told of each passing error that a look at the batch met, in the context of the caller
    """
    here = _pollers.setdefault(asyncio.get_running_loop(), {})
    if connection not in here:
        here[connection] = _Poller(connection, here)
    return await here[connection].wait(poll, on_trouble)


@dataclass(eq=False, slots=True, kw_only=True)
class _Wait:
    """One wait. ``due`` is when its batch is to be looked at next, by the loop's clock."""

    poll: BatchPoll
    due: float
    on_trouble: Callable[[LookAgain], None]
    decided: asyncio.Future[Ended | GiveUp]
    #: Whose log a trouble belongs to is known by the context.
    context: Context = field(default_factory=copy_context)


class _Poller:
    """Looks for its waits, from the first to the last. ``here`` is where those who wait find it."""

    def __init__(self, connection: str, here: dict[str, _Poller]) -> None:
        self._connection = connection
        self._here = here
        self._loop = asyncio.get_running_loop()
        self._waits: set[_Wait] = set()
        self._joined = asyncio.Event()
        self._claude: AsyncClaude | None = None
        #: No list is read before, if so many wait that it would be; see poll_schedule.py.
        self._calm_until = self._loop.time()
        #: The API asked to be left alone until then.
        self._alone_until = self._loop.time()
        # A context of its own: what it logs belongs to no single wait, and least of all to the first.
        self._task = self._loop.create_task(self._run(), context=Context())
        self._task.add_done_callback(self._after)

    async def wait(self, poll: BatchPoll, on_trouble: Callable[[LookAgain], None]) -> Ended | GiveUp:
        """As the function wait()."""
        one = _Wait(poll=poll, due=self._loop.time(), on_trouble=on_trouble, decided=self._loop.create_future())
        self._waits.add(one)
        self._joined.set()
        try:
            return await one.decided
        finally:
            self._waits.discard(one)
            if not self._waits and self._leave():
                self._task.cancel()

    async def _run(self) -> None:
        try:
            while self._waits:
                await self._sleep()
                await self._round()
        finally:
            self._leave()
            await self._hang_up()

    async def _sleep(self) -> None:
        """Until the next round begins."""
        while True:
            begin = poll_schedule.next_round_at([one.due for one in self._waits], calm_until=self._calm_until)
            begin = max(begin, self._alone_until)
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
        told = [one for one in self._waits if one.poll.batch_id in looks]
        for first in range(0, len(told), poll_schedule.SLICE):
            for one in told[first : first + poll_schedule.SLICE]:
                self._tell(one, looks[one.poll.batch_id], stretch)
            await asyncio.sleep(0)

    async def _look(self, due: Mapping[str, datetime], *, bystanders: Collection[str]) -> dict[str, Look]:
        """
        The looks at what is due, and at what shows beside it. A key that was refused may have been replaced since, so
        its connection is read once more before anybody is told.
        """
        looks: dict[str, Look] = {}
        for _ in range(2):
            ask = {
                batch_id: made for batch_id, made in due.items() if isinstance(looks.get(batch_id), SetupError | None)
            }
            try:
                claude = self._claude = self._claude or await self._dial()
            except SetupError as error:
                return looks | dict.fromkeys(ask, error)
            looks |= await claude.look(ask, bystanders=bystanders)
            if not any(isinstance(look, SetupError) for look in looks.values()):
                break
            await self._hang_up()
        return looks

    def _tell(self, one: _Wait, look: Look, stretch: float) -> None:
        if one.decided.done():  # it has left
            return
        now = self._loop.time()
        if isinstance(look, ApiError) and look.retry_after_seconds:
            self._alone_until = max(self._alone_until, now + look.retry_after_seconds * stretch)
        decision = one.poll.decide(look, now=datetime.now(UTC))
        if not isinstance(decision, LookAgain):
            self._waits.discard(one)
            one.decided.set_result(decision)
            return
        one.due = now + decision.seconds * stretch
        if decision.trouble:
            self._loop.call_soon(one.on_trouble, decision, context=one.context)

    async def _dial(self) -> AsyncClaude:
        # What the connection's hook imports takes seconds, once per process.
        open_async_claude = await asyncio.to_thread(_opener)
        return await open_async_claude(self._connection)

    async def _hang_up(self) -> None:
        claude, self._claude = self._claude, None
        if claude:
            await claude.close()

    def _leave(self) -> bool:
        """Let whoever waits from now on begin with a new poller; False if that is so already."""
        if self._here.get(self._connection) is not self:
            return False
        del self._here[self._connection]
        return True

    def _after(self, task: asyncio.Task[None]) -> None:
        """However the looking ended, nobody is left waiting for it."""
        cause = None if task.cancelled() else task.exception()
        for one in self._waits:
            if not one.decided.done():
                failure = RuntimeError(
                    f"The looks at batch {one.poll.batch_id} came to an unforeseen end: {cause!r}. The batch was not"
                    " touched; the next attempt of this task waits on."
                )
                failure.__cause__ = cause
                one.decided.set_exception(failure)


def _opener() -> Callable[[str], Coroutine[Any, Any, AsyncClaude]]:
    from claude_batch.connections.claude import open_async_claude

    return open_async_claude
