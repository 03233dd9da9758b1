from __future__ import annotations

import sqlite3
from contextlib import closing

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from include.enrichment.errors import BatchError, LakeError, LoadError, ParamError
from include.enrichment.requests.chunk import REQUEST_ID_CHARACTERS, body_bytes
from include.enrichment.runs.options import RunOptions
from include.enrichment.spec.pipeline import Pipeline
from include.enrichment.storage import layout
from include.enrichment.storage.version import VERSION
from include.steps.files.chunk_files import request_ids_of
from tests.fixtures.flow import DAY, Flow, sizes, write_tickets

# Canary


def test_a_canary_sends_a_handful_first_and_the_main_pass_the_rest(twenty: Flow) -> None:
    assert sizes(twenty, "canary") == [5]
    twenty.send("canary")
    assert sizes(twenty) == [15]


def test_a_canary_takes_the_first_requests_in_the_order_of_their_ids(twenty: Flow) -> None:
    """Whichever run plans it, and in whatever order its rows come."""
    (canary,) = twenty.plan("canary")
    twenty.folder = twenty.run("manual__2")
    twenty.extract()
    path = pa.BufferReader(twenty.lake.read(twenty.folder.rows))
    ids = pq.read_table(path, columns=["request_id"])["request_id"].to_pylist()
    assert sorted(request_ids_of(twenty.lake, canary)) == sorted(ids)[:5]


def test_a_canary_pass_that_is_planned_again_does_not_grow(twenty: Flow) -> None:
    chunks = twenty.plan("canary")
    assert twenty.plan("canary") == chunks
    twenty.submit(chunks[0])
    assert twenty.plan("canary") == chunks


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (
            {"kind": "errored", "error_type": "not_found_error", "message": "model: x"},
            "errored, not_found_error: model",
        ),
        ({"kind": "errored", "error_type": "invalid_request_error", "message": "no"}, "errored, invalid_request_error"),
        ({"kind": "invalid_json"}, "invalid, not JSON"),
        ({"kind": "truncated"}, "invalid, cut at max_tokens"),
    ],
)
def test_a_canary_that_fails_for_good_stops_the_run_before_anything_else_is_sent(
    twenty: Flow, fault: dict[str, str], reason: str
) -> None:
    twenty.emulator.set_faults([fault])
    twenty.send("canary")
    with pytest.raises(BatchError, match=f"none of its 5 requests gave a usable answer: {reason}") as caught:
        twenty.plan()
    assert not caught.value.retryable
    assert twenty.requests_sent() == 5


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "errored", "error_type": "overloaded_error"},
        {"kind": "expired"},
        {"kind": "canceled"},
        {"kind": "invalid_json", "share": 0.6},
    ],
    ids=str,
)
def test_a_canary_that_fails_in_part_or_for_a_passing_reason_does_not(twenty: Flow, fault: dict[str, object]) -> None:
    twenty.emulator.set_faults([fault])
    assert "succeeded" not in twenty.send("canary") or fault["kind"] == "invalid_json"
    assert sizes(twenty) == [15]


def test_a_canary_that_was_all_there_was_to_send_stops_nothing(flow: Flow) -> None:
    flow.emulator.set_faults([{"kind": "refusal"}])
    flow.extract()
    flow.send("canary")
    assert flow.plan() == flow.plan("retry") == []


def test_a_canary_whose_batch_another_run_waits_for_stops_nothing(twenty: Flow) -> None:
    """Its chunk was taken over, so this run has neither waited for the batch nor loaded it."""
    (canary,) = twenty.plan("canary")
    twenty.submit(canary)
    (rest,) = twenty.plan("main")
    assert request_ids_of(twenty.lake, rest).isdisjoint(request_ids_of(twenty.lake, canary))
    assert twenty.plan("retry") == [canary, rest]


def test_after_a_canary_that_failed_its_plan_sends_again_what_was_not_billed(twenty: Flow) -> None:
    twenty.emulator.set_faults([{"kind": "errored", "error_type": "not_found_error"}])
    twenty.send("canary")
    with pytest.raises(BatchError):
        twenty.plan()
    twenty.emulator.set_faults([])
    assert twenty.send("canary") == {"succeeded": 5}
    assert sizes(twenty) == [15]


# Retry


