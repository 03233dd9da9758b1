"""
Reading ahead and writing behind in a thread. It pays for work that releases the interpreter: the network, compression,
Arrow, DuckDB.
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
    Iterate over the same items, each fetched by a thread while the caller works on the one before.

    Leaving the block waits for the thread.

    :param hang_up: called if the block is left before the last item, for any reason. It must end whatever the thread
        waits for, which could otherwise take forever
    """
    with ThreadPoolExecutor(1) as getter:
        coming = getter.submit(next, items, None)
        ended = False

        def arriving() -> Iterator[_Item]:
            nonlocal coming, ended
            while (item := coming.result()) is not None:
                coming = getter.submit(next, items, None)
                yield item
            ended = True

        try:
            yield arriving()
        finally:  # also on a task's timeout
            if hang_up and not ended:
                hang_up()


@contextmanager
def write_behind() -> Iterator[Callable[..., None]]:
    """
    Return a function that makes calls in a thread, one at a time and in order.

    It waits until the previous call has ended, so at most one item is held in memory. An error of a call is raised by
    the next one or at the end of the block, but an error of the block itself takes precedence. After the block no call
    is running.
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
