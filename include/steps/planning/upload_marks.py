"""Which attachments of a run's requests are sent as uploaded files."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

import pyarrow as pa

from include.enrichment.documents.upload import find_shared, mark_uploads
from include.enrichment.requests.request import Request
from include.steps.files.extracted import ExtractedRun, read_requests


@dataclass(frozen=True, kw_only=True)
class UploadMarks:
    """
    Marks attachments to upload.

    :param shared: the content ids that more than one request of the run uses
    :param above: an attachment of more bytes is uploaded as well; None: none is for its size
    """

    shared: Collection[str]
    above: int | None

    def apply(self, requests: pa.RecordBatch) -> pa.RecordBatch:
        """Return the requests (REQUESTS_SCHEMA), each attachment marked."""
        if not self.shared and self.above is None:
            return requests
        marked = [mark_uploads(params, self.shared, above=self.above) for params in _params(requests)]
        return requests.set_column(1, requests.schema.field("params"), pa.array(marked, pa.binary()).cast(pa.string()))


def find_uploads(run: ExtractedRun, made: Iterable[Request]) -> UploadMarks:
    """
    Return the attachments to upload: the large ones, and those that several requests of the run use.

    :param made: the repairs, each of which uses the attachments of another request
    """
    settings = run.pipeline.settings
    if not settings.attached_columns:
        return UploadMarks(shared=(), above=None)
    rows = (params for batch in read_requests(run.rows, run.request_ids) for params in _params(batch))
    shared = find_shared(chain(rows, (request.params.encode() for request in made)))
    return UploadMarks(shared=shared, above=settings.attachments.upload_above if settings.attachments else None)


def _params(requests: pa.RecordBatch) -> Iterator[bytes]:
    column: list[bytes] = requests["params"].view(pa.binary()).to_pylist()
    return iter(column)