@pytest.mark.parametrize(
    ("fault", "asked_again"),
    [
        ({"kind": "expired"}, True),
        ({"kind": "canceled"}, True),
        ({"kind": "errored", "error_type": "overloaded_error"}, True),
        ({"kind": "errored", "error_type": "api_error"}, True),
        ({"kind": "errored", "error_type": "invalid_request_error"}, False),
        ({"kind": "refusal"}, False),
        ({"kind": "invalid_json"}, True),
        ({"kind": "violates_schema"}, True),
        ({"kind": "truncated"}, True),
    ],
    ids=str,
)
def test_a_retry_sends_again_what_may_end_better_and_only_that(
    twenty: Flow, fault: dict[str, object], asked_again: bool
) -> None:
    twenty.emulator.set_faults([fault | {"share": 0.4}])
    counts = twenty.send()
    failed = 20 - counts["succeeded"]
    assert 0 < failed < 20
    assert sum(sizes(twenty, "retry")) == (failed if asked_again else 0)


def test_what_the_canary_left_unanswered_is_the_retrys(twenty: Flow) -> None:
    twenty.emulator.set_faults([{"kind": "expired", "times": 1}])
    assert twenty.send("canary") == {"expired": 5}
    assert twenty.send() == {"succeeded": 15}
    assert twenty.send("retry") == {"succeeded": 5}
    assert twenty.plan("retry_2") == []


def test_an_expired_chunk_is_sent_again_whole_as_another_chunk(twenty: Flow) -> None:
    twenty.emulator.set_faults([{"kind": "expired", "times": 1}])
    (first,) = twenty.plan()
    twenty.load(first)
    (second,) = twenty.plan("retry")
    assert second != first
    assert sorted(request_ids_of(twenty.lake, second)) == sorted(request_ids_of(twenty.lake, first))
    assert twenty.load(second) == {"succeeded": 20}


def test_a_repair_is_made_once_and_never_repaired_itself(twenty: Flow) -> None:
    twenty.emulator.set_faults([{"kind": "violates_schema"}])
    assert twenty.send() == twenty.send("retry_1") == {"invalid": 20}
    assert twenty.plan("retry_2") == []
    twenty.folder = twenty.run("manual__2")
    twenty.extract()
    assert twenty.plan("canary") == twenty.plan() == twenty.plan("retry_1") == []


def test_a_repair_with_more_bytes_than_a_batch_may_have_is_not_sent(twenty: Flow) -> None:
    twenty.pipeline = twenty.pipeline.model_copy(update={"user": f"{'x' * 1_000} {{{{ body }}}}"})
    twenty.extract()
    twenty.emulator.set_faults([{"kind": "invalid_json"}])
    twenty.send("main")
    rows = pq.read_table(pa.BufferReader(twenty.lake.read(twenty.folder.rows)))
    just_enough = body_bytes(["x" * REQUEST_ID_CHARACTERS], max(map(len, rows["params"].to_pylist())))
    limits = twenty.pipeline.settings.limits.model_copy(update={"batch_bytes": just_enough})
    settings = twenty.pipeline.settings.model_copy(update={"limits": limits})
    limited = twenty.pipeline.model_copy(update={"settings": settings})
    twenty.lake.write(twenty.folder.pipeline_json, limited.model_dump_json().encode())
    assert twenty.plan("retry") == []
    twenty.lake.write(twenty.folder.pipeline_json, twenty.pipeline.model_dump_json().encode())
    assert sizes(twenty, "retry") == [20]


def test_a_repair_that_expired_is_sent_again_in_the_next_pass(twenty: Flow) -> None:
    twenty.emulator.set_faults([{"kind": "violates_schema", "times": 1}])
    twenty.send()
    twenty.emulator.set_faults([{"kind": "expired", "times": 1}])
    assert twenty.send("retry_1") == {"expired": 20}
    assert twenty.send("retry_2") == {"succeeded": 20}


def test_a_retry_that_is_planned_again_sends_nothing_more(twenty: Flow) -> None:
    twenty.emulator.set_faults([{"kind": "violates_schema", "share": 0.5, "times": 1}])
    twenty.send()
    chunks = twenty.plan("retry")
    assert twenty.plan("retry") == chunks
    twenty.load(chunks[0])
    assert twenty.plan("retry") == []


# Only the rejects


def with_limits(pipeline: Pipeline, **limits: object) -> Pipeline:
    changed = pipeline.settings.limits.model_copy(update=limits)
    return pipeline.model_copy(update={"settings": pipeline.settings.model_copy(update={"limits": changed})})


def publish_with_rejects(flow: Flow, fault: dict[str, object]) -> int:
    """A first run without a retry pass, of which some rows are rejected; returns how many."""
    flow.pipeline = with_limits(flow.pipeline, max_reject_ratio=1.0)
    flow.emulator.set_faults([fault])
    rejected = flow.run_all("main").rejected
    flow.emulator.set_faults([])
    assert 0 < rejected < 20
    return rejected


