from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from include.enrichment.batches.ledger import OpenChunks
from include.enrichment.errors import LakeError, NotSent, NotYet
from include.enrichment.spec.pipeline_folder import load_pipeline
from include.enrichment.storage import layout
from tests.fixtures.attachments import chunk_with, put, request_with
from tests.fixtures.documents import pdf
from tests.fixtures.flow import Flow, write_pipeline, write_tickets
from tests.fixtures.submitting import entry, write_entry


def test_a_chunk_becomes_a_batch_that_the_ledger_knows(flow: Flow, chunk: str) -> None:
    batch_id = flow.submit(chunk)
    recorded = entry(flow, chunk)
    assert (recorded.state, recorded.batch_id, recorded.requests) == ("submitted", batch_id, 3)
    assert [batch["id"] for batch in flow.emulator.batches_made()] == [batch_id]


def test_a_chunk_that_was_submitted_is_not_sent_again_by_any_run(flow: Flow, chunk: str) -> None:
    first = flow.submit(chunk)
    flow.folder = flow.run("manual__2")
    flow.extract()
    assert flow.plan() == [chunk]
    assert flow.submit(chunk) == flow.submit(chunk) == first
    assert len(flow.emulator.creates()) == 1
    assert entry(flow, chunk).run_ids == ["manual__1", "manual__2"]


def test_forty_chunks_pass_through_a_queue_that_holds_four(flow: Flow, tmp_path: Path) -> None:
    yaml = "source: {connection: w, key: [ticket]}\nrequest: {model: claude-haiku-5-5, max_tokens: 200}\n"
    folder = write_pipeline(tmp_path / "forty" / "tickets", pipeline_yaml=f"{yaml}limits: {{batch_requests: 1}}\n")
    flow.pipeline = load_pipeline(folder)
    write_tickets(flow.database, [(f"N{number}", f"Ticket {number}") for number in range(37)])
    flow.emulator.set_faults([{"kind": "queue_limit", "batches": 4}, {"kind": "duration", "seconds": 60}])
    flow.extract()
    waiting = flow.plan()
    assert len(waiting) == 40
    rounds = 0
    while waiting:
        rounds += 1
        running = [batch["id"] for batch in flow.emulator.batches_made() if not batch["ended"]]
        assert len(running) <= 4
        refused = []
        for chunk in waiting:
            try:
                flow.submit(chunk)
            except NotYet:
                refused.append(chunk)
        waiting = refused
        flow.emulator.advance_clock(61)
    assert rounds == 10
    for chunk in flow.plan():
        flow.load(chunk)
    assert (flow.publish().published, flow.requests_sent()) == (40, 40)


def test_a_withdrawn_chunk_is_not_sent(flow: Flow, chunk: str) -> None:
    write_entry(flow, chunk, "withdrawn")
    flow.ledger.write_open(OpenChunks(), over=flow.ledger.find_open())
    with pytest.raises(NotSent, match=r"never sent\. Run other took it over at .* nothing left to send"):
        flow.submit(chunk)
    assert flow.emulator.creates() == []


def test_an_entry_that_cannot_be_read_stops_the_submit(flow: Flow, chunk: str) -> None:
    flow.lake.write(layout.ledger_entry("tickets", layout.chunk_id_of(chunk)), b"garbage")
    with pytest.raises(LakeError, match="not a ledger entry"):
        flow.submit(chunk)
    assert flow.emulator.creates() == []


def test_of_a_chunk_that_is_damaged_no_batch_is_made_and_it_may_be_planned_again(flow: Flow, chunk: str) -> None:
    whole = flow.lake.read(chunk)
    params = pq.read_metadata(pa.BufferReader(whole)).row_group(0).column(1)
    last = params.data_page_offset + params.total_compressed_size - 1
    flow.lake.write(chunk, whole[:last] + bytes([whole[last] ^ 1]) + whole[last + 1 :])
    with pytest.raises(LakeError, match=r"is not a chunk file.*Clear the pass's `plan`"):
        flow.submit(chunk)
    assert flow.emulator.batches_made() == []
    assert entry(flow, chunk).state == "planned"
    flow.lake.write(chunk, whole)
    assert flow.submit(chunk) == flow.emulator.batches_made()[0]["id"]


class TestAttachments:
    def test_they_are_read_while_the_chunk_is_sent(self, flow: Flow, tmp_path: Path) -> None:
        requests = [request_with(put(tmp_path, f"{name}.pdf", pdf(name)), text="What is it?") for name in "abc"]
        batch_id = flow.submit(chunk_with(tmp_path, flow.lake, *requests, pipeline="tickets"))
        assert [(batch["id"], batch["size"]) for batch in flow.emulator.batches_made()] == [(batch_id, 3)]

    def test_no_batch_is_made_of_one_that_has_changed_and_the_chunk_may_be_sent_later(
        self, flow: Flow, tmp_path: Path
    ) -> None:
        requests = [request_with(put(tmp_path, f"{name}.pdf", pdf(name)), text="What is it?") for name in "abc"]
        chunk = chunk_with(tmp_path, flow.lake, *requests, pipeline="tickets")
        (tmp_path / "b.pdf").write_bytes(b"other")
        with pytest.raises(LakeError, match=r"b\.pdf has changed since extract read it.*Clear the run's `extract`"):
            flow.submit(chunk)
        assert flow.emulator.batches_made() == []
        assert entry(flow, chunk).state == "planned"
        put(tmp_path, "b.pdf", pdf("b"))
        assert flow.submit(chunk) == flow.emulator.batches_made()[0]["id"]


@pytest.fixture
def info(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level("INFO", logger="include.steps.submit"):
        yield caplog


def test_the_log_shows_whether_something_is_billed(flow: Flow, chunk: str, info: pytest.LogCaptureFixture) -> None:
    flow.submit(chunk)
    flow.submit(chunk)
    said = [record.getMessage().split(" batch ")[0] for record in info.records]
    assert said == ["3 requests submitted as", "Already submitted as"]
