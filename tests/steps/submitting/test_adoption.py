from __future__ import annotations

from datetime import timedelta

import pytest

from include.enrichment.batches import submission
from include.enrichment.batches.ledger import State
from include.enrichment.errors import BatchError, NotYet
from tests.fixtures.flow import Flow
from tests.fixtures.submitting import entry, stranger, write_entry

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
    with pytest.raises(NotYet, match="Nothing is sent again until the API's list of batches shows"):
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
def test_a_create_that_certainly_made_nothing_is_sent_again(flow: Flow, chunk: str, fault: dict[str, object]) -> None:
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
def test_another_programs_batches_of_the_same_size_are_neither_adopted_nor_canceled(
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
    with pytest.raises(NotYet, match=r"1 of the batches .* may be its own .*Nothing is sent again until that is clear"):
        flow.submit(chunk)
    monkeypatch.setattr(submission, "UNREAD_FOR", timedelta(0))
    with pytest.raises(
        BatchError, match=r"still unreadable two days after they were created.*delete the ledger entry"
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


@pytest.mark.usefixtures("quick")
def test_the_log_reports_an_adoption(flow: Flow, chunk: str, caplog: pytest.LogCaptureFixture) -> None:
    flow.emulator.set_faults([{"kind": "reset_after_create", "times": 1}])
    with pytest.raises(NotYet):
        flow.submit(chunk)
    flow.submit(chunk)
    assert "Its results hold this chunk's requests, so it was adopted" in caplog.text


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