def next_run(flow: Flow, name: str, *, only_rejects: bool) -> None:
    flow.folder = flow.run(name)
    flow.pipeline = flow.pipeline.for_run(RunOptions(only_rejects=only_rejects))
    flow.extract()


def repair_once_more(flow: Flow, name: str, fault: dict[str, object] | None = None) -> dict[str, int]:
    """A run for the rejects alone; returns how many requests had which outcome."""
    flow.emulator.set_faults([fault] if fault else [])
    next_run(flow, name, only_rejects=True)
    assert flow.send("canary") == flow.send() == {}
    return flow.send("retry")


@pytest.mark.parametrize("fault", [{"kind": "expired"}, {"kind": "errored", "error_type": "permission_error"}], ids=str)
def test_rejects_that_were_not_billed_are_sent_again_as_they_are(twenty: Flow, fault: dict[str, object]) -> None:
    rejected = publish_with_rejects(twenty, fault | {"share": 0.3})
    next_run(twenty, "manual__2", only_rejects=True)
    assert twenty.send() == {"succeeded": rejected}
    assert twenty.publish().rejected == 0


def test_rejects_whose_repair_did_not_fit_get_a_further_one_and_no_other_row_is_sent(twenty: Flow) -> None:
    rejected = publish_with_rejects(twenty, {"kind": "violates_schema", "share": 0.3, "match": "Ticket"})
    assert repair_once_more(twenty, "manual__2", {"kind": "violates_schema"}) == {"invalid": rejected}
    assert repair_once_more(twenty, "manual__3", {"kind": "violates_schema"}) == {"invalid": rejected}
    assert repair_once_more(twenty, "manual__4") == {"succeeded": rejected}
    assert twenty.publish().rejected == 0
    assert twenty.emulator.billed_twice() == []


def test_a_later_plain_run_finds_the_answer_of_a_further_repair_and_pays_nothing(twenty: Flow) -> None:
    rejected = publish_with_rejects(twenty, {"kind": "violates_schema", "share": 0.3})
    for name in ("manual__2", "manual__3"):
        repair_once_more(twenty, name, {"kind": "violates_schema"})
        twenty.publish()
    assert repair_once_more(twenty, "manual__4") == {"succeeded": rejected}
    better = twenty.publish()
    table, sent = twenty.published(), twenty.requests_sent()
    next_run(twenty, "manual__5", only_rejects=False)
    assert twenty.plan("canary") == twenty.plan() == twenty.plan("retry") == []
    again = twenty.publish()
    assert (again.published, again.rejected, again.sha256) == (20, 0, better.sha256)
    assert twenty.published() == table
    assert twenty.requests_sent() == sent


def test_a_plain_run_makes_no_further_repair(twenty: Flow) -> None:
    publish_with_rejects(twenty, {"kind": "violates_schema", "share": 0.3})
    repair_once_more(twenty, "manual__2", {"kind": "violates_schema"})
    twenty.publish()
    next_run(twenty, "manual__3", only_rejects=False)
    assert twenty.plan("canary") == twenty.plan() == twenty.plan("retry") == []


def test_a_further_repair_that_was_not_billed_waits_for_the_next_run_for_the_rejects(twenty: Flow) -> None:
    rejected = publish_with_rejects(twenty, {"kind": "violates_schema", "share": 0.3})
    repair_once_more(twenty, "manual__2", {"kind": "violates_schema"})
    assert repair_once_more(twenty, "manual__3", {"kind": "expired"}) == {"expired": rejected}
    assert twenty.publish().rejected_by == {"invalid": rejected}
    next_run(twenty, "manual__4", only_rejects=False)
    assert twenty.plan("retry") == []
    assert repair_once_more(twenty, "manual__5") == {"succeeded": rejected}


def test_of_an_answer_that_cannot_be_repaired_there_is_nothing_to_send(twenty: Flow) -> None:
    rejected = publish_with_rejects(twenty, {"kind": "refusal", "share": 0.3})
    assert repair_once_more(twenty, "manual__2") == {}
    assert twenty.publish().rejected == rejected


def test_where_another_row_has_no_answer_the_run_is_rejected_with_their_number(twenty: Flow) -> None:
    publish_with_rejects(twenty, {"kind": "violates_schema", "share": 0.3})
    table, sent = twenty.published(), twenty.requests_sent()
    write_tickets(twenty.database, [("late", "Late"), ("later", "Later")])
    next_run(twenty, "manual__2", only_rejects=True)
    for name in ("canary", "main", "retry"):
        with pytest.raises(
            ParamError, match=r"(?s)2 of the partition's 22 requests have no answer .*Start a run without"
        ):
            twenty.plan(name)
    assert (twenty.published(), twenty.requests_sent()) == (table, sent)
    next_run(twenty, "manual__3", only_rejects=False)
    assert twenty.send("canary") == {"succeeded": 2}


