"""ask: a pass's synchronous chunks become outcomes, each request paid once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from include.enrichment.errors import BatchError, BudgetExceeded, LakeError, NotSent, NotYet, SetupError
from include.enrichment.runs.options import RunOptions
from include.enrichment.spec.pipeline_folder import load_pipeline
from include.enrichment.storage import layout
from include.enrichment.synchronous import lease
from include.steps.asking.lease import take_lease
from include.steps.asking.parts import Parts
from include.steps.files.chunk_files import read_chunk
from tests.fixtures.flow import FILES, Flow, booked, write_pipeline, write_tickets
from tests.fixtures.synchronous import ask_pass, open_one_call

_SYNCHRONOUS = FILES["pipeline.yaml"].replace("{model:", "{mode: synchronous, model:")


def synchronous(flow: Flow, folder: Path, limits: str = "synchronous_requests: 1") -> Flow:
    """The flow with a pipeline whose passes are synchronous."""
    yaml = f"{_SYNCHRONOUS}limits: {{{limits}}}\n"
    flow.pipeline = load_pipeline(write_pipeline(folder / "synchronous" / "tickets", pipeline_yaml=yaml))
    return flow


@pytest.fixture
def asked(twenty: Flow, tmp_path: Path) -> Flow:
    """Twenty tickets, extracted; every pass is synchronous, and one request is open at a time."""
    synchronous(twenty, tmp_path).extract()
    return twenty


class Stopped(Exception):
    """What ends a process in the middle of a pass."""


def stops_at(number: int) -> Callable[[str], None]:
    """Return what raises at this call."""
    calls = 0

    def count(_: str) -> None:
        nonlocal calls
        calls += 1
        if calls == number:
            raise Stopped

    return count


def test_a_pass_is_asked_loaded_and_booked_as_the_api_bills_it(asked: Flow) -> None:
    (chunk,) = asked.plan()
    assert ask_pass(asked) == {"succeeded": 20}
    manifest = asked.publish()
    (record,) = booked(asked)
    assert record["cost_usd"] == manifest.cost_usd == manifest.partition_cost_usd == asked.emulator.billed_usd()
    assert (record["mode"], record["pass_name"], record["requests"]) == ("synchronous", "main", 20)
    assert record["created_at"] < record["ended_at"]
    assert manifest.batches == [layout.asked_id(layout.chunk_id_of(chunk), simulated=True)]
    assert manifest.simulated
    assert asked.lake.list("asked/") == []


def test_a_partition_asked_half_in_batches_and_half_synchronously_is_one_table(flow: Flow, tmp_path: Path) -> None:
    """Each row once, the books are the bill to the last digit, and a second run costs nothing in either mode."""
    rows = [(f"N{number}", f"Ticket {number}") for number in range(17)]
    flow.run_all("main")
    assert (flow.requests_sent(), flow.published().num_rows) == (3, 3)
    write_tickets(flow.database, rows)
    batches = flow.pipeline
    half = replace(flow, folder=flow.run("manual__2"))
    synchronous(half, tmp_path).extract()
    half.plan()
    assert ask_pass(half) == {"succeeded": 17}
    manifest = half.publish()
    assert sorted(half.published()["ticket"].to_pylist()) == sorted(["T1", "T2", "T3", *(key for key, _ in rows)])
    assert {record["mode"] for record in booked(half)} == {"batch", "synchronous"}
    billed = flow.emulator.billed_usd()
    assert sum((record["cost_usd"] for record in booked(half)), Decimal()) == billed == manifest.partition_cost_usd
    for number, pipeline in enumerate([batches, half.pipeline], start=3):
        again = replace(flow, folder=flow.run(f"manual__{number}"), pipeline=pipeline)
        again.extract()
        assert again.plan() == []
        with pytest.raises(NotSent, match="nothing synchronously"):
            ask_pass(again)
        assert again.publish().cost_usd == 0
    assert flow.emulator.billed_usd() == billed


def test_what_is_stored_when_a_process_stops_is_not_asked_again(asked: Flow) -> None:
    asked.plan()
    with pytest.raises(Stopped):
        ask_pass(asked, open_answerer=open_one_call(asked.emulator, before=stops_at(8))[0])
    open_answerer, opened = open_one_call(asked.emulator)
    assert ask_pass(asked, open_answerer=open_answerer) == {"succeeded": 20}
    assert len(opened[0].asked) == 13
    assert asked.emulator.bills()["billed_twice"] == 0
    (record,) = booked(asked)
    assert record["cost_usd"] == asked.emulator.billed_usd()


def test_a_chunk_that_another_process_loads_while_its_parts_are_read_is_not_asked_again(
    asked: Flow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one has lost its lease while it loaded; it deletes the parts after the entry has landed."""
    (key,) = asked.plan()
    request_ids = Parts.request_ids

    def loaded_meanwhile(parts: Parts) -> set[str]:
        monkeypatch.setattr(Parts, "request_ids", request_ids)
        known = asked.ledger.find(layout.chunk_id_of(key))
        assert known
        asked.ledger.write(known.value.becomes("landed", at=datetime.now(UTC), asked_until=None), over=known)
        return parts.request_ids()

    monkeypatch.setattr(Parts, "request_ids", loaded_meanwhile)
    with pytest.raises(NotYet, match="was taken over"):
        ask_pass(asked)
    assert asked.emulator.billed_usd() == 0


