"""
Asks the requests of a chunk, many at a time, and stores each answer before another request takes its place.

So a process that dies loses at most the answers to its open requests.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from include.enrichment.errors import NotYet
from include.enrichment.synchronous import lease as leases
from include.gateways.synchronous.answerer import Answerer
from include.steps.asking.lease import Lease
from include.steps.asking.parts import Parts, result_line

#: The bytes of the requests that are open at a time, unless one alone has more.
MOST_BYTES = 128_000_000
#: The pauses between the tries to store answers.
_PAUSES_SECONDS = (1, 5, 20)


class _Places:
    """The places of open requests, limited by their number and their bytes."""

    def __init__(self, requests: int) -> None:
        self._free = requests
        self._bytes = 0
        self._changed = asyncio.Condition()

    async def take(self, size: int) -> None:
        """Wait until there is room for one more request."""
        async with self._changed:
            await self._changed.wait_for(
                lambda: self._free > 0 and (self._bytes + size <= MOST_BYTES or self._bytes == 0)
            )
            self._free -= 1
            self._bytes += size

    async def free(self, sizes: Sequence[int]) -> None:
        """Free the places of these requests."""
        async with self._changed:
            self._free += len(sizes)
            self._bytes -= sum(sizes)
            self._changed.notify_all()


@dataclass(frozen=True, kw_only=True)
class Unanswered:
    """
    A request that has no answer yet.

    :param size_bytes: of its params as they are sent
    :param params: makes them, with the bytes of its attachments
    """

    request_id: str
    size_bytes: int
    params: Callable[[], Awaitable[bytes]]


class Asker:
    """
    Asks the requests of one chunk.

    :param waiting: how many answers wait for a person
    :param parts: where the answers are stored
    :param at_once: the most requests that are open at a time: asked, and the answer not yet stored
    :param stopping: set it to ask nothing more; the answers to open requests are still stored
    """

    def __init__(
        self, answerer: Answerer, parts: Parts, lease: Lease, *, at_once: int, stopping: threading.Event
    ) -> None:
        self.waiting = 0
        self._answerer = answerer
        self._parts = parts
        self._lease = lease
        self._stopping = stopping
        self._places = _Places(at_once)
        self._answered: asyncio.Queue[tuple[bytes, int] | None] = asyncio.Queue()
        self._asking: set[asyncio.Task[None]] = set()
        self._failure: Exception | None = None

    async def ask(self, requests: AsyncGenerator[Unanswered], *, first_alone: bool) -> None:
        """
        Ask all, and return once every answer is stored.

        If one fails, no other is asked, and the first error is raised once the answers to all open requests are stored.
        If the lease is lost, the open requests are given up at once, because another process may be asking them.
        Raises NotYet if it was stopped.

        :param first_alone: ask the others after the first answer, which leaves their prefix in the prompt cache
        """
        writer = asyncio.create_task(self._write())
        keeper = asyncio.create_task(self._keep())
        try:
            async with aclosing(requests):
                await self._ask_all(requests, first_alone=first_alone)
        except Exception as error:
            self._failure = self._failure or error
        finally:
            while self._asking:
                await asyncio.wait(self._asking)
            await self._stop(keeper)
            self._answered.put_nowait(None)
            await writer
        if self._failure:
            raise self._failure

    async def _ask_all(self, requests: AsyncIterator[Unanswered], *, first_alone: bool) -> None:
        async for request in requests:
            await self._places.take(request.size_bytes)
            if self._failure:
                return
            if self._stopping.is_set():
                raise NotYet(
                    "The task was stopped. The answers received so far are stored.", again_at=datetime.now(UTC)
                )
            task = asyncio.create_task(self._one(request))
            self._asking.add(task)
            task.add_done_callback(self._asking.discard)
            if first_alone:
                first_alone = False
                await asyncio.wait([task])

    async def _one(self, request: Unanswered) -> None:
        result = None
        try:
            self._lease.check()
            result = await self._answerer.answer(request.request_id, await request.params())
            if result is None:
                self.waiting += 1
        except Exception as error:
            self._failure = self._failure or error
        finally:
            if result is None:
                await self._places.free([request.size_bytes])
            else:
                self._answered.put_nowait((result_line(request.request_id, result), request.size_bytes))

    async def _write(self) -> None:
        """Store the answers as they come. While some are being stored, others come, and are stored together."""
        is_over = False
        while not is_over:
            answered = [await self._answered.get()]
            while not self._answered.empty():
                answered.append(self._answered.get_nowait())
            lines = [each for each in answered if each]
            is_over = len(lines) < len(answered)
            if lines:
                await self._store([line for line, _ in lines])
            await self._places.free([size for _, size in lines])

    async def _store(self, lines: list[bytes]) -> None:
        """Write a part. These answers are paid for, so a lake that fails for a moment is tried again."""
        for pause in (*_PAUSES_SECONDS, None):
            try:
                return await asyncio.to_thread(self._parts.write, lines)
            except Exception as error:
                if pause is None:
                    self._failure = self._failure or error
                    return
                await asyncio.sleep(pause)

    async def _keep(self) -> None:
        """Renew the lease while requests are open."""
        try:
            while True:
                await asyncio.sleep(leases.RENEW_EVERY.total_seconds())
                await asyncio.to_thread(self._lease.renew)
        except Exception as error:
            self._failure = self._failure or error
            for task in self._asking:
                task.cancel()

    @staticmethod
    async def _stop(task: asyncio.Task[None]) -> None:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
