from __future__ import annotations

import base64
import json
from dataclasses import replace
from pathlib import Path
from threading import enumerate as running_threads
from typing import Any

import msgspec
import pyarrow as pa
import pytest

from include.enrichment.documents.attachment import Attachment
from include.enrichment.documents.document import Stored
from include.enrichment.errors import LakeError
from include.enrichment.requests.request import make_request
from include.gateways.documents.buckets import LocalFolder
from include.gateways.lake import Lake
from include.steps.files import request_body
from include.steps.files.chunk_files import Chunk, ChunkWriter, read_chunk, request_ids_of, write_chunk
from include.steps.files.request_body import open_body
from tests.fixtures.attachments import chunk_with, put, request_with


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake.in_folder(tmp_path / "lake")


def test_the_body_is_byte_for_byte_the_params_that_were_planned(lake: Lake, tmp_path: Path) -> None:
    params = [
        json.dumps({"n": n, "text": 'a "quoted" ü \u2028 \x00'}, ensure_ascii=False).encode() for n in range(1_200)
    ]
    requests = [make_request(each) for each in params]
    key = write_chunk(lake, iter(requests), pipeline="p", schema_text=None)
    chunk = read_chunk(lake, key)
    with open_body(lake, chunk, open_buckets=LocalFolder) as body:
        sent = b"".join(body.pieces)
    assert (body.length, body.requests) == (len(sent), 1_200)
    assert chunk.request_ids == [request.request_id for request in requests]
    assert request_ids_of(lake, key) == set(chunk.request_ids)
    items = [
        b'{"custom_id":"%s","params":%s}' % (r.request_id.encode(), p) for r, p in zip(requests, params, strict=True)
    ]
    assert sent == b'{"requests":[' + b",".join(items) + b"]}"


def test_large_requests_leave_in_small_pieces_however_they_were_added(lake: Lake, tmp_path: Path) -> None:
    requests = [make_request(f'{{"n":{number},"text":"{"x" * 300_000}"}}'.encode()) for number in range(40)]
    with ChunkWriter(tmp_path / "c.parquet", pipeline="p", schema_text=None) as writer:
        columns = [[request.request_id for request in requests[1:]], [request.params for request in requests[1:]]]
        writer.add(requests[0])
        writer.write(pa.RecordBatch.from_arrays([pa.array(column) for column in columns], ["request_id", "params"]))
    chunk = read_chunk(lake, writer.upload(lake))
    with open_body(lake, chunk, open_buckets=LocalFolder) as body:
        pieces = list(body.pieces)
    assert max(map(len, pieces)) < 1_100_000
    sent = msgspec.json.decode(b"".join(pieces))["requests"]
    assert [item["custom_id"] for item in sent] == [request.request_id for request in requests]


def test_a_file_that_makes_another_body_than_was_planned_gives_up_before_its_last_piece(
    lake: Lake, tmp_path: Path
) -> None:
    requests = [make_request(f'{{"n":{number},"text":"{"x" * 700_000}"}}'.encode()) for number in range(3)]
    chunk = read_chunk(lake, write_chunk(lake, requests, pipeline="p", schema_text=None))
    other = replace(chunk, body_bytes=chunk.body_bytes + 1)
    with open_body(lake, other, open_buckets=LocalFolder) as body:
        pieces = iter(body.pieces)
        assert [len(next(pieces)) > 700_000 for _ in range(2)] == [True, True]
        with pytest.raises(LakeError, match=r"bytes of body, not"):
            next(pieces)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "objects").mkdir()
    return tmp_path / "objects"


def _chunk(folder: Path, lake: Lake, *attachments: list[Attachment]) -> Chunk:
    requests = (request_with(*each, text=f"größer {number}") for number, each in enumerate(attachments))
    return read_chunk(lake, chunk_with(folder, lake, *requests))


def _content(sent: bytes) -> list[list[dict[str, Any]]]:
    return [item["params"]["messages"][0]["content"] for item in msgspec.json.decode(sent)["requests"]]


