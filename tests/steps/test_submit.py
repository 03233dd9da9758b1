from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from include.enrichment.batches import submission
from include.enrichment.batches.ledger import Entry, Fence, OpenChunks, State
from include.enrichment.errors import ApiError, BatchError, LakeError, NotSent, NotYet
from include.enrichment.requests.chunk import Body
from include.enrichment.spec.pipeline_folder import load_pipeline
from include.enrichment.storage import layout
from include.gateways.lake import Lake
from include.gateways.ledger_store import Ledger
from tests.fixtures.flow import Flow, write_pipeline, write_tickets


@pytest.fixture
def chunk(flow: Flow) -> str:
    flow.extract()
    (key,) = flow.plan()
    return key


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes minutes in production is over at once."""
    monkeypatch.setattr(submission, "LISTING_LAG", timedelta(0))
    monkeypatch.setattr(submission, "CREATE_WINDOW", timedelta(0))


def entry(flow: Flow, chunk: str) -> Entry:
    recorded = flow.ledger.find(layout.chunk_id_of(chunk))
    assert recorded is not None
    return recorded.value


def write_entry(flow: Flow, chunk: str, state: State, *, age: timedelta = timedelta(0)) -> None:
    """An entry as another process left it that began its create so long ago."""
    at = datetime.now(UTC) - age
    left = Entry(
        chunk_id=layout.chunk_id_of(chunk),
        pipeline="tickets",
        chunk=chunk,
        requests=3,
        run_id="other",
        run_ids=["other"],
        state=state,
        changed_at=at,
        fence=Fence(newest_batch=flow.claude.newest_batch(), at=at),
    )
    flow.ledger.write(left, over=flow.ledger.find(left.chunk_id))


def stranger(flow: Flow, requests: int = 3) -> str:
    """A batch that another program makes in the same workspace."""
    items = ",".join(
        f'{{"custom_id":"other-{number}","params":{{"model":"claude-haiku-5-5","max_tokens":9,"messages":[]}}}}'
        for number in range(requests)
    )
    body = f'{{"requests":[{items}]}}'.encode()
    return flow.claude.create(Body(pieces=[body], length=len(body), requests=requests), since=datetime.now(UTC))


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
    with pytest.raises(NotYet, match=r"HTTP 429.*No batch was made") as caught:
        flow.submit(chunk)
    assert began < caught.value.again_at - wait < datetime.now(UTC)
    assert (entry(flow, chunk).state, entry(flow, chunk).refusals) == ("planned", 1)
    flow.submit(chunk)
    assert len(flow.emulator.batches_made()) == 1


@pytest.mark.parametrize("minutes", [59, 61])
def test_a_chunk_that_is_refused_for_an_hour_may_never_fit_and_the_message_says_so(
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
    told = "Its 3 requests never fit into a queue that holds fewer"
    assert (told in str(later.value)) == ("set limits.batch_requests" in str(later.value)) == (minutes > 60)
    assert entry(flow, chunk).refused_since == since


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


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 429, "error_code": "enforced_spend_limit_reached"},
        {"status": 400, "message": "You have reached your specified workspace API usage limits."},
    ],
)
def test_a_spend_limit_fails_at_once_and_names_the_remedy(flow: Flow, chunk: str, fault: dict[str, object]) -> None:
    flow.emulator.set_faults([{"kind": "http_error", "on": "create", **fault}])
    with pytest.raises(ApiError, match="Raise it in the Claude console, then clear this task") as caught:
        flow.submit(chunk)
    assert not caught.value.retryable
    assert entry(flow, chunk).state == "planned"


UNCLEAR = [
    {"kind": "reset_after_create"},
    *({"kind": "http_error", "created": True, "status": status} for status in (408, 409, 500, 502, 503, 504, 529)),
]


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("fault", UNCLEAR, ids=str)
def test_a_batch_whose_answer_was_lost_is_found_by_what_it_holds_and_adopted(
    flow: Flow, chunk: str, fault: dict[str, object]
) -> None:
    flow.emulator.set_faults([fault | {"times": 1}])
    with pytest.raises(NotYet, match="Nothing is sent again before the API's list of batches has told"):
        flow.submit(chunk)
    assert entry(flow, chunk).state == "unclear"
    (made,) = flow.emulator.batches_made()
    assert flow.submit(chunk) == made["id"]
    assert len(flow.emulator.creates()) == 1


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    "fault",
    [{"kind": "reset_before_create"}, *({"kind": "http_error", "status": status} for status in (408, 409, 500, 529))],
    ids=str,
)
def test_a_create_that_surely_made_nothing_is_sent_again(flow: Flow, chunk: str, fault: dict[str, object]) -> None:
    flow.emulator.set_faults([fault | {"times": 1}])
    with pytest.raises(NotYet):
        flow.submit(chunk)
    batch_id = flow.submit(chunk)
    assert [batch["id"] for batch in flow.emulator.batches_made()] == [batch_id]
    assert len(flow.emulator.creates()) == 2


@pytest.mark.parametrize(
    ("state", "age", "sent"),
    [
        ("unclear", timedelta(minutes=1, seconds=55), False),
        ("unclear", timedelta(minutes=2, seconds=1), True),
        ("submitting", timedelta(minutes=24), False),
        ("submitting", timedelta(minutes=26), True),
    ],
)
def test_nothing_is_sent_again_before_the_list_has_had_time_to_show_it(
    flow: Flow, chunk: str, state: State, age: timedelta, sent: bool
) -> None:
    write_entry(flow, chunk, state, age=age)
    if sent:
        flow.submit(chunk)
    else:
        with pytest.raises(NotYet, match="Nothing is sent again before"):
            flow.submit(chunk)
    assert len(flow.emulator.creates()) == sent


@pytest.mark.usefixtures("quick")
def test_a_batch_that_is_listed_late_is_adopted_all_the_same(
    flow: Flow, chunk: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submission, "LISTING_LAG", timedelta(minutes=2))
    flow.emulator.set_faults([{"kind": "reset_after_create", "times": 1}, {"kind": "list_lag", "seconds": 60}])
    for _ in range(2):
        with pytest.raises(NotYet):
            flow.submit(chunk)
    flow.emulator.advance_clock(61)
    assert [flow.submit(chunk)] == [batch["id"] for batch in flow.emulator.batches_made()]


@pytest.mark.usefixtures("quick")
def test_a_batch_is_not_adopted_before_its_results_tell_whose_it_is(flow: Flow, chunk: str) -> None:
    flow.emulator.set_faults([{"kind": "reset_after_create", "times": 1}, {"kind": "duration", "seconds": 3600}])
    for expected in ("list of batches", "may be its own .*Waiting until they have ended"):
        with pytest.raises(NotYet, match=expected):
            flow.submit(chunk)
    flow.emulator.advance_clock(3601)
    assert [flow.submit(chunk)] == [batch["id"] for batch in flow.emulator.batches_made()]
    assert len(flow.emulator.creates()) == 1


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("made", [True, False])
def test_another_programs_batches_of_the_same_size_are_neither_adopted_nor_cancelled(
    flow: Flow, chunk: str, made: bool
) -> None:
    strangers = [stranger(flow)]
    flow.emulator.set_faults([{"kind": "reset_after_create" if made else "reset_before_create", "times": 1}])
    with pytest.raises(NotYet):
        flow.submit(chunk)
    strangers += [stranger(flow), stranger(flow)]
    batch_id = flow.submit(chunk)
    assert batch_id not in strangers
    assert flow.load(chunk) == {"succeeded": 3}
    assert flow.requests_sent() == 12
    assert not any("cancel" in call["path"] for call in flow.emulator.log()["calls"])


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "foreign_lines", "times": 1},
        {"kind": "foreign_lines"},
        {"kind": "duplicate_lines"},
        {"kind": "missing_lines"},
        {"kind": "missing_lines", "count": 3, "times": 2},
        {"kind": "cut_results", "at": "line_boundary"},
    ],
    ids=str,
)
def test_a_batch_of_ours_is_recognised_by_odd_results_too(flow: Flow, chunk: str, fault: dict[str, object]) -> None:
    flow.emulator.set_faults([{"kind": "reset_after_create", "times": 1}, fault])
    with pytest.raises(NotYet):
        flow.submit(chunk)
    assert [flow.submit(chunk)] == [batch["id"] for batch in flow.emulator.batches_made()]


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    "faults",
    [
        [{"kind": "missing_lines", "count": 3}],
        [{"kind": "missing_lines"}, {"kind": "foreign_lines"}],
        [{"kind": "cut_results", "after_lines": 0}],
    ],
    ids=["no line", "neither whole nor without strangers", "broken off"],
)
def test_results_that_do_not_tell_whose_they_are_are_never_guessed_at(
    flow: Flow, chunk: str, faults: list[dict[str, object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    flow.emulator.set_faults([{"kind": "reset_after_create", "times": 1}, *faults])
    with pytest.raises(NotYet):
        flow.submit(chunk)
    with pytest.raises(NotYet, match=r"1 may be its own .*Nothing is sent again before that is clear"):
        flow.submit(chunk)
    monkeypatch.setattr(submission, "UNREAD_FOR", timedelta(0))
    with pytest.raises(
        BatchError, match=r"still unreadable two days after they were made.*delete the ledger entry"
    ) as caught:
        flow.submit(chunk)
    assert list(caught.value.batch_ids) == [batch["id"] for batch in flow.emulator.batches_made()]
    assert len(flow.emulator.creates()) == 1


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "not_found", "on": "results", "times": 1},
        {"kind": "http_error", "on": "results", "status": 503, "times": 1},
        {"kind": "cut_results", "after_lines": 0, "times": 1},
    ],
    ids=str,
)
def test_a_strangers_results_that_cannot_be_read_do_not_hide_our_own_batch(
    flow: Flow, chunk: str, fault: dict[str, object]
) -> None:
    """The list begins with the newest batch, the stranger's."""
    flow.emulator.set_faults([{"kind": "reset_after_create", "times": 1}])
    with pytest.raises(NotYet):
        flow.submit(chunk)
    (ours,) = [batch["id"] for batch in flow.emulator.batches_made()]
    stranger(flow)
    flow.emulator.set_faults([fault])
    assert flow.submit(chunk) == ours


