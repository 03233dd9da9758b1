from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from include.enrichment.cost.caching import CachedPrefix
from include.enrichment.errors import LakeError
from include.enrichment.requests.request import make_request
from include.gateways.lake import Lake
from include.steps.files.chunk_files import (
    ChunkWriter,
    params_of,
    read_chunk,
    request_ids_of,
    write_chunk,
)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake.in_folder(tmp_path / "lake")


def test_a_chunk_file_knows_its_pipeline_and_schema_and_lies_where_its_id_says(lake: Lake) -> None:
    key = write_chunk(lake, [make_request(b"{}")], pipeline="p", schema_text='{"type": "object"}')
    chunk = read_chunk(lake, key)
    assert (chunk.pipeline, chunk.schema_text) == ("p", '{"type": "object"}')
    assert key == f"chunks/p/{chunk.chunk_id}.parquet"


def test_a_chunk_file_knows_what_its_requests_have_the_cache_keep(lake: Lake, tmp_path: Path) -> None:
    for cached in (CachedPrefix(prefix_id="abc", ttl="5m"), None):
        with ChunkWriter(tmp_path / "c.parquet", pipeline="p", schema_text=None, cached=cached) as writer:
            writer.add(make_request(b"1"))
        assert read_chunk(lake, writer.upload(lake)).cached == cached


def test_the_params_of_some_requests_are_found_in_whichever_row_group_they_lie(lake: Lake) -> None:
    requests = [make_request(f'{{"n":{number},"text":"{"x" * 300_000}"}}'.encode()) for number in range(9)]
    chunk = read_chunk(lake, write_chunk(lake, requests, pipeline="p", schema_text=None))
    wanted = {request.request_id: request.params for request in (requests[8], requests[1], requests[2])}
    assert params_of(lake, chunk, wanted.keys()) == wanted
    assert params_of(lake, chunk, ["a stranger"]) == {}


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
        assert read_chunk(lake, writer.upload(lake)).chunk_id == writer.chunk_id
        ids.add(writer.chunk_id)
    assert len(ids) == 3


@pytest.mark.parametrize("content", [b"", b"no parquet"])
def test_a_file_that_is_no_chunk_is_named(lake: Lake, content: bytes) -> None:
    lake.write("x/chunk.parquet", content)
    with pytest.raises(LakeError, match=r"x/chunk\.parquet is not a chunk file"):
        read_chunk(lake, "x/chunk.parquet")


def test_a_parquet_file_of_somebody_else_is_no_chunk(lake: Lake, tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [1]}), tmp_path / "a.parquet", store_schema=False)
    lake.write_file("x/chunk.parquet", tmp_path / "a.parquet")
    with pytest.raises(LakeError, match=r"is not a chunk file.*write_chunk"):
        request_ids_of(lake, "x/chunk.parquet")


@pytest.mark.parametrize("variant", [None, "candidate"])
def test_a_chunk_file_knows_the_variant_of_its_requests(lake: Lake, tmp_path: Path, variant: str | None) -> None:
    with ChunkWriter(tmp_path / "c.parquet", pipeline="p", schema_text=None, variant=variant) as writer:
        writer.add(make_request(b"1"))
    assert read_chunk(lake, writer.upload(lake)).variant == variant
