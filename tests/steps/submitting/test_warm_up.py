from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any
from unittest import mock

import anthropic
import obstore
import pytest

from include.enrichment.batches import submission
from include.enrichment.batches.ledger import Entry
from include.enrichment.cost import caching
from include.enrichment.errors import NotYet, SetupError
from include.enrichment.runs.options import RunOptions
from include.enrichment.spec.pipeline_folder import load_pipeline
from include.enrichment.storage import layout
from include.gateways.claude import Claude
from include.gateways.lake import Lake
from include.steps.files.chunk_files import params_of, read_chunk
from include.steps.submitting import warm_up
from tests.fixtures.flow import Flow, booked, write_pipeline, write_tickets

MODEL = "claude-haiku-5-5"
#: 4,000 tokens as the emulator counts them; haiku-5-5 keeps what has 512.
PREFIX_TOKENS = 4_000
SYSTEM = "Label the ticket. ".ljust(PREFIX_TOKENS * 4, "x")
CANARY, ROWS, CHUNK = 3, 43, 20
HOURS = timedelta(hours=2)


def settings(cache: str = "1h", *, canary_rows: int = CANARY, model: str = MODEL) -> str:
    return (
        "source: {connection: warehouse, key: [ticket]}\n"
        f"request: {{model: {model}, max_tokens: 200, cache: {cache}}}\n"
        f"limits: {{canary_rows: {canary_rows}, batch_requests: {CHUNK}}}\n"
    )


@pytest.fixture
def cached(flow: Flow, tmp_path: Path) -> Flow:
    """A canary and two chunks of twenty requests, with a system prompt that is cached for an hour; extracted."""
    write_tickets(flow.database, [(f"N{number}", f"Ticket {number}") for number in range(ROWS - 3)])
    use(flow, tmp_path, settings())
    flow.extract()
    return flow


def use(flow: Flow, tmp_path: Path, pipeline_yaml: str, system_md: str = SYSTEM) -> None:
    flow.pipeline = load_pipeline(
        write_pipeline(tmp_path / "cached" / "tickets", pipeline_yaml=pipeline_yaml, system_md=system_md)
    )


def entries(flow: Flow) -> list[Entry]:
    every = flow.ledger.changed_since(datetime.min.replace(tzinfo=UTC))
    return [entry for entry in flow.ledger.entries(every) if entry]


def let_pass(flow: Flow, time: timedelta) -> None:
    """Time passes for the API, and everything in the ledger moves into the past."""
    flow.emulator.advance_clock(time.total_seconds())
    for entry in entries(flow):
        fence = entry.fence and entry.fence.model_copy(update={"at": entry.fence.at - time})
        earlier = entry.model_copy(update={"changed_at": entry.changed_at - time, "fence": fence})
        flow.ledger.write(earlier, over=flow.ledger.find(entry.chunk_id))


def sizes(flow: Flow) -> list[int]:
    return [batch["size"] for batch in flow.emulator.batches_made()]


def read_share(flow: Flow, requests: int) -> float:
    """The share of the prefixes that the API has billed as read."""
    return float(flow.emulator.bills()["cache_read_input_tokens"] / (requests * PREFIX_TOKENS))


def take_up(flow: Flow, chunk: str) -> str | None:
    """Submit as a task does; None if it has to come back."""
    try:
        return flow.submit(chunk)
    except NotYet:
        return None


def test_right_after_the_canary_nothing_goes_ahead(cached: Flow) -> None:
    cached.send("canary")
    cached.send("main")
    assert sizes(cached) == [CANARY, CHUNK, CHUNK]
    assert read_share(cached, 2 * CHUNK) > 0.9


def test_a_queue_that_has_run_cold_is_warmed_by_one_request_and_then_reads(cached: Flow) -> None:
    cached.send("canary")
    let_pass(cached, HOURS)
    cached.send("main")
    assert sizes(cached) == [CANARY, 1, CHUNK, CHUNK]
    assert read_share(cached, 2 * CHUNK) > 0.9


def test_without_it_the_same_queue_pays_for_writing(cached: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caching, "LEAST_REQUESTS", CHUNK + 1)
    cached.send("canary")
    let_pass(cached, HOURS)
    chunks = cached.plan()
    for chunk in chunks:
        cached.submit(chunk)
        let_pass(cached, HOURS)
    assert sizes(cached) == [CANARY, CHUNK, CHUNK]
    assert read_share(cached, 2 * CHUNK) < 0.6


