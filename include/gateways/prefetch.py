"""
What goes on beside the work in hand, in a thread: the next thing is got while one is worked on, or the one before is
written. It pays for whatever lets go of the interpreter meanwhile: the network, compression, Arrow, DuckDB.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

_Item = TypeVar("_Item")


@contextmanager
def prefetch(items: Iterator[_Item], *, hang_up: Callable[[], None] | None = None) -> Iterator[Iterator[_Item]]:
    """
    The same items; another thread gets the first at once, and the next while one is worked on.

    When the block is left, that waits for the thread.

    :param hang_up: called when it is left before the last item, whatever the reason: it ends what the thread may be
        waiting for, which could be for ever
    """
    with ThreadPoolExecutor(1) as getter:
        coming = getter.submit(next, items, None)
        ended = False

        def got() -> Iterator[_Item]:
            nonlocal coming, ended
            while (item := coming.result()) is not None:
                coming = getter.submit(next, items, None)
                yield item
            ended = True

        try:
            yield got()
        finally:  # also after a task's timeout
            if hang_up and not ended:
                hang_up()


@contextmanager
def write_behind() -> Iterator[Callable[..., None]]:
    """
    A function that calls another in a thread, one call at a time and in their order.

    It waits until the call before has ended: no more than one thing is held that is not written yet. What a call raises
    is raised by the next, or when the block is left; when it is left by an error, that error goes first. When the block
    has been left nothing goes on any more.
    """
    begun: Future[object] | None = None

    def do(action: Callable[..., object], *arguments: object) -> None:
        nonlocal begun
        if begun:
            begun.result()
        begun = thread.submit(action, *arguments)

    with ThreadPoolExecutor(1, thread_name_prefix="behind") as thread:
        yield do
        if begun:
            begun.result()
