from __future__ import annotations

import json
from pathlib import Path

import pytest

from include.enrichment.errors import LakeError
from include.enrichment.request import make_request
from include.gateways.lake import Lake
from include.steps.chunks import ChunkWriter, open_chunk, request_ids_of, write_chunk


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake.in_folder(tmp_path / "lake")


def test_the_body_is_byte_for_byte_the_params_that_were_planned(lake: Lake, tmp_path: Path) -> None:
    params = [
        json.dumps({"n": n, "text": 'a "quoted" ü \u2028 \x00'}, ensure_ascii=False).encode() for n in range(1_200)
    ]
    requests = [make_request(each) for each in params]
    key = write_chunk(lake, iter(requests), pipeline="p", schema_text=None)
    with open_chunk(lake, key) as chunk:
        body = chunk.body()
        sent = b"".join(body.pieces)
        assert (body.length, body.requests) == (len(sent), 1_200)
        assert chunk.request_ids == request_ids_of(lake, key) == [request.request_id for request in requests]
    items = [
        b'{"custom_id":"%s","params":%s}' % (r.request_id.encode(), p) for r, p in zip(requests, params, strict=True)
    ]
    assert sent == b'{"requests":[' + b",".join(items) + b"]}"


def test_a_chunk_file_knows_its_pipeline_and_schema_and_lies_where_its_id_says(lake: Lake) -> None:
    key = write_chunk(lake, [make_request(b"{}")], pipeline="p", schema_text='{"type": "object"}')
    with open_chunk(lake, key) as chunk:
        assert (chunk.pipeline, chunk.schema_text) == ("p", '{"type": "object"}')
        assert key == f"chunks/p/{chunk.chunk_id}.parquet"


def test_the_order_of_the_rows_does_not_change_the_chunk(lake: Lake) -> None:
    requests = [make_request(b"1"), make_request(b"2")]
    keys = {write_chunk(lake, order, pipeline="p", schema_text=None) for order in (requests, requests[::-1])}
    assert len(keys) == 1


def test_asking_again_after_a_failed_batch_is_another_chunk_and_keeps_its_id_on_the_lake(
    lake: Lake, tmp_path: Path
) -> None:
    ids = set()
    for after in ((), ("msgbatch_1",), ("msgbatch_1", "msgbatch_2")):
        with ChunkWriter(tmp_path / "c.parquet", pipeline="p", schema_text=None, after=after) as writer:
            writer.add(make_request(b"1"))
        with open_chunk(lake, writer.upload(lake)) as chunk:
            assert chunk.chunk_id == writer.chunk_id
            ids.add(chunk.chunk_id)
    assert len(ids) == 3


@pytest.mark.parametrize("content", [b"", b"no parquet"])
def test_a_file_that_is_no_chunk_is_named(lake: Lake, content: bytes) -> None:
    lake.write("x/chunk.parquet", content)
    with pytest.raises(LakeError, match=r"x/chunk\.parquet is not a chunk file"), open_chunk(lake, "x/chunk.parquet"):
        pytest.fail("it was opened")
    with pytest.raises(LakeError, match="is not a chunk file"):
        request_ids_of(lake, "x/chunk.parquet")
