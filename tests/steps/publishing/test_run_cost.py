from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from include.enrichment.cost import prices
from include.enrichment.runs.options import RunOptions
from include.enrichment.runs.partition import Partition
from include.enrichment.storage import layout
from include.enrichment.storage.layout import RunFolder
from tests.fixtures.flow import Flow, booked, write_tickets
from tests.fixtures.lake import delete
from tests.fixtures.planning import change_request
from tests.fixtures.publishing import lenient, run_all, table
from tests.fixtures.synchronous import ask_pass


class TestCost:
    """The costs in the rows agree with the usage records."""

    def test_the_first_of_duplicate_rows_bears_the_cost(self, flow: Flow) -> None:
        write_tickets(flow.database, [("T4", "Hello"), ("T5", "Hello")])
        manifest = run_all(flow)
        costs = dict(zip(*(flow.published()[name].to_pylist() for name in ("ticket", "_cost_usd")), strict=True))
        assert min(costs[ticket] for ticket in ("T1", "T2", "T3")) > 0
        assert costs["T4"] == costs["T5"] == 0
        assert manifest.cost_usd == manifest.partition_cost_usd == sum(costs.values())

    def test_a_run_that_sends_nothing_has_cost_nothing_and_the_rows_still_say_what_they_cost(self, flow: Flow) -> None:
        first = run_all(flow)
        flow.folder = flow.run("manual__2")
        second = run_all(flow)
        assert second.cost_usd == 0
        assert first.cost_usd == second.partition_cost_usd
        assert first.partition_cost_usd == second.partition_cost_usd

    def test_whatever_happens_rows_and_rejects_cost_what_the_books_have_for_the_partition(
        self, flow: Flow, tmp_path: Path
    ) -> None:
        lenient(flow, tmp_path)
        write_tickets(flow.database, [(f"N{number}", f"Ticket {number % 40}") for number in range(80)])
        flow.emulator.set_faults(
            [{"kind": kind, "share": 0.15} for kind in ("errored", "expired", "canceled", "invalid_json", "refusal")]
            + [{"kind": "violates_schema", "share": 0.3, "times": 10}]
        )
        first = flow.run_all()
        assert first.published
        assert first.rejected
        assert {line["pass_name"] for line in booked(flow)} == {"main", "canary", "retry"}
        assert first.cost_usd == first.partition_cost_usd == (paid := cost_of_rows(flow)) == recorded_cost(flow)
        flow.emulator.set_faults([])
        flow.folder = flow.run("manual__2")
        second = flow.run_all()
        assert second.rejected < first.rejected
        assert second.partition_cost_usd == cost_of_rows(flow) == recorded_cost(flow)
        assert second.cost_usd == recorded_cost(flow, run_id="manual__2") == cost_of_rows(flow) - paid > 0

    def test_what_another_partition_has_paid_for_is_free_and_names_its_batch(self, flow: Flow, tmp_path: Path) -> None:
        lenient(flow, tmp_path)
        flow.emulator.set_faults([{"kind": "violates_schema", "match": "crashes", "times": 1}])
        flow.run_all("main")
        write_tickets(flow.database, [("X1", "Hello"), ("X2", "It crashes"), ("X3", "New")], day="2026-11-02")
        flow.folder = RunFolder(pipeline="tickets", partition=Partition(start=date(2026, 11, 2)), run_id="manual__2")
        other = flow.run_all()
        table = pq.read_table(flow.lake.locate(layout.table("tickets", flow.folder.partition)).removeprefix("file://"))
        bought = {line["ticket"]: (line["_cost_usd"], line["_batch_id"]) for line in table.to_pylist()}
        partition_of = {line["batch_id"]: line["partition"] for line in booked(flow)}
        assert {ticket: partition_of[batch_id] for ticket, (_, batch_id) in bought.items()} == {
            "X1": "2026-11-01",
            "X2": "2026-11-02",
            "X3": "2026-11-02",
        }
        assert bought["X1"][0] == 0
        # Of X2 only the repair was bought here.
        assert other.cost_usd == other.partition_cost_usd == bought["X2"][0] + bought["X3"][0]
        assert other.cost_usd == recorded_cost(flow, partition="2026-11-02")
        assert other.cost_usd + cost_of_rows(flow) == recorded_cost(flow)

    def test_where_a_price_is_not_known_no_cost_is_guessed(self, flow: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
        none = prices.prices().model_copy(update={"models": {}})
        monkeypatch.setattr(prices, "prices", lambda: none)
        manifest = run_all(flow)
        assert flow.published()["_cost_usd"].to_pylist() == [None] * 3
        assert manifest.cost_usd is manifest.partition_cost_usd is None

    def test_a_batch_that_is_not_booked_leaves_the_runs_cost_unknown(
        self, flow: Flow, caplog: pytest.LogCaptureFixture
    ) -> None:
        run_all(flow)
        (key,) = flow.lake.list("usage/")
        delete(flow.lake, key)
        manifest = flow.publish()
        assert manifest.cost_usd is None
        assert manifest.partition_cost_usd == cost_of_rows(flow) > 0
        assert "no cost is recorded for msgbatch_" in caplog.text

    def test_a_trial_costs_what_it_sent(self, flow: Flow) -> None:
        flow.pipeline = flow.pipeline.for_run(RunOptions(rows=2))
        trial = run_all(flow)
        costs = table(flow, flow.folder.table)["_cost_usd"].to_pylist()
        assert trial.cost_usd == trial.partition_cost_usd == sum(costs) > 0


def cost_of_rows(flow: Flow) -> Decimal:
    return sum((sum(some["_cost_usd"].to_pylist()) for some in (flow.published(), flow.rejected())), Decimal(0))


def recorded_cost(flow: Flow, **of: str) -> Decimal:
    lines = [line for line in booked(flow) if of.items() <= line.items()]
    return sum((line["cost_usd"] for line in lines), Decimal(0))


def test_the_cost_of_a_run_in_both_modes_names_the_synchronous_part(twenty: Flow, tmp_path: Path) -> None:
    change_request(twenty, tmp_path, "mode: auto", "limits: {canary_rows: 5, synchronous_below: 10}")
    twenty.extract()
    twenty.plan("canary")
    ask_pass(twenty, "canary")
    twenty.send()
    twenty.plan("retry")
    manifest = twenty.publish()
    costs = {line["mode"]: line["cost_usd"] for line in booked(twenty)}
    assert manifest.synchronous_cost_usd == costs["synchronous"] > 0
    assert manifest.cost_usd == costs["batch"] + costs["synchronous"] == manifest.partition_cost_usd
    assert manifest.estimates["canary"].mode == "synchronous"


def test_the_synchronous_part_of_a_run_of_batches_is_nothing(flow: Flow) -> None:
    assert run_all(flow).synchronous_cost_usd == 0