def test_a_pass_that_was_asked_is_neither_asked_nor_loaded_again(asked: Flow) -> None:
    asked.plan()
    ask_pass(asked)
    open_answerer, opened = open_one_call(asked.emulator)
    assert ask_pass(asked, open_answerer=open_answerer) == {"succeeded": 20}
    assert opened == []


def test_an_answer_that_waits_for_a_person_leaves_the_chunk_open(asked: Flow) -> None:
    (key,) = asked.plan()
    waits = open_one_call(asked.emulator, waits=lambda number: number <= 2)[0]
    assert ask_pass(asked, open_answerer=waits) == {"waiting": 2}
    known = asked.ledger.find(layout.chunk_id_of(key))
    assert known
    assert (known.value.state, known.value.asked_until) == ("asking", None)
    assert ask_pass(asked) == {"succeeded": 20}
    assert asked.emulator.bills()["billed_twice"] == 0


def test_another_run_waits_for_a_chunk_that_is_being_asked_and_goes_on_when_its_lease_runs_out(
    asked: Flow, monkeypatch: pytest.MonkeyPatch
) -> None:
    (key,) = asked.plan()
    taken_at = datetime.now(UTC)
    take_lease(read_chunk(asked.lake, key), None, asked.ledger, run_id="manual__1", batch_id="asked_simulated_x")
    other = replace(asked, folder=asked.run("manual__2"))
    other.extract()
    assert other.plan() == [key]
    with pytest.raises(NotYet, match="is being asked by another process") as caught:
        ask_pass(other)
    assert caught.value.again_at >= taken_at + lease.LEASE + lease.CLOCK_SKEW
    monkeypatch.setattr(lease, "CLOCK_SKEW", -lease.LEASE)
    assert ask_pass(other) == {"succeeded": 20}
    (record,) = booked(other)
    assert record["run_id"] == "manual__1"


def test_the_first_request_of_a_cached_prefix_is_asked_alone(flow: Flow, tmp_path: Path) -> None:
    yaml = _SYNCHRONOUS.replace("max_tokens", "cache: 5m, max_tokens")
    pipeline = write_pipeline(tmp_path / "cached" / "tickets", pipeline_yaml=yaml, system_md="Label the ticket. " * 900)
    flow.pipeline = load_pipeline(pipeline)
    write_tickets(flow.database, [(f"N{number}", f"Ticket {number}") for number in range(17)])
    flow.extract()
    flow.plan()
    open_answerer, opened = open_one_call(flow.emulator)
    ask_pass(flow, open_answerer=open_answerer)
    (record,) = booked(flow)
    assert opened[0].most_open > 1
    assert record["cache_read_tokens"] == 19 * record["cache_write_5m_tokens"] > 0
    assert record["cost_usd"] == flow.emulator.billed_usd()


def test_a_key_that_is_rejected_leaves_what_was_answered(asked: Flow) -> None:
    asked.plan()

    def rejected(request_id: str) -> None:
        raise SetupError("The key was rejected.")

    with pytest.raises(SetupError, match="rejected"):
        ask_pass(asked, open_answerer=open_one_call(asked.emulator, before=rejected)[0])
    assert ask_pass(asked) == {"succeeded": 20}


