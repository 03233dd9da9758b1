from __future__ import annotations

import re
import signal
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime
from multiprocessing import get_context
from pathlib import Path

import anthropic
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from include.enrichment.batches.poll import BatchStatus
from include.enrichment.batches.usage import USAGE_SCHEMA
from include.enrichment.errors import LakeError, LoadError
from include.enrichment.requests.chunk import Body
from include.enrichment.runs.partition import Partition
from include.enrichment.storage import layout
from include.enrichment.storage.layout import RunFolder
from include.gateways.claude import Claude
from include.gateways.lake import Lake
from include.steps.load import load
from tests.fixtures.flow import DAY, ROWS, Flow, booked, write_tickets
from tests.fixtures.lake import delete
from tests.fixtures.loading import (
    UNREADABLE,
    Odd,
    Submitted,
    bill,
    load_odd,
    outcomes,
    submit_all,
    visible,
)


def run_load(flow: Flow, submitted: Submitted) -> dict[str, int]:
    return flow.load(*submitted)


def downloads(flow: Flow) -> int:
    return sum(call["path"].endswith("/results") for call in flow.emulator.log()["calls"])


def test_a_batch_is_loaded_once_with_its_raw_results(flow: Flow, submitted: Submitted) -> None:
    chunk, batch_id = submitted
    assert run_load(flow, submitted) == {"succeeded": 20}
    assert run_load(flow, submitted) == {"succeeded": 20}
    assert downloads(flow) == 1
    raw = pa.CompressedInputStream(pa.BufferReader(flow.lake.read(layout.raw("tickets", batch_id))), "zstd").read()
    assert raw.count(b'"custom_id"') == 20
    recorded = flow.ledger.find(layout.chunk_id_of(chunk))
    assert recorded is not None
    assert recorded.value.state == "landed"


def test_a_load_imports_nothing_that_takes_longer_than_it(flow: Flow, submitted: Submitted) -> None:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        args = (*submitted, flow.database.with_name("lake"), flow.emulator.url, flow.emulator.api_key)
        assert process.submit(_imported_by_a_load, *args).result() == []


def _imported_by_a_load(chunk: str, batch_id: str, lake: Path, url: str, api_key: str) -> list[str]:
    """The heavy modules that a process has after its load: read_table() and group_by() of Arrow would bring one."""
    with Claude(anthropic.Anthropic(api_key=api_key, base_url=url, max_retries=0), name="anthropic_default") as claude:
        assert load(chunk, batch_id, lake=Lake.in_folder(lake), claude=claude) == {"succeeded": 20}
    return [name for name in ("pyarrow.dataset", "pyarrow.acero") if name in sys.modules]


def test_where_only_the_raw_copy_is_left_the_outcomes_are_made_of_it_without_the_api(
    flow: Flow, submitted: Submitted
) -> None:
    _, batch_id = submitted
    run_load(flow, submitted)
    before = outcomes(flow, batch_id)
    delete(flow.lake, layout.results("tickets", batch_id))
    flow.emulator.advance_clock(30 * 86_400)
    assert run_load(flow, submitted) == {"succeeded": 20}
    assert outcomes(flow, batch_id).equals(before)
    assert downloads(flow) == 1


def test_results_that_the_api_no_longer_keeps_are_reported_with_the_way_to_send_again(
    flow: Flow, submitted: Submitted
) -> None:
    chunk, batch_id = submitted
    flow.emulator.advance_clock(30 * 86_400)
    with pytest.raises(LoadError, match=r"29 days.*delete .*\.json and clear the pass's `plan`"):
        run_load(flow, submitted)
    delete(flow.lake, layout.ledger_entry("tickets", layout.chunk_id_of(chunk)))
    assert flow.submit(chunk) != batch_id
    assert flow.load(chunk) == {"succeeded": 20}


@pytest.mark.parametrize("times", [1, 2])
def test_lines_that_a_later_download_holds_are_not_missing(flow: Flow, submitted: Submitted, times: int) -> None:
    flow.emulator.set_faults([{"kind": "missing_lines", "count": 2, "times": times}])
    assert run_load(flow, submitted) == {"succeeded": 20}


def test_a_few_lines_that_no_download_holds_are_missing_at_the_last_try_and_sent_again(
    flow: Flow, submitted: Submitted
) -> None:
    flow.emulator.set_faults([{"kind": "missing_lines", "count": 2, "times": 6}])
    with pytest.raises(LoadError, match="18 of 20 result lines were received"):
        run_load(flow, submitted)
    assert visible(flow) == []
    assert flow.load(*submitted, accept_missing=True) == {"succeeded": 18, "missing": 2}
    assert flow.send("retry") == {"succeeded": 2}
    assert flow.publish().published == 20


