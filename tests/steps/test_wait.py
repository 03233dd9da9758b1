"""waiting.py: what a wait is for."""

from __future__ import annotations

from decimal import Decimal

import pytest

from include.enrichment.storage import layout
from include.steps.files.extracted import read_extracted
from include.steps.planning.plan_files import read_plan
from include.steps.wait import batch_contents, describe_wait
from tests.fixtures.flow import Flow


def test_a_batch_holds_the_chunks_requests_and_their_share_of_the_estimate(flow: Flow) -> None:
    flow.extract()
    (chunk,) = flow.plan()
    flow.submit(chunk)
    held = batch_contents(chunk, lake=flow.lake)
    plan = read_plan(flow.lake, flow.folder, "main", read_extracted(flow.lake, flow.folder).extracted_at)
    assert plan
    assert plan.estimate
    assert plan.estimate.cost_usd
    assert held == (3, plan.estimate.cost_usd.expected)


def test_another_run_that_waits_for_it_gets_the_same_error(flow: Flow) -> None:
    flow.emulator.set_faults([{"kind": "duration", "seconds": 3600}])
    flow.extract()
    (chunk,) = flow.plan()
    flow.submit(chunk)
    held = batch_contents(chunk, lake=flow.lake)
    flow.folder = flow.run("manual__2")
    flow.extract()
    assert flow.plan() == [chunk]
    flow.submit(chunk)
    assert batch_contents(chunk, lake=flow.lake) == held


def test_a_plan_that_cannot_be_read_leaves_the_cost_unknown(flow: Flow) -> None:
    flow.extract()
    (chunk,) = flow.plan()
    flow.submit(chunk)
    flow.lake.write(flow.folder.plan_json("main"), b"{}")
    assert batch_contents(chunk, lake=flow.lake) == (3, None)


def test_of_a_chunk_that_the_ledger_does_not_know_nothing_is_known(flow: Flow) -> None:
    assert batch_contents(layout.chunk("tickets", "x" * 22), lake=flow.lake) is None


@pytest.mark.parametrize(
    ("held", "facts"),
    [
        ((1_210, Decimal("0.0113")), "msgbatch_1: 1,210 requests, expected to cost $0.0113."),
        ((1, None), "msgbatch_1: 1 request."),
        (None, "msgbatch_1."),
    ],
)
def test_it_says_what_is_known_and_how_long_it_takes(held: tuple[int, Decimal | None] | None, facts: str) -> None:
    assert describe_wait("msgbatch_1", held) == (
        f"Waiting for batch {facts}\nMost batches end within an hour; the API's limit is 24 hours. No worker is held."
    )
