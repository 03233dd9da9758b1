"""unanswered.py: the requests of a chunk as they are asked."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path

import pytest

from include.enrichment.errors import LakeError
from include.enrichment.spec.pipeline_folder import load_pipeline
from include.gateways.documents.buckets import LocalFolder
from include.steps.asking.asker import Unanswered
from include.steps.asking.unanswered import open_unanswered
from include.steps.files.chunk_files import params_of, read_chunk
from tests.chaos.kill_points.pipelines import ATTACHED
from tests.fixtures.documents import pdf
from tests.fixtures.flow import Flow, write_pipeline


def unanswered(flow: Flow, key: str, request_ids: list[str]) -> list[tuple[Unanswered, bytes]]:
    async def read() -> list[tuple[Unanswered, bytes]]:
        chunk = read_chunk(flow.lake, key)
        with open_unanswered(flow.lake, chunk, request_ids, open_buckets=LocalFolder, files={}) as opened:
            return [(request, await request.params()) async for request in opened]

    return asyncio.run(read())


def test_the_unanswered_are_the_planned_requests_without_those_that_have_an_answer(flow: Flow, chunk: str) -> None:
    planned = read_chunk(flow.lake, chunk)
    wanted = planned.request_ids[1:]
    asked = unanswered(flow, chunk, wanted)
    params = params_of(flow.lake, planned, wanted)
    assert [request.request_id for request, _ in asked] == wanted
    assert [body.decode() for _, body in asked] == [params[request_id] for request_id in wanted]
    assert all(request.size_bytes == len(body) for request, body in asked)


@pytest.fixture
def attached(flow: Flow, tmp_path: Path) -> Flow:
    documents = tmp_path / "documents"
    documents.mkdir()
    for ticket in ("T1", "T2", "T3"):
        (documents / f"{ticket}.pdf").write_bytes(pdf(ticket))
    files = {name: text.replace("{documents}", str(documents)) for name, text in ATTACHED.files.items()}
    flow.pipeline = load_pipeline(write_pipeline(tmp_path / "attached" / "tickets", **files))
    flow.extract()
    return flow


def test_a_request_is_asked_with_the_bytes_of_its_document(attached: Flow, tmp_path: Path) -> None:
    (key,) = attached.plan()
    asked = unanswered(attached, key, read_chunk(attached.lake, key).request_ids)
    sent = {
        base64.b64decode(block["source"]["data"])
        for _, body in asked
        for block in json.loads(body)["messages"][0]["content"]
        if block["type"] == "document"
    }
    assert sent == {path.read_bytes() for path in (tmp_path / "documents").iterdir()}
    assert all(request.size_bytes == len(body) for request, body in asked)


def test_a_document_that_has_changed_since_extract_is_an_error_before_anything_is_paid(
    attached: Flow, tmp_path: Path
) -> None:
    (key,) = attached.plan()
    for path in (tmp_path / "documents").iterdir():
        path.write_bytes(pdf("another"))
    with pytest.raises(LakeError, match="has changed since extract read it"):
        unanswered(attached, key, read_chunk(attached.lake, key).request_ids)
