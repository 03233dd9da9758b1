"""budgets.py: a pass or a chunk that could exceed a budget is not sent."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from include.enrichment.errors import ApiError, BudgetExceeded, LoadError, NotSent, NotYet
from include.enrichment.runs import passes
from include.enrichment.runs.options import RunOptions
from include.enrichment.storage import layout
from include.steps.dry_run import dry_run
from include.steps.files.extracted import read_extracted
from include.steps.planning.plan_files import read_plan
from tests.fixtures.flow import Flow, booked, write_tickets
from tests.fixtures.pricing import cost, estimated, extract, limit, prepare, reserved, spent


def test_a_run_that_would_cost_more_than_its_budget_sends_nothing(twenty: Flow, tmp_path: Path) -> None:
    prepare(twenty, tmp_path, ", budget_usd: 0.01")
    before = twenty.lake.list("ledger/")
    with pytest.raises(BudgetExceeded, match=r"(?s)budget of \$0\.01 .*Raise the budget"):
        twenty.plan(passes.CANARY)
    assert (twenty.requests_sent(), twenty.lake.list("ledger/")) == (0, before)


def test_a_synchronous_pass_is_checked_at_its_own_price(twenty: Flow, tmp_path: Path) -> None:
    prepare(twenty, tmp_path)
    twenty.plan(passes.MAIN)
    in_a_batch = cost(estimated(twenty, passes.MAIN))
    limit(twenty, budget_usd=in_a_batch.high)
    twenty.plan(passes.MAIN)
    settings = twenty.pipeline.settings.for_run(RunOptions(urgent=True), file="pipeline.yaml")
    twenty.pipeline = twenty.pipeline.model_copy(update={"settings": settings})
    limit(twenty, budget_usd=in_a_batch.high)
    with pytest.raises(BudgetExceeded, match="could exceed its budget"):
        twenty.plan(passes.MAIN)
    limit(twenty, budget_usd=2 * in_a_batch.high)
    twenty.plan(passes.MAIN)
    assert cost(estimated(twenty, passes.MAIN)).high == pytest.approx(2 * in_a_batch.high)
    assert sum(reserved(twenty).values()) == pytest.approx(2 * in_a_batch.high)


def test_between_passes_what_was_truly_spent_counts(twenty: Flow, tmp_path: Path) -> None:
    prepare(twenty, tmp_path, ", budget_usd: 100")
    twenty.send(passes.CANARY)
    limit(twenty, budget_usd=spent(twenty, passes.CANARY) + Decimal("0.000001"))
    with pytest.raises(BudgetExceeded, match="could exceed its budget"):
        twenty.plan(passes.MAIN)
    assert twenty.requests_sent() == 5


class TestRetryPass:
    """Without it a run may still be good enough, so a budget leaves it out, and stops no run."""

    @pytest.fixture
    def spent_up(self, twenty: Flow, tmp_path: Path) -> int:
        """How many answers are to be repaired, when nothing of the budget is left."""
        prepare(twenty, tmp_path)
        twenty.emulator.set_faults([{"kind": "violates_schema", "share": 0.4}])
        counts = [twenty.send(name) for name in (passes.CANARY, passes.MAIN)]
        limit(twenty, budget_usd=sum((line["cost_usd"] for line in booked(twenty)), Decimal(0)))
        return sum(count.get("invalid", 0) for count in counts)

    def test_it_is_left_out_and_what_was_paid_for_is_published(
        self, twenty: Flow, spent_up: int, caplog: pytest.LogCaptureFixture
    ) -> None:
        limit(twenty, max_reject_ratio=1.0)
        assert twenty.plan("retry") == []
        assert "Pass retry is skipped. The run could exceed its budget of" in caplog.text
        made = read_plan(twenty.lake, twenty.folder, "retry", read_extracted(twenty.lake, twenty.folder).extracted_at)
        assert made
        assert (made.to_send, made.in_flight, made.left_out) == (0, 0, spent_up)
        assert twenty.publish().rejected == spent_up > 0
        assert f"{spent_up:,} requests were not sent again" in caplog.text
        assert (twenty.requests_sent(), reserved(twenty)) == (20, {})

    def test_too_many_rejects_tell_that_it_was_left_out(self, twenty: Flow, spent_up: int) -> None:
        twenty.plan("retry")
        with pytest.raises(
            LoadError,
            match=rf"{spent_up} requests were not sent again .*raise it and start a new run",
        ):
            twenty.publish()

    def test_with_more_to_spend_it_sends_what_it_had_left_out(self, twenty: Flow, spent_up: int) -> None:
        twenty.plan("retry")
        limit(twenty, budget_usd=Decimal(1))
        twenty.emulator.set_faults([])
        assert sum(twenty.send("retry").values()) == spent_up
        assert twenty.publish().published == 20

    def test_only_what_the_last_pass_left_out_is_reported(
        self, twenty: Flow, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        prepare(twenty, tmp_path, ", retry_passes: 2, max_reject_ratio: 1.0")
        twenty.emulator.set_faults([{"kind": "violates_schema", "share": 0.4}])
        for name in (passes.CANARY, passes.MAIN):
            twenty.send(name)
        limit(twenty, budget_usd=sum((line["cost_usd"] for line in booked(twenty)), Decimal(0)))
        assert twenty.plan("retry_1") == []
        limit(twenty, budget_usd=Decimal(1))
        twenty.emulator.set_faults([])
        assert twenty.send("retry_2")
        assert twenty.publish().rejected == 0
        assert "were not sent again" not in caplog.text

    def test_a_run_for_the_rejects_alone_is_nothing_without_it(self, twenty: Flow, spent_up: int) -> None:
        limit(twenty, max_reject_ratio=1.0)
        twenty.plan("retry")
        twenty.publish()
        twenty.folder = twenty.run("manual__2")
        twenty.pipeline = twenty.pipeline.for_run(RunOptions(only_rejects=True))
        extract(twenty)
        limit(twenty, budget_usd=Decimal("0.000001"))
        with pytest.raises(BudgetExceeded):
            twenty.plan("retry")
        assert twenty.requests_sent() == 20


@pytest.mark.parametrize(("budget_usd", "stops"), [("0.0001", True), ("1", False)])
def test_a_dry_run_says_whether_a_budget_would_stop_the_run(
    twenty: Flow, tmp_path: Path, budget_usd: str, stops: bool
) -> None:
    prepare(twenty, tmp_path, f", budget_usd: {budget_usd}")
    forecast = dry_run(twenty.folder, lake=twenty.lake).table()
    assert ("A plain run would not send all of it. The run could exceed its budget of $0.0001" in forecast) == stops


def test_a_dry_run_and_the_plan_of_the_canary_expect_the_same(flow: Flow, tmp_path: Path) -> None:
    write_tickets(flow.database, [(f"L{number}", "word " * 4_000) for number in range(20)])
    prepare(flow, tmp_path)
    flow.run_all()
    write_tickets(flow.database, [(f"S{number}", f"short {number}") for number in range(20)])
    flow.folder = flow.run("manual__2")
    extract(flow)
    forecast = dry_run(flow.folder, lake=flow.lake)
    limit(
        flow, budget_usd=sum((cost(one.estimate).high for one in forecast.passes.values() if one.estimate), Decimal(0))
    )
    assert dry_run(flow.folder, lake=flow.lake).over_budget is None
    assert flow.plan(passes.CANARY)


def test_what_others_have_spent_is_not_the_runs(twenty: Flow, tmp_path: Path) -> None:
    prepare(twenty, tmp_path)
    twenty.run_all()
    true = sum((line["cost_usd"] for line in booked(twenty)), Decimal(0))
    twenty.folder = twenty.run("manual__2")
    prepare(twenty, tmp_path, f", budget_usd: {2 * true}")
    twenty.pipeline = twenty.pipeline.for_run(RunOptions(reuse=False))
    extract(twenty)
    assert twenty.plan(passes.CANARY)


def test_a_budget_that_is_enough_stops_nothing(twenty: Flow, tmp_path: Path) -> None:
    prepare(twenty, tmp_path, ", budget_usd: 1, monthly_budget_usd: 2")
    assert twenty.run_all().published == 20


class TestTwoRunsOfAMonth:
    """Each fits the budget by itself, and both together do not; each has planned before the other has sent."""

    @pytest.fixture
    def second(self, twenty: Flow, tmp_path: Path) -> Flow:
        """The second run; ``twenty`` is the first."""
        prepare(twenty, tmp_path)
        twenty.plan(passes.MAIN)
        (whole,) = reserved(twenty).values()
        limits = f", monthly_budget_usd: {whole * Decimal('1.5')}"
        prepare(twenty, tmp_path, limits)
        other = replace(twenty, folder=twenty.run("manual__2"))
        prepare(other, tmp_path, limits, system="Label it otherwise.")
        return other

    def test_the_one_that_sends_later_is_stopped(self, twenty: Flow, second: Flow) -> None:
        (first_chunk,), (second_chunk,) = twenty.plan(passes.MAIN), second.plan(passes.MAIN)
        twenty.emulator.set_faults([{"kind": "duration", "seconds": 3600}])
        twenty.submit(first_chunk)
        with pytest.raises(
            BudgetExceeded, match=r"(?s)in \w+ \d{4} could exceed its budget.*in flight \$0\.0.*Nothing was sent"
        ):
            second.submit(second_chunk)
        assert twenty.requests_sent() == 20
        limit(second, monthly_budget_usd=Decimal(1))
        second.submit(second_chunk)
        assert twenty.requests_sent() == 40

    def test_while_one_is_being_sent_the_other_comes_back_later(self, twenty: Flow, second: Flow) -> None:
        (first_chunk,), (second_chunk,) = twenty.plan(passes.MAIN), second.plan(passes.MAIN)
        twenty.emulator.set_faults([{"kind": "duration", "seconds": 3600}])
        twenty.submit(first_chunk)
        known = twenty.ledger.find(layout.chunk_id_of(first_chunk))
        assert known
        sending = known.value.model_copy(update={"state": "submitting", "batch_id": None})
        twenty.ledger.write(sending, over=known)
        with pytest.raises(NotYet, match="Nothing was sent"):
            second.submit(second_chunk)
        assert twenty.requests_sent() == 20

    def test_what_was_never_sent_reserves_nothing(self, twenty: Flow, second: Flow) -> None:
        (chunk,) = twenty.plan(passes.MAIN)
        twenty.emulator.set_faults([{"kind": "http_error", "on": "create", "status": 413, "times": 1}])
        with pytest.raises(ApiError):
            twenty.submit(chunk)
        assert second.send(passes.MAIN) == {"succeeded": 20}

    def test_a_retry_pass_is_left_out_then_and_the_run_publishes(
        self, twenty: Flow, second: Flow, caplog: pytest.LogCaptureFixture
    ) -> None:
        for run in (twenty, second):
            limit(run, monthly_budget_usd=Decimal(1), max_reject_ratio=1.0)
        twenty.emulator.set_faults([{"kind": "violates_schema", "times": 1}])
        twenty.send(passes.MAIN)
        (repair,) = twenty.plan("retry")
        limit(twenty, monthly_budget_usd=sum((line["cost_usd"] for line in booked(twenty)), Decimal(0)))
        with pytest.raises(NotSent, match="The retry pass continues without chunk"):
            twenty.submit(repair)
        assert (twenty.publish().rejected, twenty.requests_sent()) == (20, 20)

    def test_what_one_cannot_pay_for_the_other_sends(self, twenty: Flow, second: Flow) -> None:
        """Both have planned the same repairs, and each has a budget of its own."""
        for run in (twenty, second):
            limit(run, monthly_budget_usd=Decimal(1), max_reject_ratio=1.0)
        twenty.emulator.set_faults([{"kind": "violates_schema", "times": 1}])
        twenty.send(passes.MAIN)
        third = replace(twenty, folder=twenty.run("manual__3"))
        extract(third)
        (repair,) = twenty.plan("retry")
        assert third.plan("retry") == [repair]
        limit(twenty, monthly_budget_usd=sum((line["cost_usd"] for line in booked(twenty)), Decimal(0)))
        with pytest.raises(NotSent, match="The retry pass continues without chunk"):
            twenty.submit(repair)
        assert third.load(repair) == {"succeeded": 20}
        assert third.publish().published == 20


def test_the_chunks_of_a_pass_that_fits_the_month_fit_it_too(twenty: Flow, tmp_path: Path) -> None:
    """An average of seven answers may be further off than one of twenty."""
    write_tickets(twenty.database, [(f"M{number}", f"Another {number}") for number in range(60)])
    prepare(twenty, tmp_path)
    limit(twenty, canary_rows=20, batch_requests=7)
    twenty.send(passes.CANARY)
    twenty.plan(passes.MAIN)
    whole = cost(estimated(twenty, passes.MAIN)).high
    spent = sum((line["cost_usd"] for line in booked(twenty)), Decimal(0))
    limit(twenty, monthly_budget_usd=spent + whole)
    chunks = twenty.plan(passes.MAIN)
    assert 0 <= whole - sum(usd for usd in reserved(twenty).values() if usd) < Decimal("0.0001")
    twenty.emulator.set_faults([{"kind": "duration", "seconds": 3600}])
    assert len({twenty.submit(chunk) for chunk in chunks}) == len(chunks) > 5


def test_what_was_booked_this_month_counts(twenty: Flow, tmp_path: Path) -> None:
    prepare(twenty, tmp_path)
    twenty.run_all()
    true = sum((line["cost_usd"] for line in booked(twenty)), Decimal(0))
    twenty.folder = twenty.run("manual__2")
    prepare(twenty, tmp_path, f", monthly_budget_usd: {true}", system="Label it otherwise.")
    with pytest.raises(BudgetExceeded, match=r"limits\.monthly_budget_usd"):
        twenty.plan(passes.CANARY)


def test_a_chunk_that_is_booked_is_not_counted_twice(twenty: Flow, tmp_path: Path) -> None:
    prepare(twenty, tmp_path, ", monthly_budget_usd: 100")
    for name in (passes.CANARY, passes.MAIN):
        twenty.send(name)
    true = sum((line["cost_usd"] for line in booked(twenty)), Decimal(0))
    twenty.folder = twenty.run("manual__2")
    # Room for the high estimate of the same once more, but not for a reservation of what has landed as well.
    prepare(twenty, tmp_path, f", monthly_budget_usd: {true * 3}", system="Label me.")
    assert twenty.plan(passes.CANARY)