@pytest.mark.usefixtures("quick")
def test_a_strangers_batch_is_looked_at_once(flow: Flow, chunk: str) -> None:
    flow.emulator.set_faults([{"kind": "reset_after_create", "times": 1}, {"kind": "duration", "seconds": 3600}])
    with pytest.raises(NotYet):
        flow.submit(chunk)
    flow.emulator.set_faults([])
    strangers = [stranger(flow), stranger(flow)]
    for _ in range(3):
        with pytest.raises(NotYet, match="Waiting until they have ended"):
            flow.submit(chunk)
    assert sorted(entry(flow, chunk).strangers) == sorted(strangers)
    assert sum(call["path"].endswith("/results") for call in flow.emulator.log()["calls"]) == 2
    flow.emulator.advance_clock(3601)
    assert flow.submit(chunk) not in strangers
    assert len(flow.emulator.creates()) == 3


@pytest.mark.usefixtures("quick")
def test_another_programs_running_batch_is_waited_for_before_anything_is_sent_again(flow: Flow, chunk: str) -> None:
    flow.emulator.set_faults([{"kind": "reset_before_create", "times": 1}, {"kind": "duration", "seconds": 600}])
    with pytest.raises(NotYet):
        flow.submit(chunk)
    foreign = stranger(flow)
    with pytest.raises(NotYet, match=foreign):
        flow.submit(chunk)
    flow.emulator.advance_clock(601)
    assert flow.submit(chunk) != foreign