def test_without_a_canary_the_first_chunk_is_warmed_too(cached: Flow, tmp_path: Path) -> None:
    use(cached, tmp_path, settings("5m", canary_rows=0))
    cached.extract()
    cached.send("main")
    assert sizes(cached) == [1, CHUNK, CHUNK, CANARY]


@pytest.mark.parametrize("wait", [HOURS, timedelta(minutes=10)])
def test_a_batch_that_is_still_at_work_keeps_it_warm(cached: Flow, wait: timedelta) -> None:
    cached.send("canary")
    cached.emulator.set_faults([{"kind": "duration", "seconds": 5 * 3600}])
    first, second = cached.plan()
    cached.submit(first)
    let_pass(cached, wait)
    cached.submit(second)
    assert sizes(cached) == [CANARY, CHUNK, CHUNK]


def test_the_five_minutes_are_over_sooner_than_the_hour(cached: Flow, tmp_path: Path) -> None:
    for cache, expected in (("1h", 0), ("5m", 1)):
        use(cached, tmp_path, settings(cache))
        cached.folder = cached.run(f"manual__{cache}")
        cached.extract()
        cached.send("canary")
        let_pass(cached, timedelta(minutes=10))
        cached.send("main")
        assert sizes(cached).count(1) == expected


def test_what_was_at_work_with_another_prefix_warms_nothing(cached: Flow, tmp_path: Path) -> None:
    cached.send("canary")
    use(cached, tmp_path, settings(model="claude-sonnet-5-5"))
    cached.folder = cached.run("manual__2")
    cached.extract()
    cached.submit(cached.plan("main")[0])
    assert sizes(cached) == [CANARY, 1, CHUNK]


@pytest.mark.parametrize(
    ("yaml", "system"),
    [
        (settings("off"), SYSTEM),
        (settings(model="claude-opus-5-1-preview"), SYSTEM),
        (settings(), "Too short to be kept."),
    ],
    ids=["off", "no price", "too short"],
)
def test_where_it_cannot_be_worth_it_nothing_goes_ahead(cached: Flow, tmp_path: Path, yaml: str, system: str) -> None:
    use(cached, tmp_path, yaml, system)
    cached.extract()
    cached.submit(cached.plan("main")[0])
    assert sizes(cached) == [CHUNK]


def test_the_canary_and_a_chunk_of_few_requests_never_wait(cached: Flow, tmp_path: Path) -> None:
    use(cached, tmp_path, settings(canary_rows=CHUNK + 1).replace(f"batch_requests: {CHUNK}", "batch_requests: 100"))
    cached.extract()
    cached.send("canary")
    use(cached, tmp_path, settings().replace(f"batch_requests: {CHUNK}", f"batch_requests: {CHUNK - 1}"))
    cached.extract()
    let_pass(cached, HOURS)
    cached.send("main")
    assert sizes(cached) == [CHUNK + 1, CHUNK - 1, ROWS - CHUNK - 1 - (CHUNK - 1)]


def test_chunks_and_runs_that_need_it_at_the_same_time_share_one(cached: Flow) -> None:
    cached.emulator.set_faults([{"kind": "duration", "seconds": 60}])
    chunks = cached.plan()[:2]
    with ThreadPoolExecutor(2) as tasks:
        assert list(tasks.map(lambda chunk: take_up(cached, chunk), chunks)) == [None, None]
    assert [take_up(cached, chunk) for chunk in chunks] == [None, None]
    assert sizes(cached) == [1]
    cached.emulator.advance_clock(61)
    assert all(take_up(cached, chunk) for chunk in chunks)
    assert sizes(cached) == [1, CHUNK, CHUNK]


