"""The ledger on the lake: one small object for each chunk, changed by compare-and-swap only."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import ValidationError

from include.enrichment import layout
from include.enrichment.errors import LakeError
from include.enrichment.ledger import Entry
from include.gateways.lake import Conflict, Lake


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """An entry as it was read, or as it was written last."""

    entry: Entry
    etag: str


class Ledger:
    """The entries of one pipeline's chunks. Of two writers at the same moment one wins; the other gets Conflict."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake

    def locate(self, entry: Entry) -> str:
        """Where the entry lies, for people."""
        return self._lake.locate(layout.ledger_entry(entry.pipeline, entry.chunk_id))

    def find(self, pipeline: str, chunk_id: str) -> Recorded | None:
        """The chunk's entry, None if there surely is none. Raises LakeError for one that cannot be read."""
        key = layout.ledger_entry(pipeline, chunk_id)
        stored = self._lake.find(key)
        if stored is None:
            return None
        try:
            return Recorded(entry=Entry.model_validate_json(stored.data), etag=stored.etag)
        except ValidationError as error:
            raise LakeError(
                f"{self._lake.locate(key)} is not a ledger entry: {error}. It was left as it is.", retryable=False
            ) from error

    def write(self, entry: Entry, *, over: Recorded | None) -> Recorded:
        """
        Write ``entry`` in the place of what was read before: None if there was no entry.

        Raises Conflict if somebody else has written meanwhile. A write whose answer got lost and that the store's
        client repeated is recognised as our own.
        """
        key = layout.ledger_entry(entry.pipeline, entry.chunk_id)
        data = entry.model_dump_json(indent=1).encode()
        try:
            etag = self._lake.create(key, data) if over is None else self._lake.replace(key, data, etag=over.etag)
        except Conflict:
            if (found := self._lake.find(key)) is None or found.data != data:
                raise
            etag = found.etag
        return Recorded(entry=entry, etag=etag)
