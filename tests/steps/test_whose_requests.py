"""Property: whatever runs, options and failures there are, a run sends its own rows once, and within its own budget."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from unittest import mock

import anthropic
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from include.enrichment import layout, submission
from include.enrichment.errors import EnrichmentError, NotSent, NotYet
from include.enrichment.ledger import Entry
from include.gateways.claude import Claude
from include.gateways.lake import Lake
from include.steps.chunks import request_ids_of
from include.steps.extract import fetch_rows, read_request_ids
from tests.fixtures.emulator import Emulator
from tests.fixtures.flow import Flow, another_run, write_tickets

FAILURES: dict[str, list[dict[str, Any]]] = {
    "none": [],
    "too large": [{"kind": "http_error", "on": "create", "status": 413, "times": 1}],
    "spend limit": [
        {"kind": "http_error", "on": "create", "status": 429, "error_code": "enforced_spend_limit_reached", "times": 1}
    ],
    "rate limit": [{"kind": "http_error", "on": "create", "status": 429, "times": 1}],
    "lost before": [{"kind": "reset_before_create", "times": 1}],
    "lost after": [{"kind": "reset_after_create", "times": 1}],
}
ROWS = 18


@dataclass(frozen=True, kw_only=True)
class Plot:
    """
    What one run does.

    :param submits: so many of its chunks are submitted before the next run begins
    :param changed: so many rows of the warehouse say something else from then on
    """

    rows: int | None
    batch_requests: int
    budget_usd: Decimal | None
    failure: str
    submits: int
    changed: int

    @property
    def yaml(self) -> str:
        budget = "" if self.budget_usd is None else f", budget_usd: {self.budget_usd}"
        return f"limits: {{canary_rows: 0, batch_requests: {self.batch_requests}{budget}}}\n"


PLOTS = st.builds(
    Plot,
    rows=st.sampled_from([None, None, 3, 8]),
    batch_requests=st.sampled_from([4, 7, 100]),
    # Nothing, about five answers at the longest, all of them.
    budget_usd=st.sampled_from([None, Decimal("0.000001"), Decimal("0.003"), Decimal(1)]),
    failure=st.sampled_from(sorted(FAILURES)),
    submits=st.integers(0, 3),
    changed=st.sampled_from([0, 0, 2]),
)


@settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(plots=st.lists(PLOTS, min_size=2, max_size=4))
def test_a_run_sends_its_own_rows_once_and_within_its_own_budget(
    plots: list[Plot], flow: Flow, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder, emulator = tmp_path_factory.mktemp("plots"), flow.emulator.workspace()
    client = anthropic.Anthropic(api_key=emulator.api_key, base_url=emulator.url, max_retries=0)
    with (
        Claude(client, name="anthropic_default") as claude,
        mock.patch.object(submission, "LISTING_LAG", timedelta(0)),
        mock.patch.object(submission, "CREATE_WINDOW", timedelta(0)),
    ):
        play(plots, replace(flow, claude=claude, emulator=emulator), folder)


def play(plots: list[Plot], flow: Flow, folder: Path) -> None:
    flow.lake = Lake.in_folder(folder / "lake")
    flow.database = write_tickets(folder / "warehouse.db", [(f"N{n}", f"Ticket {n}") for n in range(ROWS)])
    begun: list[tuple[Flow, list[str]]] = []
    for number, plot in enumerate(plots):
        with closing(sqlite3.connect(flow.database)) as connection, connection:
            connection.execute("update tickets set body = body || '!' where rowid <= ?", (plot.changed,))
        run = another_run(flow, f"manual__{number}", folder, plot.yaml, rows=plot.rows)
        flow.emulator.set_faults(FAILURES[plot.failure])
        chunks: list[str] = []
        with suppress(EnrichmentError):
            chunks = run.plan()
        for chunk in chunks[: plot.submits]:
            with suppress(EnrichmentError):
                run.submit(chunk)
        begun.append((run, chunks))
    flow.emulator.set_faults([])
    for run, chunks in begun:  # each is cleared where it failed, and goes on to its end
        finish(run, chunks)
        with suppress(EnrichmentError):
            finish(run, run.plan("retry"))
    check(plots, [run for run, _ in begun], flow.emulator)


def finish(run: Flow, chunks: list[str]) -> None:
    for chunk in chunks:
        for _ in range(3):
            with suppress(NotYet, NotSent):
                run.load(chunk)
                break


def check(plots: list[Plot], runs: list[Flow], emulator: Emulator) -> None:
    flow = runs[0]
    keys = [key for key in flow.lake.list("ledger/tickets/") if key != layout.open_chunks("tickets")]
    entries = [Entry.model_validate_json(flow.lake.read(key)) for key in keys]
    bills = {bill["id"]: Decimal(bill["usd"]) for bill in emulator.bills()["bills"]}
    sent: list[str] = []
    cost: defaultdict[str, Decimal] = defaultdict(Decimal)
    for entry in entries:
        if not entry.batch_id:
            continue
        (run,) = [run for run in runs if run.folder.run_id == entry.run_id]
        request_ids = request_ids_of(flow.lake, entry.chunk)
        assert set(request_ids) <= own(run), f"{entry.run_id} sent what is not its own"
        sent += request_ids
        cost[entry.run_id] += bills.get(entry.batch_id, Decimal(0))
    assert len(sent) == len(set(sent)) == flow.requests_sent(), "a request was sent twice, or by nobody"
    for plot, run in zip(plots, runs, strict=True):
        if plot.budget_usd is not None:
            assert cost[run.folder.run_id] <= plot.budget_usd, f"{run.folder.run_id} spent more than its budget"
        if plot.rows is not None:
            assert len(own(run)) == plot.rows


def own(run: Flow) -> set[str]:
    """The requests of the run's rows."""
    fetch_rows(run.lake, run.folder, path := Path(str(run.database) + ".rows"))
    return read_request_ids(path)
