from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from include.enrichment.errors import ApiError, BatchError, LakeError, NotYet
from include.enrichment.storage import layout
from include.gateways.lake import Lake
from include.gateways.ledger_store import Ledger
from tests.fixtures.flow import Flow
from tests.fixtures.submitting import entry, stranger, write_entry


def test_the_claim_holds_the_newest_batch_of_the_workspace_from_before_the_create(flow: Flow, chunk: str) -> None:
    newest = stranger(flow)
    flow.submit(chunk)
    fence = entry(flow, chunk).fence
    assert fence is not None
    assert fence.newest_batch == newest


@pytest.mark.parametrize(
    ("retry_after", "wait"), [(7, timedelta(seconds=7)), (None, timedelta(minutes=1))], ids=["asked", "not asked"]
)
def test_a_refusal_that_passes_says_when_to_come_back_and_the_chunk_is_open(
    flow: Flow, chunk: str, retry_after: float | None, wait: timedelta
) -> None:
    flow.emulator.set_faults(
        [{"kind": "http_error", "on": "create", "status": 429, "retry_after": retry_after, "times": 1}]
    )
    began = datetime.now(UTC)
    with pytest.raises(NotYet, match=r"HTTP 429.*No batch was created") as caught:
        flow.submit(chunk)
    assert began < caught.value.again_at - wait < datetime.now(UTC)
    assert (entry(flow, chunk).state, entry(flow, chunk).refusals) == ("planned", 1)
    flow.submit(chunk)
    assert len(flow.emulator.batches_made()) == 1


@pytest.mark.parametrize("minutes", [59, 61])
def test_a_chunk_that_is_rejected_for_an_hour_may_never_fit_and_the_message_says_so(
    flow: Flow, chunk: str, monkeypatch: pytest.MonkeyPatch, minutes: int
) -> None:
    flow.emulator.set_faults([{"kind": "queue_limit", "requests": 2}])
    with pytest.raises(NotYet) as first:
        flow.submit(chunk)
    assert "limits.batch_requests" not in str(first.value)
    recorded = flow.ledger.find(layout.chunk_id_of(chunk))
    assert recorded
    since = datetime.now(UTC) - timedelta(minutes=minutes)
    flow.ledger.write(recorded.value.model_copy(update={"refused_since": since}), over=recorded)
    with pytest.raises(NotYet) as later:
        flow.submit(chunk)
    hint = "Its 3 requests may exceed the API's queue"
    assert (hint in str(later.value)) == ("lower limits.batch_requests" in str(later.value)) == (minutes > 60)
    assert entry(flow, chunk).refused_since == since


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 429, "error_code": "enforced_spend_limit_reached"},
        {"status": 400, "message": "You have reached your specified workspace API usage limits."},
    ],
)
def test_a_spend_limit_fails_at_once_and_names_the_remedy(flow: Flow, chunk: str, fault: dict[str, object]) -> None:
    flow.emulator.set_faults([{"kind": "http_error", "on": "create", **fault}])
    with pytest.raises(ApiError, match="Raise the limit in the Claude console, then clear this task") as caught:
        flow.submit(chunk)
    assert not caught.value.retryable
    assert entry(flow, chunk).state == "planned"


def test_of_several_who_submit_a_chunk_at_the_same_moment_one_does(flow: Flow, chunk: str) -> None:
    ended: list[object] = []

    def run() -> None:
        try:
            ended.append(flow.submit(chunk))
        except NotYet as error:
            ended.append(error)

    threads = [threading.Thread(target=run) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (made,) = flow.emulator.batches_made()
    assert len(ended) == 6
    assert {each for each in ended if isinstance(each, str)} == {made["id"]}
    assert flow.submit(chunk) == made["id"]


@pytest.mark.usefixtures("quick")
def test_a_process_that_was_thought_dead_finds_its_batch_adopted(
    flow: Flow, chunk: str, within_create: Callable[[Callable[[], object]], None]
) -> None:
    adopted: list[str] = []
    within_create(lambda: adopted.append(flow.submit(chunk)))
    assert [flow.submit(chunk)] == adopted
    assert len(flow.emulator.creates()) == 1


@pytest.mark.usefixtures("quick")
def test_a_process_that_was_thought_dead_cancels_the_batch_that_is_one_too_many(
    flow: Flow, chunk: str, within_create: Callable[[Callable[[], object]], None]
) -> None:
    flow.emulator.set_faults([{"kind": "duration", "seconds": 600}, {"kind": "list_lag", "seconds": 1000}])
    within_create(lambda: flow.submit(chunk))
    with pytest.raises(BatchError, match=r"assumed that this process had died.*canceled it at once") as caught:
        flow.submit(chunk)
    first, second = caught.value.batch_ids
    assert entry(flow, chunk).batch_id == first
    (canceled,) = [call["path"] for call in flow.emulator.log()["calls"] if "cancel" in call["path"]]
    assert second in canceled


@pytest.mark.usefixtures("quick")
def test_a_batch_that_the_ledger_could_not_record_is_found_by_the_next_try(
    flow: Flow,
    chunk: str,
    monkeypatch: pytest.MonkeyPatch,
    within_create: Callable[[Callable[[], object]], None],
) -> None:
    def fail(self: Lake, key: str, data: bytes, *, etag: str) -> str:
        raise LakeError("the store is away")

    with monkeypatch.context() as patch:
        within_create(lambda: patch.setattr(Lake, "replace", fail))
        with pytest.raises(BatchError, match="was created, but the ledger could not record it") as caught:
            flow.submit(chunk)
    assert caught.value.retryable
    assert (flow.submit(chunk),) == caught.value.batch_ids


def test_while_the_api_cannot_list_its_batches_nothing_is_claimed(flow: Flow, chunk: str) -> None:
    flow.emulator.set_faults([{"kind": "http_error", "on": "list", "status": 529, "times": 1}])
    with pytest.raises(NotYet, match="HTTP 529"):
        flow.submit(chunk)
    assert flow.ledger.find(layout.chunk_id_of(chunk)) is None
    assert flow.emulator.creates() == []


@pytest.mark.usefixtures("quick")
def test_of_two_who_settle_the_same_lost_create_the_second_does_not_send_over_the_firsts_claim(
    flow: Flow, chunk: str, monkeypatch: pytest.MonkeyPatch, within_create: Callable[[Callable[[], object]], None]
) -> None:
    """The second has looked at entry and list before the first claims, and goes on while the first is in its create."""
    write_entry(flow, chunk, "submitting")
    find = Ledger.find
    read = [flow.ledger.find(layout.chunk_id_of(chunk))]
    ended: list[object] = []

    def second() -> None:
        monkeypatch.setattr(Ledger, "find", lambda *arguments: read.pop() if read else find(*arguments))
        monkeypatch.setattr(type(flow.claude), "batches_since", lambda *arguments, **options: [])
        try:
            ended.append(flow.submit(chunk))
        except NotYet as error:
            ended.append(error)

    within_create(second)
    flow.submit(chunk)
    assert isinstance(ended[0], NotYet)
    assert len(flow.emulator.creates()) == 1
