"""The objects of a run's attachments: fetched ahead by a few threads, and inspected."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from include.enrichment.documents.document import Inspected, Stored
from include.enrichment.documents.limits import MAX_OBJECT_BYTES
from include.enrichment.storage.address import shown
from include.gateways.disk import sha256_of, working_folder
from include.gateways.lake import ObjectMissing, TooLarge, UnreadableKey, Withheld

if TYPE_CHECKING:
    from include.gateways.documents.buckets import Buckets
    from include.gateways.documents.inspector import Inspector

#: The threads that fetch. The inspector does one thing at a time, so more of them would wait for it.
_THREADS = 4
#: The objects that are kept besides those in use: rows that follow one another often have the same one.
_KEPT = 8


@dataclass(kw_only=True)
class Examined:
    """
    An object that was read, and its copy on this machine.

    :param stored: None if it could not be read
    :param inspected: its ``problem`` also says why it could not be read
    """

    path: Path
    stored: Stored | None
    inspected: Inspected
    _inspector: Inspector
    _made: dict[str, tuple[int, str]] = field(default_factory=dict)

    def made(self, recipe: str) -> tuple[int, str]:
        """Return the size and the SHA-256 of what a recipe makes of it. Raises CannotMake."""
        assert self.stored
        if not recipe:
            return self.stored.size_bytes, self.stored.sha256
        if recipe not in self._made:
            out = self.path.with_suffix(".made")
            self._inspector.make(self.path, recipe, out)
            self._made[recipe] = out.stat().st_size, sha256_of(out)
            out.unlink()
        return self._made[recipe]


class Examiner:
    """
    Reads and inspects objects in threads, those in use and the last few. See open_examiner().

    The Examined of an object says what is wrong with it. Errors of the store are raised.
    """

    def __init__(self, buckets: Buckets, inspector: Inspector, threads: ThreadPoolExecutor, folder: Path) -> None:
        self._buckets = buckets
        self._inspector = inspector
        self._threads = threads
        self._folder = folder
        self._numbers = count()
        self._coming: OrderedDict[str, Future[Examined]] = OrderedDict()

    def begin(self, uri: str) -> Future[Examined]:
        """Begin to read an object, unless it is there."""
        if uri not in self._coming:
            path = self._folder / f"{next(self._numbers)}"
            self._coming[uri] = self._threads.submit(self._examine, uri, path)
        self._coming.move_to_end(uri)
        return self._coming[uri]

    def forget(self, in_use: Collection[str]) -> None:
        """Delete the copies of the objects that were used first, except for those in use."""
        unused = [uri for uri, coming in self._coming.items() if coming.done() and uri not in in_use]
        for uri in unused[: max(len(unused) - _KEPT, 0)]:
            self._coming.pop(uri).result().path.unlink(missing_ok=True)

    def _examine(self, uri: str, path: Path) -> Examined:
        try:
            stored = self._buckets.fetch(uri, path, most_bytes=MAX_OBJECT_BYTES)
        except ObjectMissing:
            return self._unread(path, f"does not exist, or is a folder: {shown(uri)}")
        except UnreadableKey as error:
            return self._unread(path, f"cannot be read: {str(error).rstrip('.')}")
        except Withheld as error:
            return self._unread(path, f"cannot be read: {error.why}: {shown(uri)}")
        except TooLarge as error:
            return self._unread(path, f"has {error.size_bytes:,} bytes; the API takes {MAX_OBJECT_BYTES:,}")
        inspected = self._inspector.inspect(path)
        return Examined(path=path, stored=stored, inspected=inspected, _inspector=self._inspector)

    def _unread(self, path: Path, problem: str) -> Examined:
        inspected = Inspected(media_type="", problem=problem)
        return Examined(path=path, stored=None, inspected=inspected, _inspector=self._inspector)


@contextmanager
def open_examiner(buckets: Buckets, inspector: Inspector) -> Iterator[Examiner]:
    """Open an examiner, whose copies are deleted at the end of the block. Objects still to be read are then left."""
    with working_folder() as folder:
        threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="examine")
        try:
            yield Examiner(buckets, inspector, threads, folder)
        finally:
            threads.shutdown(cancel_futures=True)