@pytest.mark.usefixtures("quick")
def test_a_batch_that_another_chunk_has_recorded_is_no_candidate(flow: Flow, chunk: str) -> None:
    flow.emulator.set_faults([{"kind": "duration", "seconds": 3600}])
    write_entry(flow, chunk, "submitting")
    flow.folder = flow.run("manual__2")
    flow.pipeline = flow.pipeline.model_copy(update={"user": "Another prompt: {{ body }}"})
    flow.extract()
    (other,) = flow.plan()
    recorded = flow.submit(other)
    flow.folder = flow.run("manual__1")
    assert flow.submit(chunk) != recorded


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


@pytest.fixture
def within_create(flow: Flow, monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Lets something happen within the next create, after the API has made the batch."""
    create = type(flow.claude).create

    def arrange(meanwhile: Callable[[], object]) -> None:
        def slow_create(*arguments: object, **options: object) -> str:
            monkeypatch.setattr(type(flow.claude), "create", create)
            batch_id = create(*arguments, **options)  # type: ignore[arg-type]
            meanwhile()
            return batch_id

        monkeypatch.setattr(type(flow.claude), "create", slow_create)

    return arrange


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
    with pytest.raises(BatchError, match=r"thought dead.*cancelled at once") as caught:
        flow.submit(chunk)
    first, second = caught.value.batch_ids
    assert entry(flow, chunk).batch_id == first
    (cancelled,) = [call["path"] for call in flow.emulator.log()["calls"] if "cancel" in call["path"]]
    assert second in cancelled


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
        with pytest.raises(BatchError, match="was made, but the ledger could not record it") as caught:
            flow.submit(chunk)
    assert caught.value.retryable
    assert (flow.submit(chunk),) == caught.value.batch_ids


def test_a_withdrawn_chunk_is_not_sent(flow: Flow, chunk: str) -> None:
    write_entry(flow, chunk, "withdrawn")
    flow.ledger.write_open(OpenChunks(), over=flow.ledger.find_open())
    with pytest.raises(NotSent, match=r"never sent, and run other took it over at .* nothing is left"):
        flow.submit(chunk)
    assert flow.emulator.creates() == []


def test_an_entry_that_cannot_be_read_stops_the_submit(flow: Flow, chunk: str) -> None:
    flow.lake.write(layout.ledger_entry("tickets", layout.chunk_id_of(chunk)), b"garbage")
    with pytest.raises(LakeError, match="not a ledger entry"):
        flow.submit(chunk)
    assert flow.emulator.creates() == []


def test_of_a_chunk_that_is_damaged_no_batch_is_made_and_it_may_be_planned_anew(flow: Flow, chunk: str) -> None:
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


def test_while_the_api_cannot_be_asked_what_it_has_nothing_is_claimed(flow: Flow, chunk: str) -> None:
    flow.emulator.set_faults([{"kind": "http_error", "on": "list", "status": 529, "times": 1}])
    with pytest.raises(NotYet, match="HTTP 529"):
        flow.submit(chunk)
    assert flow.ledger.find(layout.chunk_id_of(chunk)) is None
    assert flow.emulator.creates() == []


@pytest.fixture
def info(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level("INFO", logger="include.steps.submit"):
        yield caplog


def test_the_log_tells_a_new_payment_from_none(flow: Flow, chunk: str, info: pytest.LogCaptureFixture) -> None:
    flow.submit(chunk)
    flow.submit(chunk)
    said = [record.getMessage().split(" batch ")[0] for record in info.records]
    assert said == ["3 requests submitted as", "Already submitted as"]


@pytest.mark.usefixtures("quick")
def test_the_log_tells_of_an_adoption(flow: Flow, chunk: str, caplog: pytest.LogCaptureFixture) -> None:
    flow.emulator.set_faults([{"kind": "reset_after_create", "times": 1}])
    with pytest.raises(NotYet):
        flow.submit(chunk)
    flow.submit(chunk)
    assert "its results hold this chunk's requests: it was adopted".lower() in caplog.text.lower()


@pytest.mark.usefixtures("quick")
def test_of_two_who_settle_the_same_lost_create_one_sends(
    flow: Flow, chunk: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_entry(flow, chunk, "submitting")
    batches_since = type(flow.claude).batches_since
    first: list[str] = []

    def meanwhile(self: object, *arguments: object, **options: object) -> object:
        listed = batches_since(flow.claude, *arguments, **options)  # type: ignore[arg-type]
        monkeypatch.setattr(type(flow.claude), "batches_since", batches_since)
        first.append(flow.submit(chunk))
        return listed

    monkeypatch.setattr(type(flow.claude), "batches_since", meanwhile)
    assert [flow.submit(chunk)] == first
    assert len(flow.emulator.creates()) == 1


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