def test_a_chunk_that_only_another_run_planned_is_left_to_it(asked: Flow) -> None:
    (key,) = asked.plan()
    other = replace(asked, folder=asked.run("manual__2"))
    other.extract()
    other.plan()  # takes the chunk over, with the same requests
    opened = asked.ledger.find_open()
    assert opened
    alone = opened.value.chunks[layout.chunk_id_of(key)].model_copy(
        update={"folder": asked.folder.prefix, "also_planned_by": []}
    )
    asked.ledger.write_open(opened.value.model_copy(update={"chunks": {layout.chunk_id_of(key): alone}}), over=opened)
    assert ask_pass(other) == {}
    assert asked.emulator.bills()["requests"] == 0


def test_other_runs_that_use_up_the_months_budget_stop_a_pass_before_it_asks(twenty: Flow, tmp_path: Path) -> None:
    limits = "synchronous_requests: 4, monthly_budget_usd: 1, budget_usd: 1"
    synchronous(twenty, tmp_path, limits).extract()
    (key,) = twenty.plan()
    opened = twenty.ledger.find_open()
    assert opened
    chunk_id = layout.chunk_id_of(key)
    dear = opened.value.chunks[chunk_id].model_copy(update={"expected_usd": Decimal(2)})
    twenty.ledger.write_open(opened.value.model_copy(update={"chunks": {chunk_id: dear}}), over=opened)
    with pytest.raises(BudgetExceeded):
        ask_pass(twenty)
    known = twenty.ledger.find(chunk_id)
    assert known
    assert (known.value.state, known.value.batch_id) == ("planned", None)
    assert twenty.emulator.bills()["requests"] == 0


def test_a_process_that_goes_on_before_anything_was_asked_checks_the_months_budget_too(
    twenty: Flow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synchronous(twenty, tmp_path, "monthly_budget_usd: 1, budget_usd: 1").extract()
    (key,) = twenty.plan()
    take_lease(read_chunk(twenty.lake, key), None, twenty.ledger, run_id="manual__1", batch_id="asked_simulated_x")
    monkeypatch.setattr(lease, "CLOCK_SKEW", -lease.LEASE)
    opened = twenty.ledger.find_open()
    assert opened
    chunk_id = layout.chunk_id_of(key)
    dear = opened.value.chunks[chunk_id].model_copy(update={"expected_usd": Decimal(2)})
    twenty.ledger.write_open(opened.value.model_copy(update={"chunks": {chunk_id: dear}}), over=opened)
    with pytest.raises(BudgetExceeded):
        ask_pass(twenty)
    assert twenty.emulator.bills()["requests"] == 0


def test_a_chunk_whose_load_died_before_it_landed_is_loaded_even_without_its_parts(asked: Flow) -> None:
    (key,) = asked.plan()
    ask_pass(asked)
    landed = asked.ledger.find(layout.chunk_id_of(key))
    assert landed
    before = landed.value.model_copy(update={"state": "asking", "asked_until": None})
    asked.ledger.write(before, over=landed)
    assert ask_pass(asked) == {"succeeded": 20}
    after = asked.ledger.find(layout.chunk_id_of(key))
    assert after
    assert after.value.state == "landed"
    assert asked.emulator.bills()["requests"] == 20


def test_a_synchronous_chunk_is_never_sent_as_a_batch(asked: Flow) -> None:
    (key,) = asked.plan()
    with pytest.raises(BatchError, match=r"is asked synchronously.*no batch"):
        asked.submit(key)
    assert asked.emulator.batches_made() == []


def test_what_another_plan_takes_over_before_it_is_asked_is_asked_once(asked: Flow) -> None:
    asked.plan()
    other = replace(asked, folder=asked.run("manual__2"), pipeline=asked.pipeline.for_run(RunOptions(rows=5)))
    other.extract()
    other.plan()
    assert ask_pass(asked) == {"succeeded": 15}
    assert ask_pass(other) == {"succeeded": 5}
    assert asked.emulator.bills()["billed_twice"] == 0


def test_a_pass_that_was_planned_for_an_earlier_extract_is_not_asked(asked: Flow) -> None:
    asked.plan()
    asked.extract()
    with pytest.raises(LakeError, match=r"belongs to an earlier extract.*Clear the `plan` of pass main"):
        ask_pass(asked)
