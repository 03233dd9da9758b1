"""A run with a deadline, from 02:00 on: what becomes of its rows, what they cost, and when they are published."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from claude_batch.connections.gateways import open_lake
from include.enrichment.answers.manifest import Manifest
from include.enrichment.synchronous.deadline import Switch
from include.steps import plan
from tests.airflow.test_task_group import states, write_dag
from tests.fixtures.emulator import Emulator
from tests.fixtures.flow import Flow, booked, write_tickets
from tests.fixtures.night import NIGHTS, Night, ends_at_the_cancel, has_budget, is_shared, night


@pytest.fixture
def tonight(flow: Flow, monkeypatch: pytest.MonkeyPatch) -> Iterator[Night]:
    """Twenty tickets, due at 05:30. Without a record, asking them is expected to take two minutes."""
    write_tickets(flow.database, [(f"N{number}", f"Ticket {number}") for number in range(17)])
    with night(flow, monkeypatch) as one:
        yield one


def check(one: Night, manifest: Manifest, *, at: str, batched: int, asked: int) -> None:
    """Every row is published once, at that time, and paid for once, as the API bills it."""
    assert (manifest.published, len(one.flow.published())) == (20, 20)
    assert f"{manifest.published_at:%H:%M}" == at
    answers = {record["mode"]: record["succeeded"] for record in booked(one.flow)}
    assert answers == {mode: count for mode, count in {"batch": batched, "synchronous": asked}.items() if count}
    bills = one.flow.emulator.bills()
    assert (manifest.cost_usd, bills["billed_twice"]) == (Decimal(bills["usd"]), 0)


def canceled(one: Night) -> bool:
    return any(call["path"].endswith("/cancel") for call in one.flow.emulator.log()["calls"])


def test_a_batch_that_ends_in_time_is_all_at_half_price(tonight: Night) -> None:
    NIGHTS["ends in time"](tonight)
    manifest = tonight.run()
    check(tonight, manifest, at="02:36", batched=20, asked=0)
    assert manifest.deadline_kept == "kept, 2 h 54 min ahead"
    (told,) = tonight.messages
    assert "a batch that has not ended at" in told
    assert "05:18 UTC is canceled, and what it has not answered is asked synchronously, for up to $" in told


def test_a_batch_that_does_not_end_is_canceled_and_the_rest_is_asked(tonight: Night) -> None:
    NIGHTS["does not end"](tonight)
    manifest = tonight.run()
    (asked,) = (record["requests"] for record in booked(tonight.flow) if record["mode"] == "synchronous")
    assert 5 <= asked < 20
    check(tonight, manifest, at="05:21", batched=20 - asked, asked=asked)
    assert manifest.deadline_kept == "kept, 9 min ahead"
    _, switched, last = tonight.messages
    assert "had not ended at 05:18:00 UTC" in switched
    assert f"in the last pass, {asked} requests are asked synchronously, for up to $" in last


def test_a_batch_that_ends_at_the_moment_of_the_cancel_is_loaded_whole(tonight: Night) -> None:
    ends_at_the_cancel(tonight)
    manifest = tonight.run()
    assert canceled(tonight)
    check(tonight, manifest, at="05:21", batched=20, asked=0)


def test_a_batch_that_another_run_needs_is_not_canceled(tonight: Night) -> None:
    is_shared(tonight)
    manifest = tonight.run()
    assert not canceled(tonight)
    check(tonight, manifest, at="06:15", batched=20, asked=0)
    assert manifest.deadline_kept == "missed by 45 min"
    assert "other runs may need it (manual__1, manual__other)" in tonight.messages[1]


@pytest.mark.parametrize("limit", ["deadline_budget_usd", "budget_usd"])
def test_a_budget_below_the_synchronous_price_leaves_the_batch_alone(tonight: Night, limit: str) -> None:
    has_budget(tonight, limit)
    manifest = tonight.run()
    assert not canceled(tonight)
    check(tonight, manifest, at="06:12", batched=20, asked=0)
    (told,) = tonight.messages
    assert "No batch is canceled, so the run may miss the deadline" in told
    assert limit in told


def test_a_batch_that_cannot_be_expected_in_time_is_not_sent(flow: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    with night(flow, monkeypatch, due="03:00") as one:
        manifest = one.run()
    assert (manifest.published, manifest.deadline_kept) == (3, "kept, 58 min ahead")
    assert [record["mode"] for record in booked(flow)] == ["synchronous"]
    assert manifest.cost_usd == flow.emulator.billed_usd()


def test_a_dag_cancels_at_the_switch_time_of_its_plan_and_asks_in_its_last_pass(
    run_dag: Callable[..., Any],
    connections: pytest.MonkeyPatch,
    tmp_path: Path,
    emulator: Emulator,
) -> None:
    def switch_now(pass_name: str, *_: object) -> Switch:
        is_last = pass_name == "retry"
        return Switch(batch_in_time=not is_last, at=None if is_last else datetime.now(UTC), why="")

    connections.setattr(plan, "find_switch", switch_now)
    emulator.set_faults([{"kind": "stuck"}])
    conf = {"partition": "2026-11-01", "deadline": "2099-12-31T05:30+01:00"}
    run = run_dag(write_dag(tmp_path), run_conf=conf)
    assert run.state == "success", states(run)
    assert states(run)["retry.ask"] == "success"
    manifest = json.loads(open_lake("aws_default").read("manifests/tickets/dt=2026-11-01.json"))
    assert (manifest["published"], manifest["deadline"]) == (3, "2099-12-31T04:30:00Z")
    assert [batch["canceled"] for batch in emulator.batches_made()] == [3]