@pytest.mark.parametrize("at", ["mid_line", "line_boundary"])
def test_a_download_that_was_cut_is_begun_again(flow: Flow, submitted: Submitted, at: str) -> None:
    flow.emulator.set_faults([{"kind": "cut_results", "at": at, "times": 2}])
    assert run_load(flow, submitted) == {"succeeded": 20}
    assert downloads(flow) == 3


@pytest.mark.parametrize(
    ("fault", "fact"),
    [
        ({"kind": "cut_results"}, "broke off|were received|cannot be read"),
        ({"kind": "missing_lines", "count": 11}, "9 of 20 result lines were received"),
        ({"kind": "duplicate_lines"}, "occurs twice"),
        ({"kind": "foreign_lines"}, "was not sent with this batch"),
    ],
)
def test_results_that_do_not_reconcile_leave_nothing_behind(
    flow: Flow, submitted: Submitted, fault: dict[str, object], fact: str
) -> None:
    flow.emulator.set_faults([fault])
    with pytest.raises(LoadError, match=fact) as caught:
        flow.load(*submitted, accept_missing=True)
    assert caught.value.retryable
    assert downloads(flow) == 3
    assert visible(flow) == []


def test_a_batch_that_is_still_running_is_not_loaded(flow: Flow) -> None:
    flow.emulator.set_faults([{"kind": "stuck"}])
    submitted = submit_all(flow)
    with pytest.raises(LoadError, match=r"3 requests are in processing.*clear `wait`"):
        run_load(flow, submitted)
    assert visible(flow) == []


def test_a_batch_of_another_size_is_not_this_chunks(flow: Flow, submitted: Submitted) -> None:
    chunk, _ = submitted
    body = b'{"requests":[{"custom_id":"a","params":{}}]}'
    other = flow.claude.create(Body(pieces=[body], length=len(body), requests=1), since=datetime.now(UTC))
    with pytest.raises(LoadError, match=r"holds 1 requests, but chunk .* holds 20"):
        run_load(flow, (chunk, other))


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        ({"kind": "errored", "error_type": "overloaded_error"}, "errored"),
        ({"kind": "expired"}, "expired"),
        ({"kind": "canceled"}, "canceled"),
        ({"kind": "invalid_json"}, "invalid"),
        ({"kind": "violates_schema"}, "invalid"),
        ({"kind": "truncated"}, "invalid"),
        ({"kind": "refusal"}, "invalid"),
        ({"kind": "wrong_case_enum"}, "succeeded"),
    ],
)
def test_every_request_ends_in_exactly_one_outcome(flow: Flow, fault: dict[str, object], outcome: str) -> None:
    flow.emulator.set_faults([fault | {"share": 1.0}])
    assert run_load(flow, submit_all(flow)) == {outcome: 3}


def test_a_404_on_the_results_may_pass_and_says_what_to_do_if_it_does_not(flow: Flow, submitted: Submitted) -> None:
    flow.emulator.set_faults([{"kind": "not_found", "on": "results", "times": 1}])
    with pytest.raises(
        LoadError, match=r"(?s)may be temporary: clear this task.*delete .*ledger/tickets/.*\.json"
    ) as caught:
        run_load(flow, submitted)
    assert caught.value.retryable
    assert run_load(flow, submitted) == {"succeeded": 20}


def test_a_404_on_a_batch_that_the_list_has_is_no_obstacle(flow: Flow, submitted: Submitted) -> None:
    flow.emulator.set_faults([{"kind": "not_found", "on": "retrieve"}])
    assert run_load(flow, submitted) == {"succeeded": 20}


def test_of_a_canceled_batch_what_had_finished_is_loaded_and_the_rest_sent_again(flow: Flow) -> None:
    write_tickets(flow.database, [(f"N{number}", f"Ticket {number}") for number in range(17)])
    flow.emulator.set_faults(
        [{"kind": "duration", "seconds": 600, "times": 1}, {"kind": "unfinished", "share": 0.4, "times": 1}]
    )
    submitted = submit_all(flow)
    flow.claude.cancel(submitted[1])
    flow.emulator.advance_clock(600)
    counts = run_load(flow, submitted)
    assert counts["succeeded"] + counts["canceled"] == 20
    assert counts["canceled"] > 0
    assert flow.send("retry") == {"succeeded": counts["canceled"]}
    assert flow.publish().published == 20


def test_a_batch_that_is_not_the_chunks_is_found_even_if_it_was_loaded(flow: Flow, submitted: Submitted) -> None:
    _, batch_id = submitted
    run_load(flow, submitted)
    write_tickets(flow.database, [("more", "more")])
    flow.extract()
    (other,) = flow.plan()
    with pytest.raises(LoadError, match=f"batch {batch_id} is not its batch"):
        flow.load(other, batch_id)