class TestAttachments:
    def test_each_is_sent_in_the_place_of_its_reference_and_the_length_is_known_before(
        self, lake: Lake, folder: Path
    ) -> None:
        data = [bytes([number]) * size for number, size in enumerate((0, 1, 2, 3, 1_000, 786_432, 786_433))]
        a, b, *others = [put(folder, f"{number} +%ä.pdf", each) for number, each in enumerate(data)]
        chunk = _chunk(folder, lake, [a, b], *([each] for each in others), [])
        with open_body(lake, chunk, open_buckets=LocalFolder) as body:
            sent = b"".join(body.pieces)
        assert len(sent) == body.length
        content = _content(sent)
        sources = [block["source"] for blocks in content for block in blocks if block["type"] == "document"]
        assert sources == [
            {"type": "base64", "media_type": "application/pdf", "data": base64.b64encode(each).decode()}
            for each in data
        ]
        assert [blocks[-1]["text"] for blocks in content] == [f"größer {number}" for number in range(7)]

    def test_an_uploaded_one_is_sent_by_the_id_of_its_file(self, lake: Lake, folder: Path) -> None:
        uploaded = msgspec.structs.replace(put(folder, "a.pdf", b"1"), upload=True)
        files = {uploaded.content_id: "file_011CNha8iCJcU1wXNR6q4V8w"}
        with open_body(lake, _chunk(folder, lake, [uploaded]), open_buckets=LocalFolder, files=files) as body:
            sent = b"".join(body.pieces)
        assert len(sent) == body.length
        assert _content(sent)[0][0]["source"] == {"type": "file", "file_id": "file_011CNha8iCJcU1wXNR6q4V8w"}

    def test_a_chunk_that_another_run_has_planned_since_is_sent_as_it_is_now(self, lake: Lake, folder: Path) -> None:
        inline = put(folder, "a.pdf", b"1" * 999)
        uploaded = msgspec.structs.replace(inline, upload=True)
        before = _chunk(folder, lake, [uploaded])
        now = _chunk(folder, lake, [inline])
        assert (now.key, now.body_bytes == before.body_bytes) == (before.key, False)
        with open_body(lake, before, open_buckets=LocalFolder) as body:
            sent = b"".join(body.pieces)
        assert (len(sent), _content(sent)[0][0]["source"]["type"]) == (body.length, "base64")

    def test_a_file_that_is_needed_only_since_then_is_uploaded_by_the_next_try(self, lake: Lake, folder: Path) -> None:
        inline = put(folder, "a.pdf", b"1" * 999)
        before = _chunk(folder, lake, [inline])
        _chunk(folder, lake, [msgspec.structs.replace(inline, upload=True)])
        again = pytest.raises(LakeError, match=r"planned again.*The next try uploads it")
        with open_body(lake, before, open_buckets=LocalFolder) as body, again as caught:
            b"".join(body.pieces)
        assert caught.value.retryable

    def test_one_that_has_changed_ends_the_body_before_any_of_it_is_sent(self, lake: Lake, folder: Path) -> None:
        chunk = _chunk(folder, lake, [put(folder, "a.pdf", b"a" * 99)], [put(folder, "b.pdf", b"b" * 99)])
        (folder / "b.pdf").write_bytes(b"c" * 99)
        pieces: list[bytes] = []
        changed = pytest.raises(LakeError, match=r"b\.pdf has changed since extract read it: 99 bytes")
        with open_body(lake, chunk, open_buckets=LocalFolder) as body, changed as caught:
            pieces.extend(body.pieces)
        assert not caught.value.retryable
        assert base64.b64encode(b"a" * 99) in pieces
        assert base64.b64encode(b"c" * 99) not in pieces

    def test_only_a_few_are_fetched_ahead_and_none_stays_on_the_disk(
        self, lake: Lake, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(request_body, "_WAITING_BYTES", 3_500)
        chunk = _chunk(folder, lake, *([put(folder, f"{number}.pdf", bytes(1_000))] for number in range(20)))
        read = Recording(folder)
        with open_body(lake, chunk, open_buckets=lambda _: read) as body:
            held = 0
            for number, _ in enumerate(body.pieces):
                held = max(held, len(read.paths) - sum(not path.exists() for path in read.paths))
                if not number:
                    assert len(read.paths) <= 4
        assert len(read.paths) == 20
        assert held <= 5

    def test_a_body_that_is_not_read_to_its_end_leaves_no_thread(self, lake: Lake, folder: Path) -> None:
        chunk = _chunk(folder, lake, *([put(folder, f"{number}.pdf", b"1")] for number in range(200)))
        with open_body(lake, chunk, open_buckets=LocalFolder) as body:
            next(iter(body.pieces))
        assert not [thread for thread in running_threads() if thread.name.startswith("attachment")]


class Recording(LocalFolder):
    """A folder that remembers where its files were copied to."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.paths: list[Path] = []

    def fetch(self, uri: str, path: Path, *, most_bytes: int | None = None) -> Stored:
        self.paths.append(path)
        return super().fetch(uri, path, most_bytes=most_bytes)
