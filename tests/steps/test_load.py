from __future__ import annotations

import json
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal, cast

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
from include.gateways.claude import Claude, Download
from include.gateways.lake import Lake
from include.steps.load import load
from tests.fixtures.flow import DAY, ROWS, Flow, booked, write_tickets
from tests.fixtures.lake import delete

Submitted = tuple[str, str]


@pytest.fixture
def submitted(flow: Flow) -> Submitted:
    """The chunk's key and its batch: twenty tickets."""
    write_tickets(flow.database, [(f"N{number}", f"Ticket {number}") for number in range(17)])
    return submit_all(flow)


def submit_all(flow: Flow) -> Submitted:
    flow.extract()
    (chunk,) = flow.plan()
    return chunk, flow.submit(chunk)


def run_load(flow: Flow, submitted: Submitted) -> dict[str, int]:
    return flow.load(*submitted)


def visible(flow: Flow) -> list[str]:
    return flow.lake.list("raw/") + flow.lake.list("results/")


def downloads(flow: Flow) -> int:
    return sum(call["path"].endswith("/results") for call in flow.emulator.log()["calls"])


def outcomes(flow: Flow, batch_id: str) -> pa.Table:
    return pq.read_table(pa.BufferReader(flow.lake.read(layout.results("tickets", batch_id))))


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