def test_one_that_another_task_sends_while_this_one_looks_is_waited_for(
    cached: Flow, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached.emulator.set_faults([{"kind": "duration", "seconds": 60}])
    chunks = cached.plan()[:2]
    assert take_up(cached, chunks[0]) is None
    monkeypatch.setattr(warm_up, "_in_flight", lambda ledger: iter(()))
    assert take_up(cached, chunks[1]) is None
    assert sizes(cached) == [1]


def test_while_it_is_in_flight_the_task_knows_when_to_come_back(cached: Flow) -> None:
    cached.emulator.set_faults([{"kind": "duration", "seconds": 60}])
    began = datetime.now(UTC)
    with pytest.raises(NotYet, match=r"Batch msgbatch_\w+ warms the prompt cache with one request") as caught:
        cached.submit(cached.plan()[0])
    assert began < caught.value.again_at - submission.SOON < datetime.now(UTC)


def test_it_is_in_the_books_and_answers_no_row(cached: Flow) -> None:
    cached.send("main")
    line = booked(cached)[0]
    assert {name: line[name] for name in ("pass_name", "partition", "run_id", "requests", "succeeded")} == {
        "pass_name": "warm-up",
        "partition": "2026-11-01",
        "run_id": "manual__1",
        "requests": 1,
        "succeeded": 1,
    }
    assert line["cache_write_1h_tokens"] == PREFIX_TOKENS
    manifest = cached.publish()
    assert (manifest.rows, manifest.published) == (ROWS, ROWS)
    assert cached.emulator.orphans() == []


def test_what_the_run_cost_has_it_and_no_other_runs(cached: Flow) -> None:
    cached.send("main")
    own = sum((line["cost_usd"] for line in booked(cached)), Decimal(0))
    assert cached.publish().cost_usd == own == cached.emulator.billed_usd()
    let_pass(cached, HOURS)
    cached.folder = cached.run("manual__2")
    cached.pipeline = cached.pipeline.for_run(RunOptions(reuse=False))
    cached.extract()
    cached.send("main")
    assert cached.publish().cost_usd == cached.emulator.billed_usd() - own


def test_budgets_count_what_it_may_cost_until_it_is_booked(cached: Flow) -> None:
    cached.emulator.set_faults([{"kind": "duration", "seconds": 60}])
    chunk, *_ = cached.plan()
    assert take_up(cached, chunk) is None
    opened = cached.ledger.find_open()
    assert opened is not None
    (expected,) = [each.expected_usd for each in opened.value.chunks.values() if layout.is_warm_up(each.folder)]
    cached.emulator.advance_clock(61)
    assert take_up(cached, chunk)
    (line,) = booked(cached)
    assert expected is not None
    assert expected / 3 < line["cost_usd"] <= expected


def test_all_but_its_message_is_what_the_rows_are_sent_with(cached: Flow) -> None:
    chunk, *_ = cached.plan()
    cached.submit(chunk)
    files = cached.lake.list("chunks/tickets/")
    sent = []
    for key in files:
        one = read_chunk(cached.lake, key)
        (params,) = map(json.loads, params_of(cached.lake, one, one.request_ids[:1]).values())
        sent.append({name: value for name, value in params.items() if name != "messages"})
    assert len(files) == len(cached.plan()) + 1
    assert all(each == sent[0] for each in sent)


def test_a_warm_up_that_takes_too_long_holds_nothing_up_and_is_loaded_later(cached: Flow) -> None:
    cached.emulator.set_faults([{"kind": "duration", "seconds": 3 * 3600}])
    first, second, last = cached.plan()
    assert take_up(cached, first) is None
    let_pass(cached, caching.PATIENCE)
    assert take_up(cached, first)
    assert take_up(cached, second)
    assert sizes(cached) == [1, CHUNK, CHUNK]
    let_pass(cached, timedelta(hours=3))
    assert take_up(cached, last)
    assert [line["pass_name"] for line in booked(cached)] == ["warm-up"]


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "errored", "share": 1.0},
        {"kind": "expired", "share": 1.0},
        {"kind": "missing_lines", "times": 99},
        {"kind": "not_found", "on": "results", "times": 1},
    ],
    ids=lambda fault: str(fault["kind"]),
)
def test_a_warm_up_that_fails_stops_nothing(cached: Flow, fault: dict[str, Any]) -> None:
    cached.emulator.set_faults([fault])
    chunk, *_ = cached.plan()
    while take_up(cached, chunk) is None:
        pass
    assert sizes(cached) == [1, CHUNK]


@pytest.mark.parametrize("on", ["create", "retrieve"])
def test_a_key_that_is_rejected_is_reported_at_once(cached: Flow, on: str) -> None:
    cached.emulator.set_faults([{"kind": "http_error", "on": on, "status": 401}])
    with pytest.raises(SetupError, match="HTTP 401"):
        cached.submit(cached.plan()[0])


