"""Which attachments plan marks as files to upload."""

from __future__ import annotations

from dataclasses import asdict

import pyarrow as pa

from include.enrichment.documents.attachment import Attachment, attachments_in
from include.enrichment.requests.chunk import REQUESTS_SCHEMA
from include.steps.files.extracted import open_run
from include.steps.planning.upload_marks import UploadMarks, find_uploads
from tests.fixtures.attachments import request_with
from tests.fixtures.flow import Flow
from tests.fixtures.uploads import attachment

ONE, TWO = attachment("one", upload=False), attachment("two and more", upload=False)


def requests(*each: Attachment) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([asdict(request_with(one, text="?")) for one in each], REQUESTS_SCHEMA)


def marked(batch: pa.RecordBatch) -> list[bool]:
    return [each.upload for params in batch["params"].to_pylist() for each in attachments_in(params.encode())]


def test_shared_and_large_attachments_are_marked() -> None:
    batch = requests(ONE, TWO)
    assert marked(UploadMarks(shared={ONE.content_id}, above=None).apply(batch)) == [True, False]
    assert marked(UploadMarks(shared=(), above=5).apply(batch)) == [False, True]
    assert UploadMarks(shared={ONE.content_id}, above=5).apply(batch)["request_id"] == batch["request_id"]


def test_without_any_to_upload_the_requests_are_not_touched() -> None:
    batch = requests(ONE)
    assert UploadMarks(shared=(), above=None).apply(batch) is batch


def test_a_pipeline_without_attachments_has_none(flow: Flow) -> None:
    flow.extract()
    with open_run(flow.lake, flow.folder) as run:
        assert find_uploads(run, []) == UploadMarks(shared=(), above=None)
