"""The ledger on the lake: small objects, changed by compare-and-swap only."""

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
    """What the ledger holds, as it was read, or as it was written last."""

    value: _Model
    etag: str


class Ledger:
    """
    One pipeline's ledger: an entry for each chunk, and the list of the chunks that are open.

    Of two writers at the same moment one wins; the other gets Conflict.
    """

    def __init__(self, lake: Lake, *, pipeline: str) -> None:
        self._lake = lake
        self.pipeline = pipeline

    def locate(self, chunk_id: str) -> str:
        """Where the chunk's entry lies, for people."""
        return self._lake.locate(layout.ledger_entry(self.pipeline, chunk_id))

    def find(self, chunk_id: str) -> Recorded[Entry] | None:
        """The chunk's entry, None if there surely is none. Raises LakeError for one that cannot be read."""
        return self._find(layout.ledger_entry(self.pipeline, chunk_id), Entry)

    def entries(self, chunk_ids: Sequence[str]) -> list[Entry | None]:
        """The entries of several chunks, in their order."""
        with ThreadPoolExecutor(_READERS) as readers:
            return [recorded.value if recorded else None for recorded in readers.map(self.find, chunk_ids)]

    def latest(self, chunk_ids: Sequence[str]) -> list[Entry | None]:
        """As entries(), but of a withdrawn chunk the entry of what was left of it, where that goes on."""
        found = self.entries(chunk_ids)
        left = {number: entry.remainder for number, entry in enumerate(found) if entry and entry.remainder}
        for number, entry in zip(left, self.latest(list(left.values())) if left else [], strict=True):
            found[number] = entry
        return found

    def write(self, entry: Entry, *, over: Recorded[Entry] | None) -> Recorded[Entry]:
        """
        Write ``entry`` in the place of what was read before: None if there was no entry.

        Raises Conflict if somebody else has written meanwhile. A write whose answer got lost and that the store's
        client repeated is recognised as our own.
        """
        return self._write(layout.ledger_entry(self.pipeline, entry.chunk_id), entry, over)

    def find_open(self) -> Recorded[OpenChunks] | None:
        """The open chunks, None if there surely never was one."""
        return self._find(layout.open_chunks(self.pipeline), OpenChunks)

    def write_open(self, opened: OpenChunks, *, over: Recorded[OpenChunks] | None) -> None:
        """Write the open chunks as write() does an entry."""
        self._write(layout.open_chunks(self.pipeline), opened, over)

    def add_open(self, chunk_id: str, chunk: OpenChunk) -> None:
        """Have this chunk among the open ones; one that is among them stays as it is."""
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
        raise LakeError(f"Other runs have planned {_TRIES} times at the same moment. Nothing was sent.")

    def changed_since(self, moment: datetime) -> list[str]:
        """The chunks whose entry was written since then, by the store's clock; the last one first."""
        listed = self._lake.objects(layout.ledger_folder(self.pipeline))
        lately = sorted((each.changed_at, each.key) for each in listed if each.changed_at >= moment)
        return [found[1] for _, key in reversed(lately) if (found := layout.entry_of(key))]

    def claimed_batches(self) -> set[str]:
        """The batches that open chunks have recorded, and those that have been loaded."""
        opened = self.find_open()
        entries = self.entries(list(opened.value.chunks)) if opened else []
        return {entry.batch_id for entry in entries if entry and entry.batch_id} | self.loaded_batches()

    def loaded_batches(self) -> set[str]:
        """The batches that are in the result store."""
        stored = self._lake.list(layout.results_folder(self.pipeline))
        return {layout.batch_id_of(key) for key in stored if layout.is_results(key)}

    def _find(self, key: str, kind: type[_Model]) -> Recorded[_Model] | None:
        stored = self._lake.find(key)
        if stored is None:
            return None
        try:
            return Recorded(value=parse(kind, stored.data, self._lake.locate(key)), etag=stored.etag)
        except ValidationError as error:
            raise LakeError(
                f"{self._lake.locate(key)} is not a ledger entry: {error}. It was left as it is. Restore an earlier"
                " version of the object, or mend it by hand; without it what was sent may be sent, and paid, again.",
                retryable=False,
            ) from error

    def _write(self, key: str, value: _Model, over: Recorded[_Model] | None) -> Recorded[_Model]:
        data = value.model_dump_json(indent=1).encode()
        try:
            etag = self._lake.create(key, data) if over is None else self._lake.replace(key, data, etag=over.etag)
        except Conflict:
            if (found := self._lake.find(key)) is None or found.data != data:
                raise
            etag = found.etag
        return Recorded(value=value, etag=etag)
