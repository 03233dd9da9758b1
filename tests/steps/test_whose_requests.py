"""
Property: whatever runs, options, failures and kills there are, a request is sent once, by a run that wants it and
within its budget and the month's; and a run that is cleared goes on to its end, with every row.
"""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
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

from include.enrichment.batches import submission
from include.enrichment.batches.ledger import Entry
from include.enrichment.errors import BudgetExceeded, EnrichmentError, LoadError, NotYet
from include.enrichment.storage import layout
from include.gateways.claude import Claude
from include.gateways.lake import Lake
from include.gateways.ledger_store import Ledger
from include.gateways.result_store import ResultStore
from include.steps.files.chunk_files import request_ids_of
from include.steps.files.extracted import fetch_rows, read_request_ids
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
    "expired": [{"kind": "expired", "share": 0.5, "times": 1}],
    "invalid": [{"kind": "violates_schema", "share": 0.5, "times": 1}],
}
ROWS = 18


class Killed(BaseException):
    """The process ends here."""


@dataclass(frozen=True, kw_only=True)
class Plot:
    """
    What one run does.

    :param submits: how many of its chunks are submitted before the next run begins
    :param changed: how many rows of the warehouse change then
    :param dies_at: its process ends at that write of the ledger; even: before it, odd: after it
    :param goes_on: its results are loaded and its retry pass is planned before the next run begins
    :param stale: in the end the chunks of its first plan are submitted once more, as by a process thought dead
    """

    rows: int | None
    canary_rows: int
    batch_requests: int
    budget_usd: Decimal | None
    reuse: bool
    samples: int
    failure: str
    submits: int
    changed: int
    dies_at: int | None
    goes_on: bool
    stale: bool

    def yaml(self, month: Decimal | None) -> str:
        limits = {
            "canary_rows": self.canary_rows,
            "batch_requests": self.batch_requests,
            "max_reject_ratio": 1,
            "budget_usd": self.budget_usd and float(self.budget_usd),
            "monthly_budget_usd": month and float(month),
        }
        given = {name: limit for name, limit in limits.items() if limit is not None}
        return f"limits: {json.dumps(given)}\nsamples: {self.samples}\nreuse: {json.dumps(self.reuse)}\n"

    @property
    def passes(self) -> list[str]:
        return [*(["canary"] if self.canary_rows else []), "main", "retry"]


PLOTS = st.builds(
    Plot,
    rows=st.sampled_from([None, None, 3, 8]),
    canary_rows=st.sampled_from([0, 0, 3]),
    batch_requests=st.sampled_from([4, 7, 100]),
    budget_usd=st.sampled_from([None, None, Decimal("0.000001"), Decimal("0.003"), Decimal(1)]),
    reuse=st.sampled_from([True, True, True, False]),
    samples=st.sampled_from([1, 1, 1, 2]),
    failure=st.sampled_from(sorted(FAILURES)),
    submits=st.integers(0, 4),
    changed=st.sampled_from([0, 0, 2]),
    dies_at=st.one_of(st.none(), st.integers(0, 25)),
    goes_on=st.booleans(),
    stale=st.booleans(),
)
MONTHS = st.sampled_from([None, None, Decimal("0.004"), Decimal("0.02")])


@contextmanager
def dying(at: int | None) -> Iterator[None]:
    writes = 0
    real = Ledger._write

    def write(self: Ledger, key: str, value: Any, over: Any) -> Any:
        nonlocal writes
        now, writes = writes, writes + 1
        if at is not None and now > at // 2:
            raise Killed
        if at is not None and now == at // 2 and at % 2 == 0:
            raise Killed
        found = real(self, key, value, over)
        if at is not None and now == at // 2:
            raise Killed
        return found

    with mock.patch.object(Ledger, "_write", write):
        yield


@settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(plots=st.lists(PLOTS, min_size=2, max_size=4), month=MONTHS)
def test_a_run_sends_its_own_rows_once_and_within_its_own_budget(
    plots: list[Plot], month: Decimal | None, flow: Flow, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder, emulator = tmp_path_factory.mktemp("plots"), flow.emulator.workspace()
    client = anthropic.Anthropic(api_key=emulator.api_key, base_url=emulator.url, max_retries=0)
    with (
        Claude(client, name="anthropic_default") as claude,
        mock.patch.object(submission, "LISTING_LAG", timedelta(0)),
        mock.patch.object(submission, "CREATE_WINDOW", timedelta(0)),
    ):
        play(plots, month, replace(flow, claude=claude, emulator=emulator), folder)


def play(plots: list[Plot], month: Decimal | None, flow: Flow, folder: Path) -> None:
    flow.lake = Lake.in_folder(folder / "lake")
    flow.database = write_tickets(folder / "warehouse.db", [(f"N{n}", f"Ticket {n}") for n in range(ROWS)])
    begun: list[tuple[Plot, Flow, list[str]]] = []
    for number, plot in enumerate(plots):
        with closing(sqlite3.connect(flow.database)) as connection, connection:
            connection.execute("update tickets set body = body || '!' where rowid <= ?", (plot.changed,))
        run = another_run(flow, f"manual__{number}", folder, plot.yaml(month), rows=plot.rows)
        flow.emulator.set_faults(FAILURES[plot.failure])
        chunks: list[str] = []
        with suppress(Killed), dying(plot.dies_at):
            for name in plot.passes:
                here: list[str] = []
                with suppress(EnrichmentError):
                    here = run.plan(name)
                    chunks += here
                for chunk in here[: plot.submits]:
                    with suppress(EnrichmentError):
                        run.submit(chunk)
                        if plot.goes_on or name == "canary":
                            run.load(chunk)
                if not plot.goes_on and name == "main":
                    break
        begun.append((plot, run, chunks))
    flow.emulator.set_faults([])
    for plot, run, chunks in begun:  # each is cleared where it failed, and goes on to its end
        if plot.stale:
            finish(run, chunks)
        end(plot, run)
        if plot.stale:
            finish(run, chunks)
    check(plots, month, [run for _, run, _ in begun], flow.emulator)


def finish(run: Flow, chunks: list[str]) -> None:
    for chunk in chunks:
        for _ in range(4):
            try:
                run.load(chunk)
            except NotYet:
                continue
            except EnrichmentError:
                pass
            break


def end(plot: Plot, run: Flow) -> None:
    """Cleared from the first plan, a run comes to its end, if its budgets allow it."""
    for _ in range(2):  # what another run was to send, and did not, is found by the next plan
        try:
            for name in plot.passes:
                finish(run, run.plan(name))
            manifest = run.publish()
        except BudgetExceeded:
            return
        except LoadError:
            continue
        assert manifest.published + manifest.rejected == manifest.rows
        return
    raise AssertionError(f"{run.folder.run_id} never ends")


def check(plots: list[Plot], month: Decimal | None, runs: list[Flow], emulator: Emulator) -> None:
    flow = runs[0]
    keys = [key for key in flow.lake.list("ledger/tickets/") if key != layout.open_chunks("tickets")]
    entries = [Entry.model_validate_json(flow.lake.read(key)) for key in keys]
    bills = {bill["id"]: Decimal(bill["usd"]) for bill in emulator.bills()["bills"]}
    sent: list[str] = []
    cost: defaultdict[str, Decimal] = defaultdict(Decimal)
    asked = 0
    rows_of = {run.folder.run_id: own(run) for run in runs}
    every_row = set[str]().union(*rows_of.values())
    for entry in entries:
        if not entry.batch_id:
            continue
        request_ids = request_ids_of(flow.lake, entry.chunk)
        asked += len(request_ids)
        sent += set(request_ids) - expired(entry, flow)
        # A repair is a request of no row.
        others = set(request_ids) & every_row - rows_of[entry.run_id]
        assert not others, f"{entry.run_id} sent what is not its own"
        cost[entry.run_id] += bills.get(entry.batch_id, Decimal(0))
    assert len(sent) == len(set(sent)), "a request was sent twice"
    assert asked == flow.requests_sent(), "sent by nobody"
    for plot, run in zip(plots, runs, strict=True):
        if plot.budget_usd is not None:
            assert cost[run.folder.run_id] <= plot.budget_usd, f"{run.folder.run_id} spent more than its budget"
    if month is not None:
        assert sum(bills.values()) <= month, "the month's budget is exceeded"


def expired(entry: Entry, flow: Flow) -> set[str]:
    """The requests of a batch that are rightly sent again, as they were not billed."""
    assert entry.batch_id
    if entry.state != "landed":
        return set()
    of = request_ids_of(flow.lake, entry.chunk)
    answers = ResultStore(flow.lake, pipeline="tickets").answers(entry.batch_id, of=of.array)
    return {line["request_id"] for line in answers.to_pylist() if line["outcome"] == "expired"}


def own(run: Flow) -> set[str]:
    """The requests of the run's rows."""
    fetch_rows(run.lake, run.folder, path := Path(str(run.database) + ".rows"))
    return set(read_request_ids(path))