def test_results_that_the_api_no_longer_keeps_are_told_with_the_way_to_ask_again(
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


def test_a_few_lines_that_no_download_holds_are_missing_at_the_last_try_and_asked_again(
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
        ({"kind": "duplicate_lines"}, "stands twice"),
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
    with pytest.raises(LoadError, match=r"holds 1 requests, chunk .* 20"):
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
    with pytest.raises(LoadError, match=r"A 404 may pass: clear this task.*delete .*ledger/tickets/.*\.json") as caught:
        run_load(flow, submitted)
    assert caught.value.retryable
    assert run_load(flow, submitted) == {"succeeded": 20}


def test_a_404_on_a_batch_that_the_list_has_is_no_obstacle(flow: Flow, submitted: Submitted) -> None:
    flow.emulator.set_faults([{"kind": "not_found", "on": "retrieve"}])
    assert run_load(flow, submitted) == {"succeeded": 20}


def test_of_a_cancelled_batch_what_had_finished_is_loaded_and_the_rest_asked_again(flow: Flow) -> None:
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


class Altered(Download):
    """A download of which not all is as the API sent it."""

    def __init__(self, content: bytes) -> None:
        self._pieces = iter([content])

    def hang_up(self) -> None:
        pass


@dataclass(frozen=True)
class Odd:
    """
    Makes a result line odd.

    :param alter: of the line's message, in place; or of its bytes
    :param cost: what the books have then: exact, or an upper bound
    """

    alter: Callable[[dict[str, Any]], object] | Callable[[bytes], bytes]
    cost: Literal["exact", "bound"] = "exact"
    of_bytes: bool = False

    def __call__(self, line: bytes) -> bytes:
        if self.of_bytes:
            return cast(Callable[[bytes], bytes], self.alter)(line)
        whole = json.loads(line)
        self.alter(whole["result"]["message"])
        return json.dumps(whole).encode() + b"\n"


def says(text: object) -> Odd:
    """The answer is this text, or has these blocks."""
    blocks = [{"type": "text", "text": text}] if isinstance(text, str) else text
    return Odd(lambda message: message.update(content=blocks))


def used(**counts: object) -> Odd:
    """The usage has these counts; Ellipsis for one that is not there."""

    def alter(message: dict[str, Any]) -> None:
        usage = message["usage"] | counts
        message["usage"] = {name: count for name, count in usage.items() if count is not ...}

    return Odd(alter, "bound")


def replaced(old: bytes, new: bytes, *, cost: Literal["exact", "bound"] = "exact") -> Odd:
    """The line has other bytes."""
    return Odd(lambda line: line.replace(old, new, 1), cost, of_bytes=True)


#: These lines nobody can read as they are.
UNREADABLE = {
    "half a surrogate pair": says("\ud83d"),
    "half a pair in a tool's input": says([{"type": "tool_use", "id": "t", "name": "n", "input": {"a": ["\udc00"]}}]),
    "half a pair in a key": says([{"type": "tool_use", "id": "t", "name": "n", "input": {"\ud83d": 1}}]),
    "half a pair in the type": replaced(b'"type":"succeeded"', b'"type":"\\ud83d"'),
    "half a pair, and very deep": replaced(
        b'"content":', b'"a":"\\ud83d","b":' + b"[" * 9_999 + b"]" * 9_999 + b',"content":'
    ),
    "half a pair, and NaN": replaced(b'"content":', b'"a":"\\ud83d","b":[NaN,1e999],"content":'),
    "half a pair in the model": replaced(b'"model":"claude', b'"model":"\\ud83dclaude'),
    "no UTF-8": replaced(b'"type":"text","text":"', b'"type":"text","text":"\xff\xfe'),
    "a line feed in the text": replaced(b'"type":"text","text":"', b'"type":"text","text":"\x0b'),
    "a block that is none": says(["b"]),
    "a text in the place of blocks": Odd(lambda message: message.update(content="b")),
    "a stop reason that is none": Odd(lambda message: message.update(stop_reason=7)),
    "a model that is none": Odd(lambda message: message.update(model=7)),
    "cut in its usage": Odd(lambda line: line[: line.index(b'"usage"') + 20] + b"\n", "bound", of_bytes=True),
    "cut in its text": Odd(lambda line: line[: line.index(b'"text":') + 9] + b"\n", "bound", of_bytes=True),
    "cut after its id": Odd(lambda line: line[: line.index(b'"result"')] + b"\n", "bound", of_bytes=True),
}
#: The answer of these is as good as any.
ANSWERED = {
    "no usage": Odd(lambda message: message.pop("usage"), "bound"),
    "usage null": Odd(lambda message: message.update(usage=None), "bound"),
    "usage of text": Odd(lambda message: message.update(usage="much"), "bound"),
    "input missing": used(input_tokens=...),
    "output null": used(output_tokens=None),
    "output below zero": used(output_tokens=-5),
    "output of half a token": used(output_tokens=1.5),
    "cached below zero": used(cache_read_input_tokens=-(2**62)),
    "2^62 tokens": used(output_tokens=2**62),
    "2^62 tokens read and written": used(input_tokens=2**62, cache_read_input_tokens=2**62),
    "2^63 tokens": used(input_tokens=2**63),
    "10^30 tokens": used(output_tokens=10**30),
    "a billion searches": used(server_tool_use={"web_search_requests": 10**9}),
    "no model": Odd(lambda message: message.pop("model")),
    "model empty": Odd(lambda message: message.update(model="")),
    "keys twice": replaced(b'"usage":', b'"usage":{"input_tokens":1},"usage":'),
    "a block of the future": Odd(lambda message: message["content"].insert(0, {"type": "hologram", "text": None})),
    "a number too large": replaced(b'"content":', b'"extra":1e999,"content":'),
    "NaN": replaced(b'"content":', b'"extra":NaN,"content":'),
    "very deep": replaced(b'"content":', b'"extra":' + b"[" * 90_000 + b"]" * 90_000 + b',"content":'),
    "a byte order mark": replaced(b"{", b"\xef\xbb\xbf{"),
    "a carriage return": replaced(b"\n", b"\r\n"),
}


class OddLine(Claude):
    """The API, but for one line of its results that is not as documented."""

    odd: Callable[[bytes], bytes]

    @contextmanager
    def results(self, batch_id: str) -> Iterator[Download]:
        with super().results(batch_id) as pieces:
            first, *others = b"".join(pieces).splitlines(keepends=True)
            yield Altered(b"".join([self.odd(first), *others]))


def load_odd(
    flow: Flow, submitted: Submitted, odd: Callable[[bytes], bytes], *, accept_missing: bool = False
) -> dict[str, int]:
    client = anthropic.Anthropic(api_key=flow.emulator.api_key, base_url=flow.emulator.url, max_retries=0)
    with OddLine(client, name="c") as claude:
        claude.odd = odd
        return load(*submitted, lake=flow.lake, claude=claude, accept_missing=accept_missing)


def bill(flow: Flow) -> Decimal:
    """What the API bills for the only batch."""
    (found,) = flow.emulator.bills()["bills"]
    return Decimal(found["usd"])


def check_cost(flow: Flow, odd: Odd) -> None:
    """The books have what the API bills, or somewhat more, and say so."""
    (line,) = booked(flow)
    billed = bill(flow)
    assert line["upper_bounds"] == (odd.cost == "bound")
    if odd.cost == "exact":
        assert line["cost_usd"] == billed
    else:
        assert billed < line["cost_usd"] < billed + Decimal("0.01")


@pytest.mark.parametrize("odd", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_a_line_that_no_download_holds_whole_is_a_reject_at_the_last_try_and_its_cost_is_known(
    flow: Flow, odd: Odd, caplog: pytest.LogCaptureFixture
) -> None:
    submitted = submit_all(flow)
    with pytest.raises(LoadError, match=r"(?s)Line 1 of .* cannot be read.*The last try .*download 3 of 3") as caught:
        load_odd(flow, submitted, odd)
    assert caught.value.retryable
    assert not visible(flow)
    assert not booked(flow)
    assert not caplog.records
    assert load_odd(flow, submitted, odd, accept_missing=True) == {"succeeded": 2, "invalid": 1}
    said, _ = caplog.records
    assert said.levelname == "WARNING"
    assert "1 of 3 result lines cannot be read (line 1: " in said.message
    assert ("the books hold an upper bound" in said.message) is (odd.cost == "bound")
    check_cost(flow, odd)
    reason, text = (outcomes(flow, submitted[1])[name].drop_null().to_pylist() for name in ("reason", "text"))
    assert reason[0].startswith("its result line cannot be read: ")
    assert text
    assert flow.plan("retry") == []


@pytest.mark.parametrize("odd", ANSWERED.values(), ids=ANSWERED.keys())
def test_an_answer_whose_line_is_odd_beside_it_is_an_answer_and_its_cost_is_known(
    flow: Flow, odd: Odd, caplog: pytest.LogCaptureFixture
) -> None:
    submitted = submit_all(flow)
    assert load_odd(flow, submitted, odd) == {"succeeded": 3}
    check_cost(flow, odd)
    assert [record.levelname for record in caplog.records] == ["WARNING"] * (odd.cost == "bound")
    assert flow.publish().published == 3


class CarriageReturns(Claude):
    """The API behind something that ends lines with carriage returns alone."""

    @contextmanager
    def results(self, batch_id: str) -> Iterator[Download]:
        with super().results(batch_id) as pieces:
            yield Altered(b"".join(pieces).replace(b"\n", b"\r").replace(b"claude-haiku", b"\\ud83d", 1))


def test_lines_may_end_with_carriage_returns_alone(flow: Flow, submitted: Submitted) -> None:
    client = anthropic.Anthropic(api_key=flow.emulator.api_key, base_url=flow.emulator.url, max_retries=0)
    with CarriageReturns(client, name="c") as claude:
        counts = load(*submitted, lake=flow.lake, claude=claude, accept_missing=True)
    assert counts == {"succeeded": 19, "invalid": 1}
    (line,) = booked(flow)
    assert (line["cost_usd"], line["upper_bounds"]) == (bill(flow), 0)


def test_a_download_that_was_not_whole_is_told_once_the_next_one_is(
    flow: Flow, submitted: Submitted, caplog: pytest.LogCaptureFixture
) -> None:
    flow.emulator.set_faults([{"kind": "missing_lines", "count": 2, "times": 2}])
    with caplog.at_level("INFO", logger="include.steps.load"):
        run_load(flow, submitted)
    said, _ = caplog.records
    assert said.levelname == "INFO"
    assert re.search(r"download 3 is whole\. The one before was not: .*18 of 20 result lines", said.message)


def test_a_batch_that_was_loaded_before_is_told_so_with_the_same_counts(
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


def test_what_was_read_of_an_odd_line_is_read_again_from_the_raw_copy(flow: Flow) -> None:
    submitted = submit_all(flow)
    for odd in (says("\ud83d"), used(output_tokens=None)):
        load_odd(flow, submitted, odd, accept_missing=True)
        before, line = outcomes(flow, submitted[1]), booked(flow)
        delete(flow.lake, layout.results("tickets", submitted[1]))
        run_load(flow, submitted)
        assert (outcomes(flow, submitted[1]), booked(flow)) == (before, line)
        delete(flow.lake, layout.raw("tickets", submitted[1]))
        delete(flow.lake, layout.results("tickets", submitted[1]))


@pytest.mark.parametrize("nameless", [b"<p>Please log in</p>\n", b'{"custom_id":"\\ud83d"}\n', b'{"custom_id":"x"\n'])
def test_a_line_that_does_not_say_whose_it_is_counts_as_missing_at_the_last_try(
    flow: Flow, nameless: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    submitted = submit_all(flow)
    with pytest.raises(LoadError, match="cannot be read"):
        load_odd(flow, submitted, lambda _: nameless)
    assert load_odd(flow, submitted, lambda _: nameless, accept_missing=True) == {"succeeded": 2, "missing": 1}
    said, _ = caplog.records
    assert "1 of these could not be matched with a request" in said.message
    assert "2 of 3 result lines were received" in said.message
    assert flow.send("retry") == {"succeeded": 1}


class CutLastLine(Claude):
    """The API behind a connection that always ends within the last line, and looks as if all were well."""

    @contextmanager
    def results(self, batch_id: str) -> Iterator[Download]:
        with super().results(batch_id) as pieces:
            yield Altered(b"".join(pieces)[:-40])


def test_a_last_line_that_is_cut_is_never_taken_for_an_unreadable_answer(flow: Flow, submitted: Submitted) -> None:
    client = anthropic.Anthropic(api_key=flow.emulator.api_key, base_url=flow.emulator.url)
    with CutLastLine(client, name="c") as cut:
        with pytest.raises(LoadError, match="cut or garbled"):
            load(*submitted, lake=flow.lake, claude=cut)
        assert visible(flow) == []
        assert load(*submitted, lake=flow.lake, claude=cut, accept_missing=True) == {"succeeded": 19, "missing": 1}


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


def test_a_raw_copy_that_is_damaged_is_told_with_the_way_to_the_apis_own(flow: Flow, submitted: Submitted) -> None:
    run_load(flow, submitted)
    delete(flow.lake, layout.results("tickets", submitted[1]))
    raw = layout.raw("tickets", submitted[1])
    flow.lake.write(raw, flow.lake.read(raw)[:-20])
    with pytest.raises(LakeError, match=r"Delete it and clear this task"):
        run_load(flow, submitted)
    delete(flow.lake, raw)
    assert run_load(flow, submitted) == {"succeeded": 20}


def test_an_empty_raw_copy_is_not_taken_for_missing_answers(flow: Flow) -> None:
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
    flow.emulator.set_faults([{"kind": "stall_results", "seconds": 60}])

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
    assert time.monotonic() - began < 30
    assert visible(flow) == []


class TestBooks:
    """What a batch cost is booked once, whatever became of it."""

    def test_a_batch_is_booked_to_the_partition_of_the_run_that_sent_it(self, flow: Flow) -> None:
        """Two days ask the same, and so plan the same chunk: the run's budget must find what the run has spent."""
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

    def test_made_anew_from_its_raw_copy_it_is_booked_on_the_day_it_was_made(self, flow: Flow) -> None:
        flow.extract()
        (chunk,) = flow.plan()
        batch_id = flow.submit(chunk)
        flow.load(chunk, batch_id)
        (before,) = booked(flow)
        delete(flow.lake, layout.results("tickets", batch_id))
        delete(flow.lake, layout.usage("tickets", batch_id, before["created_at"].date()))
        flow.load(chunk, batch_id)
        assert booked(flow) == [before]
