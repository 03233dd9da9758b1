from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from include.enrichment import layout
from include.enrichment.errors import ApiError, BatchError, LakeError
from include.enrichment.ledger import Entry
from include.gateways.lake import Lake
from include.gateways.ledger import Ledger
from include.steps.chunks import Chunk
from include.steps.extract import extract
from include.steps.plan import plan
from include.steps.submit import submit
from tests.fixtures.flow import Flow


@pytest.fixture
def chunk(flow: Flow) -> str:
    extract(flow.pipeline, flow.folder, warehouse=flow.warehouse, lake=flow.lake)
    (key,) = plan(flow.folder, pass_name="main", lake=flow.lake)
    return key


def run_submit(flow: Flow, chunk: str, run_id: str = "manual__1") -> str:
    return submit(chunk, run_id=run_id, lake=flow.lake, claude=flow.claude)


def entry(flow: Flow, chunk: str) -> Entry:
    recorded = Ledger(flow.lake).find("tickets", layout.chunk_id_of(chunk))
    assert recorded is not None
    return recorded.entry


def test_a_chunk_becomes_a_batch_that_the_ledger_knows(flow: Flow, chunk: str) -> None:
    batch_id = run_submit(flow, chunk)
    recorded = entry(flow, chunk)
    assert (recorded.state, recorded.batch_id, recorded.requests) == ("submitted", batch_id, 3)
    assert [batch["id"] for batch in flow.emulator.batches_made()] == [batch_id]


def test_a_chunk_that_was_submitted_is_not_sent_again_by_any_run(flow: Flow, chunk: str) -> None:
    first = run_submit(flow, chunk)
    flow.folder = flow.run("manual__2")
    extract(flow.pipeline, flow.folder, warehouse=flow.warehouse, lake=flow.lake)
    (same,) = plan(flow.folder, pass_name="main", lake=flow.lake)
    assert run_submit(flow, chunk) == run_submit(flow, same, "manual__2") == first
    assert len(flow.emulator.creates()) == 1


def test_after_a_refusal_the_chunk_may_be_sent_again(flow: Flow, chunk: str) -> None:
    flow.emulator.set_faults([{"kind": "http_error", "on": "create", "status": 429, "times": 1}])
    with pytest.raises(ApiError):
        run_submit(flow, chunk)
    assert entry(flow, chunk).state == "planned"
    run_submit(flow, chunk)
    assert len(flow.emulator.batches_made()) == 1


@pytest.mark.parametrize("kind", ["reset_after_create", "reset_before_create"])
def test_after_an_unclear_create_nothing_is_sent_and_a_person_is_told_what_to_look_for(
    flow: Flow, chunk: str, kind: str
) -> None:
    flow.emulator.set_faults([{"kind": kind, "times": 1}])
    with pytest.raises(BatchError, match=r"a batch of 3 requests made after 2.*custom_id .*ledger/tickets/.*\.json"):
        run_submit(flow, chunk)
    with pytest.raises(BatchError, match="has been `submitting` since"):
        run_submit(flow, chunk)
    assert len(flow.emulator.creates()) == 1


@pytest.mark.parametrize(("age_minutes", "retryable"), [(1, True), (59, True), (61, False)])
def test_a_chunk_that_another_task_is_submitting_is_left_to_it(
    flow: Flow, chunk: str, age_minutes: int, retryable: bool
) -> None:
    since = datetime.now(UTC) - timedelta(minutes=age_minutes)
    other = Entry(
        chunk_id=layout.chunk_id_of(chunk),
        pipeline="tickets",
        chunk=chunk,
        requests=3,
        run_id="other",
        state="submitting",
        changed_at=since,
    )
    Ledger(flow.lake).write(other, over=None)
    with pytest.raises(BatchError, match="by run other") as caught:
        run_submit(flow, chunk)
    assert caught.value.retryable is retryable
    assert flow.emulator.creates() == []


def test_a_person_can_settle_an_unclear_create_as_the_message_says(flow: Flow, chunk: str) -> None:
    flow.emulator.set_faults([{"kind": "reset_after_create", "times": 1}])
    with pytest.raises(BatchError):
        run_submit(flow, chunk)
    (made,) = flow.emulator.batches_made()
    settled = entry(flow, chunk).model_copy(update={"state": "submitted", "batch_id": made["id"]})
    flow.lake.write(layout.ledger_entry("tickets", settled.chunk_id), settled.model_dump_json().encode())
    assert run_submit(flow, chunk) == made["id"]
    assert len(flow.emulator.creates()) == 1


def test_an_entry_that_cannot_be_read_stops_the_submit(flow: Flow, chunk: str) -> None:
    flow.lake.write(layout.ledger_entry("tickets", layout.chunk_id_of(chunk)), b"garbage")
    with pytest.raises(LakeError, match="not a ledger entry"):
        run_submit(flow, chunk)
    assert flow.emulator.creates() == []


def test_while_another_task_may_be_at_work_nobody_is_told_to_delete_its_entry(flow: Flow, chunk: str) -> None:
    flow.emulator.set_faults([{"kind": "reset_after_create", "times": 1}])
    with pytest.raises(BatchError):
        run_submit(flow, chunk)
    with pytest.raises(BatchError, match="Another task may be at work") as caught:
        run_submit(flow, chunk)
    assert "delete" not in str(caught.value)


def test_what_fails_without_the_api_claims_nothing(flow: Flow, chunk: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Chunk, path: Path) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(Chunk, "write_body", full)
    with pytest.raises(OSError, match="no space left"):
        run_submit(flow, chunk)
    assert Ledger(flow.lake).find("tickets", layout.chunk_id_of(chunk)) is None


def test_a_refusal_that_the_ledger_could_not_record_is_told_as_both(
    flow: Flow, chunk: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow.emulator.set_faults([{"kind": "http_error", "on": "create", "status": 429, "times": 1}])

    def fail(self: Lake, key: str, data: bytes, *, etag: str) -> str:
        raise LakeError("the store is away")

    monkeypatch.setattr(Lake, "replace", fail)
    with pytest.raises(BatchError, match=r"HTTP 429.*Surely no batch was made.*store is away.*Delete .*\.json"):
        run_submit(flow, chunk)


def test_the_log_tells_a_new_payment_from_none(flow: Flow, chunk: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="include.steps")
    run_submit(flow, chunk)
    run_submit(flow, chunk, "manual__2")
    assert [record.getMessage().split(" batch ")[0] for record in caplog.records] == [
        "3 requests submitted as",
        "Already submitted as",
    ]