def test_two_runs_may_load_the_same_batch(flow: Flow, submitted: Submitted) -> None:
    flow.folder = flow.run("manual__2")
    flow.extract()
    (same,) = flow.plan()
    assert flow.load(same) == run_load(flow, submitted) == {"succeeded": 20}
    assert len(visible(flow)) == 2


def test_a_download_that_was_not_complete_is_reported_once_the_next_one_is(
    flow: Flow, submitted: Submitted, caplog: pytest.LogCaptureFixture
) -> None:
    flow.emulator.set_faults([{"kind": "missing_lines", "count": 2, "times": 2}])
    with caplog.at_level("INFO", logger="include.steps.load"):
        run_load(flow, submitted)
    said, _ = caplog.records
    assert said.levelname == "INFO"
    assert re.search(r"download 3 is complete\. The one before was not: .*18 of 20 result lines", said.message)


def test_a_batch_that_was_loaded_before_is_reported_with_the_same_counts(
    flow: Flow, submitted: Submitted, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", logger="include.steps.load"):
        run_load(flow, submitted)
        run_load(flow, submitted)
    loaded, before, again = (record.getMessage() for record in caplog.records)
    assert loaded == again == f"Batch {submitted[1]}: 20 requests: 20 succeeded."
    assert before == f"Batch {submitted[1]} was loaded before"


def test_of_a_batch_with_unusable_answers_the_first_are_shown(flow: Flow, caplog: pytest.LogCaptureFixture) -> None:
    flow.emulator.set_faults([{"kind": "refusal", "match": "crashes"}])
    run_load(flow, submit_all(flow))
    (record,) = caplog.records
    lines = record.getMessage().splitlines()
    assert record.levelname == "WARNING"
    assert lines[0].endswith(": 3 requests: 1 invalid, 2 succeeded.")
    assert re.fullmatch(r"  request [A-Za-z0-9_-]{22}: invalid, refused: general_harms: simulated refusal", lines[2])


def test_a_batch_that_another_run_takes_hold_of_while_it_is_loaded_lands_all_the_same(
    flow: Flow, submitted: Submitted, monkeypatch: pytest.MonkeyPatch
) -> None:
    retrieve = Claude.retrieve
    flow.emulator.set_faults([])

    def meanwhile(self: Claude, batch_id: str) -> BatchStatus:
        monkeypatch.setattr(Claude, "retrieve", retrieve)
        flow.folder = flow.run("manual__2")
        flow.submit(submitted[0])
        return retrieve(self, batch_id)

    monkeypatch.setattr(Claude, "retrieve", meanwhile)
    run_load(flow, submitted)
    recorded = flow.ledger.find(layout.chunk_id_of(submitted[0]))
    assert recorded is not None
    assert (recorded.value.state, recorded.value.run_ids) == ("landed", ["manual__1", "manual__2"])


def test_a_raw_copy_that_is_damaged_is_reported_with_the_way_to_the_apis_own(flow: Flow, submitted: Submitted) -> None:
    run_load(flow, submitted)
    delete(flow.lake, layout.results("tickets", submitted[1]))
    raw = layout.raw("tickets", submitted[1])
    flow.lake.write(raw, flow.lake.read(raw)[:-20])
    with pytest.raises(LakeError, match=r"Delete it and clear this task"):
        run_load(flow, submitted)
    delete(flow.lake, raw)
    assert run_load(flow, submitted) == {"succeeded": 20}


def test_an_empty_raw_copy_is_not_counted_as_missing_answers(flow: Flow) -> None:
    submitted = submit_all(flow)
    run_load(flow, submitted)
    delete(flow.lake, layout.results("tickets", submitted[1]))
    flow.lake.write(layout.raw("tickets", submitted[1]), b"")
    with pytest.raises((LoadError, LakeError)):
        run_load(flow, submitted)
    assert flow.lake.list("results/") == []


class TaskTimeout(BaseException):
    """What Airflow raises within a task whose time is over."""


def test_a_load_whose_download_stalls_can_be_left_at_once(flow: Flow, submitted: Submitted) -> None:
    flow.emulator.set_faults([{"kind": "stall_results", "seconds": 3600}])

    def ring(*_: object) -> None:
        raise TaskTimeout

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(1)
    began = time.monotonic()
    try:
        with pytest.raises(TaskTimeout):
            run_load(flow, submitted)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    assert time.monotonic() - began < 1800  # on a loaded machine, and still long before the stall ends
    assert visible(flow) == []


class TestUsageRecords:
    """A batch has one usage record, whatever became of it."""

    def test_a_batch_is_booked_to_the_partition_of_the_run_that_sent_it(self, flow: Flow) -> None:
        """Two days have the same requests and plan the same chunk: the budget of the sender must count its cost."""
        write_tickets(flow.database, ROWS, day="2026-11-02")
        flow.extract()
        (chunk,) = flow.plan()
        later = RunFolder(pipeline="tickets", partition=Partition(start=date(2026, 11, 2)), run_id="manual__2")
        other = replace(flow, folder=later)
        other.extract()
        assert other.plan() == [chunk]
        flow.load(chunk)
        (line,) = booked(flow)
        assert (line["partition"], line["run_id"]) == (str(DAY), flow.folder.run_id)

    def test_a_loaded_batch_is_booked_with_its_run_pass_and_partition(self, flow: Flow) -> None:
        flow.extract()
        flow.send()
        (line,) = booked(flow)
        assert (line["partition"], line["pass_name"], line["run_id"]) == (str(DAY), "main", flow.folder.run_id)
        assert (line["requests"], line["succeeded"]) == (3, 3)
        assert 0 < line["cost_usd"] < line["synchronous_usd"]

    def test_a_batch_that_is_loaded_again_is_booked_once(self, flow: Flow) -> None:
        flow.extract()
        (chunk,) = flow.plan()
        batch_id = flow.submit(chunk)
        flow.load(chunk, batch_id)
        before = booked(flow)
        flow.load(chunk, batch_id)
        delete(flow.lake, layout.results("tickets", batch_id))
        flow.load(chunk, batch_id)  # from the raw copy
        assert booked(flow) == before

    def test_a_batch_whose_load_died_before_it_was_booked_is_booked_by_the_next(self, flow: Flow) -> None:
        flow.extract()
        (chunk,) = flow.plan()
        batch_id = flow.submit(chunk)
        flow.load(chunk, batch_id)
        (before,) = booked(flow)
        delete(flow.lake, layout.usage("tickets", batch_id, before["created_at"].date()))
        flow.load(chunk, batch_id)
        assert booked(flow) == [before]

    def test_a_missing_line_that_comes_later_is_booked_then(self, flow: Flow, submitted: Submitted) -> None:
        flow.emulator.set_faults([{"kind": "missing_lines", "count": 2, "times": 3}])
        flow.load(*submitted, accept_missing=True)
        (before,) = booked(flow)
        for key in visible(flow):
            delete(flow.lake, key)
        run_load(flow, submitted)
        (after,) = booked(flow)
        assert (before["missing"], after["missing"], after["succeeded"]) == (2, 0, 20)
        assert before["cost_usd"] < after["cost_usd"] == bill(flow)

    def test_a_line_that_is_missing_later_takes_nothing_out_of_the_books(
        self, flow: Flow, submitted: Submitted
    ) -> None:
        run_load(flow, submitted)
        before = booked(flow)
        for key in visible(flow):
            delete(flow.lake, key)
        flow.emulator.set_faults([{"kind": "missing_lines", "count": 2, "times": 3}])
        assert flow.load(*submitted, accept_missing=True)["missing"] == 2
        assert booked(flow) == before

    @pytest.mark.parametrize("odd", [UNREADABLE["half a surrogate pair"], UNREADABLE["cut in its text"]])
    def test_a_garbled_line_that_comes_whole_later_is_booked_as_it_is_then(self, flow: Flow, odd: Odd) -> None:
        submitted = submit_all(flow)
        load_odd(flow, submitted, odd, accept_missing=True)
        for key in visible(flow):
            delete(flow.lake, key)
        assert run_load(flow, submitted) == {"succeeded": 3}
        (line,) = booked(flow)
        assert (line["succeeded"], line["upper_bounds"], line["cost_usd"]) == (3, 0, bill(flow))

    def test_a_batch_whose_cost_an_earlier_version_could_not_tell_is_booked_again_from_its_raw_copy(
        self, flow: Flow
    ) -> None:
        submitted = submit_all(flow)
        load_odd(flow, submitted, UNREADABLE["half a surrogate pair"], accept_missing=True)
        (line,) = booked(flow)
        key = layout.usage("tickets", submitted[1], line["created_at"].date())
        earlier = pa.Table.from_pylist([line | {"cost_usd": None}], USAGE_SCHEMA).drop_columns("upper_bounds")
        pq.write_table(earlier, sink := pa.BufferOutputStream())
        flow.lake.write(key, sink.getvalue().to_pybytes())
        delete(flow.lake, layout.results("tickets", submitted[1]))  # as the budget's message says
        run_load(flow, submitted)
        assert booked(flow) == [line]

    def test_restored_from_its_raw_copy_a_batch_keeps_its_day(self, flow: Flow) -> None:
        flow.extract()
        (chunk,) = flow.plan()
        batch_id = flow.submit(chunk)
        flow.load(chunk, batch_id)
        (before,) = booked(flow)
        delete(flow.lake, layout.results("tickets", batch_id))
        delete(flow.lake, layout.usage("tickets", batch_id, before["created_at"].date()))
        flow.load(chunk, batch_id)
        assert booked(flow) == [before]