def test_while_the_api_takes_no_batch_the_warm_up_waits_as_the_chunk_would(cached: Flow) -> None:
    cached.emulator.set_faults([{"kind": "http_error", "on": "create", "status": 429, "retry_after": 900, "times": 1}])
    with pytest.raises(NotYet, match=r"HTTP 429.*No batch was created") as caught:
        cached.submit(cached.plan()[0])
    assert caught.value.again_at - datetime.now(UTC) > timedelta(minutes=14)
    cached.submit(cached.plan()[0])
    assert sizes(cached) == [1, CHUNK]


def test_one_whose_answer_was_lost_is_found_and_adopted(cached: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submission, "LISTING_LAG", timedelta(0))
    cached.emulator.set_faults([{"kind": "reset_after_create", "times": 1}])
    chunk, *_ = cached.plan()
    assert take_up(cached, chunk) is None
    assert take_up(cached, chunk)
    assert sizes(cached) == [1, CHUNK]
    assert [line["pass_name"] for line in booked(cached)] == ["warm-up"]


def test_a_run_that_plans_meanwhile_neither_waits_for_it_nor_forgets_it(cached: Flow) -> None:
    cached.emulator.set_faults([{"kind": "duration", "seconds": 60}])
    chunk, *others = cached.plan()
    take_up(cached, chunk)
    cached.folder = cached.run("manual__2")
    cached.extract()
    assert sorted(cached.plan()) == sorted([chunk, *others])
    cached.emulator.advance_clock(61)
    assert take_up(cached, chunk)
    assert [line["pass_name"] for line in booked(cached)] == ["warm-up"]


class Died(BaseException):
    """The process was killed."""


@contextmanager
def killed(at: int) -> Iterator[list[str]]:
    """
    The process dies before a write to the lake or a create, counted from 1, which is after the one before it. Gives
    what it has written, or was about to.
    """
    written: list[str] = []
    put, create = obstore.put, Claude.create

    def counted(write: Callable[..., Any], name: Callable[..., str]) -> Callable[..., Any]:
        def one(*args: Any, **options: Any) -> Any:
            written.append(name(*args))
            if len(written) == at:
                raise Died
            return write(*args, **options)

        return one

    with (
        mock.patch.object(obstore, "put", counted(put, lambda store, key, *_: key)),
        mock.patch.object(Claude, "create", counted(create, lambda *_: "create")),
    ):
        yield written


@contextmanager
def anew(cached: Flow, folder: Path) -> Iterator[Flow]:
    """The same pipeline and warehouse, with another lake and another workspace of the API."""
    emulator = cached.emulator.workspace()
    client = anthropic.Anthropic(api_key=emulator.api_key, base_url=emulator.url, max_retries=0)
    with Claude(client, name="anthropic_default") as claude:
        flow = replace(cached, lake=Lake.in_folder(folder), emulator=emulator, claude=claude)
        flow.extract()
        yield flow


def test_killed_at_any_of_its_writes_nothing_is_lost_and_no_row_is_paid_twice(
    cached: Flow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submission, "LISTING_LAG", timedelta(0))
    monkeypatch.setattr(submission, "CREATE_WINDOW", timedelta(0))
    monkeypatch.setitem(caching.LIFE, "1h", timedelta(days=36_500))  # no hour ends between a death and the next try
    use(cached, tmp_path, settings(canary_rows=0).replace(f"batch_requests: {CHUNK}", "batch_requests: 100"))
    for at in count(1):
        with anew(cached, tmp_path / f"{at}") as flow:
            (chunk,) = flow.plan()
            with killed(at) as written, suppress(Died):
                flow.submit(chunk)
            flow.load(chunk)
            assert flow.publish().published == ROWS
            assert (flow.emulator.billed_twice(), flow.emulator.orphans(), sizes(flow)) == ([], [], [1, ROWS])
            assert [line["pass_name"] for line in booked(flow)] == ["warm-up", "main"]
            assert {entry.state for entry in entries(flow)} == {"landed"}
            flow.plan("retry")
            opened = flow.ledger.find_open()
            assert opened is not None
            assert not opened.value.chunks
        if len(written) < at:
            break
    assert written.count("create") == 2
