"""deadline.py: how a pass keeps the deadline of its run, by what is in flight, recorded and allowed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from include.enrichment.batches.pass_plan import PassPlan
from include.gateways.usage_store import UsageStore
from include.steps.ask import planned_pass
from include.steps.extract import extract
from tests.fixtures.flow import Flow
from tests.fixtures.night import limit_night
from tests.fixtures.usage import usage_line

HOUR = timedelta(hours=1)


@pytest.fixture
def due(flow: Flow) -> Flow:
    """Three tickets, due in four hours, of a run without a canary."""
    limit_night(flow, canary_rows=0)
    extract_again(flow)
    return flow


def extract_again(flow: Flow, due_in: timedelta = 4 * HOUR) -> datetime:
    deadline = datetime.now(UTC) + due_in
    extract(flow.pipeline, flow.folder, source=flow.warehouse, lake=flow.lake, deadline=deadline)
    return deadline


def planned(flow: Flow, pass_name: str = "main") -> PassPlan:
    flow.plan(pass_name)
    return planned_pass(flow.folder, pass_name=pass_name, lake=flow.lake)


def test_a_run_without_a_deadline_never_switches(flow: Flow) -> None:
    flow.extract()
    assert planned(flow).switch_at is None


def test_the_plan_has_the_switch_time_of_its_batches(due: Flow) -> None:
    made = planned(due)
    assert made.switch_at
    assert datetime.now(UTC) + 3.5 * HOUR < made.switch_at < datetime.now(UTC) + 4 * HOUR
    assert made.synchronous == []


def test_planning_again_keeps_the_switch_time_of_the_batch_in_flight(due: Flow) -> None:
    before = planned(due)
    due.submit(before.chunks[0])
    again = planned(due)
    assert (again.to_send, again.chunks, again.switch_at) == (0, before.chunks, before.switch_at)


def test_the_canary_leaves_time_to_ask_for_the_rows_of_the_main_pass(twenty: Flow) -> None:
    limit_night(twenty, synchronous_requests=1)
    deadline = extract_again(twenty)
    made = planned(twenty, "canary")
    assert (made.to_send, made.switch_at) == (5, deadline - timedelta(minutes=10 + 10))


def test_the_recorded_pace_moves_the_switch_time(due: Flow) -> None:
    now = datetime.now(UTC)
    before = planned(due).switch_at
    line = usage_line("b", now - 3 * HOUR, ended_at=now - 2 * HOUR, mode="synchronous", requests=3, cost_usd=Decimal(0))
    UsageStore(due.lake).add(line)
    after = planned(due).switch_at
    assert before
    assert after
    # An hour and a quarter in place of half a minute.
    assert before - after == timedelta(minutes=74, seconds=30)


def test_a_pass_whose_batch_would_be_late_is_asked(due: Flow) -> None:
    extract_again(due, HOUR)
    made = planned(due)
    assert made.synchronous == made.chunks
    assert made.estimate
    assert made.estimate.mode == "synchronous"


def test_the_last_pass_of_a_run_with_a_deadline_is_asked(due: Flow) -> None:
    due.emulator.set_faults([{"kind": "errored", "share": 1}])
    due.send("main")
    made = planned(due, "retry")
    assert made.synchronous == made.chunks
    assert (made.to_send, made.switch_at) == (3, None)


@pytest.mark.parametrize("limit", ["deadline_budget_usd", "budget_usd", "monthly_budget_usd"])
def test_every_budget_holds_for_synchronous_requests(due: Flow, limit: str) -> None:
    estimate = planned(due).estimate
    assert estimate
    assert estimate.cost_usd
    limit_night(due, **{limit: estimate.cost_usd.high})
    extract_again(due, HOUR)
    made = planned(due)
    assert (made.switch_at, made.synchronous, made.to_send) == (None, [], 3)


def test_a_synchronous_run_needs_no_switch_time(due: Flow) -> None:
    request = due.pipeline.settings.request.model_copy(update={"mode": "synchronous"})
    settings = due.pipeline.settings.model_copy(update={"request": request})
    due.pipeline = due.pipeline.model_copy(update={"settings": settings})
    extract_again(due)
    made = planned(due)
    assert (made.switch_at, made.synchronous) == (None, made.chunks)
