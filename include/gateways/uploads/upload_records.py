"""The records of uploaded files on the lake, one for each attachment of a pipeline."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

from pydantic import ValidationError

from include.enrichment.batches.submission import CLOCK_SKEW
from include.enrichment.documents.upload import Upload
from include.enrichment.errors import LakeError
from include.enrichment.storage import layout
from include.enrichment.storage.version import parse
from include.gateways.lake import Lake
from include.gateways.ledger_store import Recorded, write_recorded

_READERS = 16


class UploadRecords:
    """
    One pipeline's records, written by compare-and-swap only: of two concurrent writers of a record one wins and the
    other gets Conflict.
    """

    def __init__(self, lake: Lake, *, pipeline: str) -> None:
        self._lake = lake
        self._pipeline = pipeline

    def find(self, content_id: str) -> Recorded[Upload] | None:
        """Return the record of an attachment, None if there is none. Raises LakeError if it cannot be read."""
        return self._find(layout.upload(self._pipeline, content_id))

    def changed_since(self, moment: datetime) -> list[Recorded[Upload]]:
        """Return the records that were written since then by the store's clock."""
        listed = self._lake.objects(layout.uploads_folder(self._pipeline))
        found = self.read([each.key for each in listed if each.changed_at >= moment - CLOCK_SKEW])
        return [recorded for recorded in found if recorded]

    def of(self, content_ids: Sequence[str]) -> list[Recorded[Upload] | None]:
        """Return the records of several attachments, in the same order."""
        return self.read([layout.upload(self._pipeline, content_id) for content_id in content_ids])

    def read(self, keys: Sequence[str]) -> list[Recorded[Upload] | None]:
        """Return the records with these keys, in the same order."""
        with ThreadPoolExecutor(_READERS) as readers:
            return list(readers.map(self._find, keys))

    def write(self, record: Upload, *, over: Recorded[Upload] | None) -> Recorded[Upload]:
        """Write the record over the one that was read before, None if there was none. Raises Conflict."""
        return write_recorded(self._lake, layout.upload(self._pipeline, record.content_id), record, over)

    def _find(self, key: str) -> Recorded[Upload] | None:
        stored = self._lake.find(key)
        if stored is None:
            return None
        try:
            return Recorded(value=parse(Upload, stored.data, self._lake.locate(key)), etag=stored.etag)
        except ValidationError as error:
            raise LakeError(
                f"{self._lake.locate(key)} is not the record of an uploaded file: {error}. It was left unchanged."
                " Delete it and clear this task: the file is uploaded again at no cost. The API deletes the old one"
                " seven days after its upload.",
                retryable=False,
            ) from error
