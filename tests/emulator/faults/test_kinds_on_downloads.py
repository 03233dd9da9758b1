"""Faults on downloads of results, as the real SDK sees them."""

from __future__ import annotations

import httpx2
import pytest
from anthropic import Anthropic

from tests.emulator.conftest import create, ended, request, results
from tests.fixtures.emulator import Emulator


def test_a_download_breaks_off_inside_a_line(emulator: Emulator, client: Anthropic) -> None:
    batch = ended(client, create(client, *[request()] * 10).id)
    emulator.set_faults([{"kind": "cut_results", "times": 1}])
    with pytest.raises(httpx2.RemoteProtocolError):
        list(client.messages.batches.results(batch.id))
    assert len(results(client, batch.id)) == 10


def test_a_download_cut_after_a_line_looks_whole(emulator: Emulator, client: Anthropic) -> None:
    batch = ended(client, create(client, *[request()] * 10).id)
    emulator.set_faults([{"kind": "cut_results", "at": "line_boundary", "after_lines": 7, "times": 1}])
    assert len(results(client, batch.id)) == 7
    assert len(results(client, batch.id)) == 10


def _raw_results(emulator: Emulator, batch_id: str, accept_encoding: str) -> httpx2.Response:
    headers = {
        "x-api-key": emulator.api_key,
        "anthropic-version": "2026-10-21",
        "accept-encoding": accept_encoding,
    }
    return httpx2.get(f"{emulator.url}/v1/messages/batches/{batch_id}/results", headers=headers)


def test_a_download_is_compressed_for_a_client_that_accepts_it(emulator: Emulator, client: Anthropic) -> None:
    batch = ended(client, create(client, *[request()] * 100).id)
    plain = _raw_results(emulator, batch.id, "gzip")
    emulator.set_faults([{"kind": "gzip_results", "times": 1}])
    assert "content-encoding" not in _raw_results(emulator, batch.id, "identity").headers
    compressed = _raw_results(emulator, batch.id, "gzip, deflate")
    assert compressed.headers["content-encoding"] == "gzip"
    assert compressed.text == plain.text
    assert "content-encoding" not in _raw_results(emulator, batch.id, "gzip").headers


def test_a_compressed_download_breaks_off(emulator: Emulator, client: Anthropic) -> None:
    batch = ended(client, create(client, *[request()] * 10).id)
    emulator.set_faults([{"kind": "gzip_results"}, {"kind": "cut_results", "after_lines": 7}])
    body = bytearray()

    def download() -> None:
        with client.messages.batches.with_streaming_response.results(batch.id) as response:
            for piece in response.iter_bytes():
                body.extend(piece)

    with pytest.raises(httpx2.RemoteProtocolError):
        download()
    assert len(body.splitlines()) == 8
    assert not body.endswith(b"\n")


def test_a_compressed_download_cut_after_a_line_looks_whole(emulator: Emulator, client: Anthropic) -> None:
    batch = ended(client, create(client, *[request()] * 10).id)
    emulator.set_faults([{"kind": "gzip_results"}, {"kind": "cut_results", "at": "line_boundary", "after_lines": 7}])
    assert len(results(client, batch.id)) == 7


def test_a_download_stalls_halfway_and_continues(emulator: Emulator, client: Anthropic) -> None:
    batch = ended(client, create(client, *[request()] * 10).id)
    emulator.set_faults([{"kind": "stall_results", "seconds": 0.6}])
    with pytest.raises(httpx2.ReadTimeout):
        results(client.with_options(timeout=0.3), batch.id)
    assert len(results(client, batch.id)) == 10


def test_the_last_line_may_lack_its_newline(emulator: Emulator, client: Anthropic) -> None:
    batch = ended(client, create(client, *[request()] * 10).id)
    emulator.set_faults([{"kind": "no_final_newline"}])
    assert not _raw_results(emulator, batch.id, "identity").text.endswith("\n")
    assert len(results(client, batch.id)) == 10


def test_lines_can_be_missing_duplicate_or_foreign(emulator: Emulator, client: Anthropic) -> None:
    batch = ended(client, create(client, *[request()] * 10).id)
    emulator.set_faults(
        [
            {"kind": "missing_lines", "count": 2},
            {"kind": "duplicate_lines", "count": 3},
            {"kind": "foreign_lines", "count": 1},
        ]
    )
    ids = [line.custom_id for line in client.messages.batches.results(batch.id)]
    assert len(ids) == 10 - 2 + 3 + 1
    assert len(set(ids)) == 8 + 1
    assert "simulated-foreign-0" in ids
