"""The ledger on the lake: small objects, written by compare-and-swap only."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from pydantic import ValidationError

from include.enrichment.batches.ledger import Entry, OpenChunk, OpenChunks
from include.enrichment.errors import LakeError
from include.enrichment.storage import layout
from include.enrichment.storage.version import Versioned, parse
from include.gateways.lake import Conflict, Lake

_Model = TypeVar("_Model", bound=Versioned)
_READERS = 16
_TRIES = 20


@dataclass(frozen=True, kw_only=True)
class Recorded(Generic[_Model]):
    """A value of the ledger and its tag, as last read or written."""

    value: _Model
    etag: str


class Ledger:
    """
    One pipeline's ledger: an entry for each chunk, and the list of open chunks.

    Of two concurrent writers one wins and the other gets Conflict.
    """

    def __init__(self, lake: Lake, *, pipeline: str) -> None:
        self._lake = lake
        self.pipeline = pipeline

    def locate(self, chunk_id: str) -> str:
        """Return the address of the chunk's entry for a message."""
        return self._lake.locate(layout.ledger_entry(self.pipeline, chunk_id))

    def find(self, chunk_id: str) -> Recorded[Entry] | None:
        """Return the chunk's entry, None if there is none. Raises LakeError if it cannot be read."""
        return self._find(layout.ledger_entry(self.pipeline, chunk_id), Entry)

    def entries(self, chunk_ids: Sequence[str]) -> list[Entry | None]:
        """Return the entries of several chunks, in the same order."""
        with ThreadPoolExecutor(_READERS) as readers:
            return [recorded.value if recorded else None for recorded in readers.map(self.find, chunk_ids)]

    def latest(self, chunk_ids: Sequence[str]) -> list[Entry | None]:
        """Return the entries of several chunks. The entry of a remainder replaces that of its withdrawn chunk."""
        found = self.entries(chunk_ids)
        remainders = {number: entry.remainder for number, entry in enumerate(found) if entry and entry.remainder}
        for number, entry in zip(remainders, self.latest(list(remainders.values())) if remainders else [], strict=True):
            found[number] = entry
        return found

    def write(self, entry: Entry, *, over: Recorded[Entry] | None) -> Recorded[Entry]:
        """
        Write the entry over the one that was read before, None if there was none. See write_recorded().
        """
        return self._write(layout.ledger_entry(self.pipeline, entry.chunk_id), entry, over)

    def find_open(self) -> Recorded[OpenChunks] | None:
        """Return the open chunks, None if there never was one."""
        return self._find(layout.open_chunks(self.pipeline), OpenChunks)

    def open_chunks(self) -> dict[str, OpenChunk]:
        """The open chunks by id."""
        return recorded.value.chunks if (recorded := self.find_open()) else {}

    def write_open(self, opened: OpenChunks, *, over: Recorded[OpenChunks] | None) -> None:
        """Write the open chunks, as write() writes an entry."""
        self._write(layout.open_chunks(self.pipeline), opened, over)

    def add_open(self, chunk_id: str, chunk: OpenChunk) -> None:
        """Add a chunk to the open ones. A chunk that is already open stays unchanged."""
        for _ in range(_TRIES):
            recorded = self.find_open()
            before = recorded.value.chunks if recorded else {}
            if chunk_id in before:
                return
            try:
                self.write_open(OpenChunks(chunks={**before, chunk_id: chunk}), over=recorded)
                return
            except Conflict:
                continue
        raise LakeError(f"Other runs changed the open chunks {_TRIES} times at the same moment. Nothing was sent.")

    def changed_since(self, moment: datetime) -> list[str]:
        """Return the chunks whose entry was written since then by the store's clock, the latest first."""
        listed = self._lake.objects(layout.ledger_folder(self.pipeline))
        recent = sorted((each.changed_at, each.key) for each in listed if each.changed_at >= moment)
        return [found[1] for _, key in reversed(recent) if (found := layout.parse_ledger_key(key))]

    def claimed_batches(self) -> set[str]:
        """Return the batches of open chunks and all loaded batches."""
        opened = self.find_open()
        entries = self.entries(list(opened.value.chunks)) if opened else []
        return {entry.batch_id for entry in entries if entry and entry.batch_id} | self.loaded_batches()

    def loaded_batches(self) -> set[str]:
        """Return the batches in the result store."""
        stored = self._lake.list(layout.results_folder(self.pipeline))
        return {layout.batch_id_of(key) for key in stored if layout.is_batch_file(key)}

    def _find(self, key: str, kind: type[_Model]) -> Recorded[_Model] | None:
        stored = self._lake.find(key)
        if stored is None:
            return None
        try:
            return Recorded(value=parse(kind, stored.data, self._lake.locate(key)), etag=stored.etag)
        except ValidationError as error:
            raise LakeError(
                f"{self._lake.locate(key)} is not a ledger entry: {error}. It was left unchanged. Restore an earlier"
                " version of the object or repair it by hand. Without it, requests may be sent and billed again.",
                retryable=False,
            ) from error

    def _write(self, key: str, value: _Model, over: Recorded[_Model] | None) -> Recorded[_Model]:
        return write_recorded(self._lake, key, value, over)


def write_recorded(lake: Lake, key: str, value: _Model, over: Recorded[_Model] | None) -> Recorded[_Model]:
    """
    Write an object over the one that was read before, None if there was none.

    Raises Conflict if another process has written meanwhile. If the store's client repeated a write whose response was
    lost, the result is recognized as our own.
    """
    data = value.model_dump_json(indent=1).encode()
    try:
        etag = lake.create(key, data) if over is None else lake.replace(key, data, etag=over.etag)
    except Conflict:
        if (found := lake.find(key)) is None or found.data != data:
            raise
        etag = found.etag
    return Recorded(value=value, etag=etag)