def test_a_rejected_row_that_has_changed_since_is_still_known_by_its_key(twenty: Flow) -> None:
    publish_with_rejects(twenty, {"kind": "refusal", "match": "Ticket 5"})
    with closing(sqlite3.connect(twenty.database)) as connection, connection:
        connection.execute("update tickets set body = 'Mended' where ticket = 'N5'")
    next_run(twenty, "manual__2", only_rejects=True)
    assert twenty.send("canary") == {"succeeded": 1}


def test_a_day_without_rejects_sends_nothing(twenty: Flow) -> None:
    twenty.run_all()
    assert repair_once_more(twenty, "manual__2") == {}
    assert twenty.publish().published == 20


def test_a_day_that_was_never_published_has_no_rejects_to_ask_for(twenty: Flow) -> None:
    next_run(twenty, "manual__2", only_rejects=True)
    with pytest.raises(
        ParamError, match=r"partition 2026-11-01 has none\. It was never published.*clean-lake.*without `only_rejects`"
    ):
        twenty.plan("canary")


def red_day(flow: Flow, fault: dict[str, object]) -> int:
    """A first run, with a retry pass, that fails to publish; returns how many rows were rejected."""
    flow.emulator.set_faults([fault])
    with pytest.raises(LoadError, match="only_rejects") as caught:
        flow.run_all("main", "retry")
    flow.emulator.set_faults([])
    rejected = len(pq.read_table(pa.BufferReader(flow.lake.read(flow.folder.rejects))))
    assert f"it sends only {rejected} requests" in str(caught.value)
    return rejected


def test_after_a_failed_publish_only_the_rejects_are_sent_again(twenty: Flow) -> None:
    rejected = red_day(twenty, {"kind": "violates_schema", "match": "Ticket 1"})
    sent = twenty.requests_sent()
    assert repair_once_more(twenty, "manual__2") == {"succeeded": rejected}
    assert twenty.requests_sent() == sent + rejected
    assert twenty.publish().published == 20
    assert twenty.emulator.billed_twice() == []


def test_it_is_sent_again_for_what_was_not_billed(twenty: Flow) -> None:
    rejected = red_day(twenty, {"kind": "errored", "error_type": "permission_error", "share": 0.3})
    sent = twenty.requests_sent()
    next_run(twenty, "manual__2", only_rejects=True)
    assert twenty.send() == {"succeeded": rejected}
    assert twenty.requests_sent() == sent + rejected
    assert twenty.publish().published == 20


def test_the_rejects_of_a_newer_run_count_whether_it_was_published_or_not(twenty: Flow) -> None:
    rejected = red_day(twenty, {"kind": "violates_schema", "match": "Ticket 1"})
    assert repair_once_more(twenty, "manual__2", {"kind": "violates_schema", "match": "Ticket 10"}) == {
        "succeeded": rejected - 1,
        "invalid": 1,
    }
    with pytest.raises(LoadError, match="1 of 20 rows"):
        twenty.publish()
    assert repair_once_more(twenty, "manual__3") == {"succeeded": 1}
    assert twenty.publish().published == 20
    assert repair_once_more(twenty, "manual__4") == {}


def test_rejects_of_another_business_key_are_none(twenty: Flow) -> None:
    publish_with_rejects(twenty, {"kind": "refusal", "share": 0.3})
    settings = twenty.pipeline.settings
    source = settings.source.model_copy(update={"key": {"ticket": None, "body": None}})
    twenty.pipeline = twenty.pipeline.model_copy(update={"settings": settings.model_copy(update={"source": source})})
    next_run(twenty, "manual__2", only_rejects=True)
    with pytest.raises(ParamError, match="has none with the key ticket, body:"):
        twenty.plan("canary")


@pytest.mark.parametrize("version", [None, VERSION + 1], ids=["keys of another type", "a newer version"])
def test_rejects_that_cannot_be_understood_send_nothing(twenty: Flow, version: int | None) -> None:
    schema = pa.schema([("ticket", pa.list_(pa.int64()))], metadata={"version": str(version or VERSION)})
    with pa.BufferOutputStream() as sink:
        pq.write_table(pa.Table.from_pylist([{"ticket": [1]}], schema), sink)
        twenty.lake.write(layout.rejects("tickets", DAY), sink.getvalue().to_pybytes())
    next_run(twenty, "manual__2", only_rejects=True)
    with pytest.raises(LakeError if version else ParamError, match=r"rejects/tickets/dt=2026-11-01"):
        twenty.plan("canary")
