from __future__ import annotations

import secrets
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from include.enrichment.batches import submission
from include.enrichment.batches.ledger import Entry
from include.enrichment.errors import ApiError, BudgetExceeded, LakeError, NotSent, NotYet, SpecError
from include.enrichment.runs.partition import Partition
from include.enrichment.storage.layout import RunFolder, asked_id, chunk_id_of
from include.gateways.ledger_store import Ledger
from include.steps.files.chunk_files import read_chunk, request_ids_of
from include.steps.files.extracted import fetch_rows, read_extracted
from include.steps.plan import plan
from include.steps.planning.plan_files import read_plan
from tests.fixtures.flow import Flow, another_run, sizes, write_tickets
from tests.fixtures.lake import delete
from tests.fixtures.planning import change, change_request


def update(flow: Flow, sql: str) -> None:
    with closing(sqlite3.connect(flow.database)) as connection, connection:
        connection.execute(sql)


# What is paid and nobody reads


@pytest.mark.parametrize("reuse", [True, False])
def test_a_batch_of_the_day_that_this_run_does_not_read_is_reported_once(
    flow: Flow, tmp_path: Path, caplog: pytest.LogCaptureFixture, reuse: bool
) -> None:
    """Another prompt, or fresh answers in every run."""
    change(flow, tmp_path, f"reuse: {str(reuse).lower()}")
    flow.extract()
    (chunk,) = flow.plan("canary")
    batch_id = flow.submit(chunk)
    flow.folder = flow.run("manual__2")
    if reuse:
        change(flow, tmp_path, "reuse: true", user_md="Another: {{ body }}")
    flow.extract()
    for pass_name in ("canary", "main", "retry"):
        flow.plan(pass_name)
    warnings = [line for line in caplog.messages if batch_id in line]
    assert len(warnings) == 1
    assert "sent by run manual__1" in warnings[0]


def test_a_batch_that_this_run_reads_is_not_reported(flow: Flow, caplog: pytest.LogCaptureFixture) -> None:
    flow.extract()
    (chunk,) = flow.plan("canary")
    batch_id = flow.submit(chunk)
    flow.folder = flow.run("manual__2")
    flow.extract()
    for pass_name in ("canary", "main", "retry"):
        flow.plan(pass_name)
    assert not [line for line in caplog.messages if batch_id in line]


def test_a_batch_of_its_own_that_a_changed_prompt_leaves_unread_is_reported(
    flow: Flow, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    flow.extract()
    (chunk,) = flow.plan("canary")
    batch_id = flow.submit(chunk)
    change(flow, tmp_path, "", user_md="Another: {{ body }}")
    flow.extract()
    for pass_name in ("canary", "main", "retry"):
        flow.plan(pass_name)
    (warnings,) = [line for line in caplog.messages if batch_id in line]
    assert "The prompt, model or schema has changed since" in warnings


def test_a_pass_of_more_chunks_than_can_be_mapped_changes_nothing(twenty: Flow, tmp_path: Path) -> None:
    change(twenty, tmp_path, "limits: {batch_requests: 2}")
    twenty.extract()
    with pytest.raises(SpecError, match="needs 10 batches, and Airflow maps a task over at most 9"):
        plan(twenty.folder, pass_name="main", lake=twenty.lake, most_chunks=9)
    assert twenty.ledger.find_open() is None
    assert len(plan(twenty.folder, pass_name="main", lake=twenty.lake, most_chunks=10)) == 10


# Batches or synchronous requests


def planned(flow: Flow, pass_name: str = "main") -> tuple[list[str], list[str]]:
    """The chunks of a pass that are sent in batches, and those that are asked synchronously."""
    flow.plan(pass_name)
    made = read_plan(flow.lake, flow.folder, pass_name, read_extracted(flow.lake, flow.folder).extracted_at)
    assert made
    assert all(read_chunk(flow.lake, key).synchronous == (key in made.synchronous) for key in made.chunks)
    return [key for key in made.chunks if key not in made.synchronous], made.synchronous


def test_the_mode_is_chosen_for_each_pass(twenty: Flow, tmp_path: Path) -> None:
    change_request(twenty, tmp_path, "mode: auto", "limits: {canary_rows: 5, batch_requests: 8, synchronous_below: 16}")
    twenty.extract()
    batches, asked = planned(twenty, "canary")
    assert (len(batches), len(asked)) == (0, 1)
    batches, asked = planned(twenty)
    assert (len(batches), len(asked)) == (3, 0)


def test_synchronous_chunks_are_not_counted_as_mapped_tasks(twenty: Flow, tmp_path: Path) -> None:
    change_request(twenty, tmp_path, "mode: synchronous", "limits: {batch_requests: 8}")
    twenty.extract()
    assert len(plan(twenty.folder, pass_name="main", lake=twenty.lake, most_chunks=0)) == 3


def test_a_chunk_that_was_never_sent_is_taken_over_by_a_plan_in_the_other_mode(twenty: Flow, tmp_path: Path) -> None:
    (batch,), _ = planned(twenty)
    change_request(twenty, tmp_path, "mode: synchronous")
    twenty.extract()
    _, (asked,) = planned(twenty)
    assert asked != batch
    with pytest.raises(NotSent):
        twenty.submit(batch)
    assert planned(twenty) == ([], [asked])
    change_request(twenty, tmp_path, "mode: batch")
    twenty.extract()
    (again,), _ = planned(twenty)
    assert again not in (batch, asked)
    twenty.submit(again)
    assert twenty.requests_sent() == 20


def test_a_chunk_in_flight_keeps_its_mode(twenty: Flow, tmp_path: Path) -> None:
    change_request(twenty, tmp_path, "mode: synchronous")
    twenty.extract()
    _, (asked,) = planned(twenty)
    chunk_id = chunk_id_of(asked)
    now = datetime.now(UTC)
    entry = Entry.planned(chunk_id=chunk_id, pipeline="tickets", chunk=asked, requests=20, run_id="manual__1", at=now)
    twenty.ledger.write(entry.becomes("asking", at=now, batch_id=asked_id(chunk_id), asked_since=now), over=None)
    change_request(twenty, tmp_path, "mode: batch")
    twenty.extract()
    assert planned(twenty) == ([], [asked])


# What is answered or in flight is not sent


def test_planning_again_gives_the_same_chunks(twenty: Flow) -> None:
    assert twenty.plan() == twenty.plan()
    assert twenty.plan("canary") != []


def test_what_was_answered_and_paid_for_is_not_sent_by_any_run(twenty: Flow) -> None:
    twenty.send()
    for run_id in ("manual__1", "manual__2"):
        twenty.folder = twenty.run(run_id)
        twenty.extract()
        assert twenty.plan("canary") == twenty.plan() == twenty.plan("retry") == []


def test_of_rows_that_changed_only_those_are_sent(twenty: Flow) -> None:
    twenty.send()
    update(twenty, "update tickets set body = body || '!' where ticket in ('N1', 'N2', 'N3')")
    twenty.extract()
    assert sizes(twenty) == [3]


def test_what_is_in_flight_is_waited_for_and_only_the_rest_is_sent(twenty: Flow) -> None:
    twenty.emulator.set_faults([{"kind": "duration", "seconds": 3600}])
    (first,) = twenty.plan()
    twenty.submit(first)
    update(twenty, "update tickets set body = body || '!' where ticket in ('N1', 'N2', 'N3')")
    twenty.extract()
    joined, sent = twenty.plan()
    assert joined == first
    assert len(request_ids_of(twenty.lake, sent)) == 3
    twenty.submit(sent)
    assert twenty.requests_sent() == 23
    assert twenty.plan() == [joined, sent]


def test_a_runs_own_chunk_that_was_never_sent_is_withdrawn_when_its_rows_changed(twenty: Flow) -> None:
    (old,) = twenty.plan()
    update(twenty, "update tickets set body = body || '!' where ticket = 'N1'")
    twenty.extract()
    (new,) = twenty.plan()
    assert len(request_ids_of(twenty.lake, new)) == 20
    with pytest.raises(NotSent):
        twenty.submit(old)
    twenty.submit(new)
    assert twenty.requests_sent() == 20


def test_what_was_withdrawn_is_planned_again_under_another_id(twenty: Flow) -> None:
    """So a task that still holds the old one cannot send it as well."""
    (old,) = twenty.plan()
    update(twenty, "update tickets set body = body || '!' where ticket = 'N1'")
    twenty.extract()
    twenty.plan()
    update(twenty, "update tickets set body = replace(body, '!', '') where ticket = 'N1'")
    twenty.extract()
    (new,) = twenty.plan()
    assert new != old
    assert sorted(request_ids_of(twenty.lake, new)) == sorted(request_ids_of(twenty.lake, old))
    assert twenty.plan() == [new]
    with pytest.raises(NotSent):
        twenty.submit(old)
    twenty.submit(new)
    assert twenty.requests_sent() == 20


# What was never sent is nobody's


def test_a_trial_sends_its_own_rows_and_not_what_another_run_could_not_send(twenty: Flow, tmp_path: Path) -> None:
    twenty.emulator.set_faults([{"kind": "http_error", "on": "create", "status": 413, "times": 1}])
    (planned,) = twenty.plan()
    with pytest.raises(ApiError):
        twenty.submit(planned)
    trial = another_run(twenty, "trial", tmp_path, rows=3)
    trial.run_all("main")
    assert trial.requests_sent() == 3


def test_a_lower_limit_counts_for_what_could_not_be_sent(twenty: Flow, tmp_path: Path) -> None:
    twenty.emulator.set_faults([{"kind": "http_error", "on": "create", "status": 413, "times": 1}])
    (planned,) = twenty.plan()
    with pytest.raises(ApiError):
        twenty.submit(planned)
    later = another_run(twenty, "manual__2", tmp_path, "limits: {batch_requests: 8}")
    assert sizes(later) == [8, 8, 4]
    with pytest.raises(NotSent, match=r"20 requests\) was never sent\. Run manual__2 took it over"):
        twenty.submit(planned)
    assert later.send() == {"succeeded": 20}
    assert twenty.requests_sent() == 20


def test_a_budget_counts_for_what_another_run_could_not_send(twenty: Flow, tmp_path: Path) -> None:
    twenty.plan()
    later = another_run(twenty, "manual__2", tmp_path, "limits: {budget_usd: 0.000001}")
    with pytest.raises(BudgetExceeded):
        later.plan()


def test_a_plan_of_the_same_chunk_makes_it_both_runs(twenty: Flow, tmp_path: Path) -> None:
    (chunk,) = twenty.plan()
    later = another_run(twenty, "manual__2", tmp_path)
    assert later.plan() == [chunk]
    assert later.submit(chunk) == twenty.submit(chunk)
    assert twenty.requests_sent() == 20


def test_where_nothing_is_left_the_retry_pass_waits_for_what_others_have_sent(twenty: Flow, tmp_path: Path) -> None:
    (chunk,) = twenty.plan()
    other = another_run(twenty, "manual__2", tmp_path, "limits: {batch_requests: 8}")
    sent = other.plan()
    for each in sent:
        other.submit(each)
    with pytest.raises(NotSent):
        twenty.submit(chunk)
    assert sorted(twenty.plan("retry")) == sorted(sent)
    for each in sent:
        twenty.load(each)
    assert twenty.publish().published == 20


def test_what_others_took_from_the_canary_is_no_canary(twenty: Flow, tmp_path: Path) -> None:
    """The main pass sends the requests that the canary had to send and did not."""
    twenty.plan("canary")
    other = another_run(twenty, "manual__2", tmp_path, "limits: {batch_requests: 2}")
    other.plan()
    assert len({each for key in twenty.plan() for each in request_ids_of(twenty.lake, key)}) == 20


def test_plans_made_at_the_same_moment_never_send_the_same_request_twice(
    twenty: Flow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four runs with overlapping rows plan, send and load at once."""
    monkeypatch.setattr(submission, "SOON", timedelta(seconds=0.05))
    runs = []
    for number in range(4):
        update(twenty, f"update tickets set body = body || '!' where ticket = 'N{number}'")
        runs.append(replace(twenty, folder=twenty.run(f"manual__{number}")))
        runs[-1].extract()

    def whole(run: Flow) -> None:
        for pass_name in ("main", "retry"):
            for chunk in run.plan(pass_name):
                with suppress(NotSent):
                    patiently(run.load, chunk)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(whole, runs))
    assert twenty.requests_sent() == 23
    # What another run has just sent is there by now.
    for run in runs:
        assert run.plan("retry") == []
        assert run.publish().published == 20


def patiently(step: Callable[[str], object], chunk: str) -> None:
    """As Airflow does: again, when the step says so."""
    while True:
        try:
            step(chunk)
        except NotYet as later:
            time.sleep(max(0.0, (later.again_at - datetime.now(UTC)).total_seconds()))
        else:
            return


def test_without_reuse_each_run_sends_all_requests_and_its_cleared_task_does_not(twenty: Flow, tmp_path: Path) -> None:
    change(twenty, tmp_path, "reuse: false")
    for run_id in ("manual__2", "manual__3"):
        twenty.folder = twenty.run(run_id)
        twenty.extract()
        assert sizes(twenty) == [20]
        twenty.send()
        twenty.extract()
        assert twenty.plan() == []


def test_samples_are_requests_of_their_own_and_only_new_ones_are_paid_for(twenty: Flow, tmp_path: Path) -> None:
    twenty.send()
    change(twenty, tmp_path, "samples: 3")
    twenty.extract()
    assert sizes(twenty) == [40]


def test_the_plan_shows_what_it_found(twenty: Flow) -> None:
    twenty.send("canary")
    twenty.emulator.set_faults([{"kind": "duration", "seconds": 3600}])
    twenty.submit(*twenty.plan())
    write_tickets(twenty.database, [("late", "Late")])
    twenty.folder = twenty.run("manual__2")
    twenty.extract()
    twenty.plan()
    extracted_at = read_extracted(twenty.lake, twenty.folder).extracted_at
    made = read_plan(twenty.lake, twenty.folder, "main", extracted_at)
    assert made is not None
    assert (made.requests, made.to_send, made.in_flight, len(made.batches)) == (21, 1, 15, 1)


@pytest.fixture
def conflicts(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Lets another plan be made just before this one is committed."""
    write_open = Ledger.write_open

    def arrange(other: Callable[[], object]) -> None:
        def late(self: Ledger, *arguments: object, **options: object) -> None:
            monkeypatch.setattr(Ledger, "write_open", write_open)
            other()
            write_open(self, *arguments, **options)  # type: ignore[arg-type]

        monkeypatch.setattr(Ledger, "write_open", late)

    return arrange


def test_a_batch_that_lands_while_a_plan_is_made_is_not_sent_again(
    twenty: Flow, conflicts: Callable[[Callable[[], object]], None]
) -> None:
    other = Flow(**{**vars(twenty), "folder": twenty.run("manual__2")})
    other.extract()
    conflicts(lambda: other.send())
    assert twenty.plan() == []
    assert twenty.requests_sent() == 20


def test_partitions_of_the_same_dag_run_do_not_withdraw_each_others_chunks(twenty: Flow) -> None:
    write_tickets(twenty.database, [("day 2", "Another")], day="2026-11-02")
    (first,) = twenty.plan()
    other = RunFolder(pipeline="tickets", partition=Partition(start=date(2026, 11, 2)), run_id=twenty.folder.run_id)
    neighbour = Flow(**{**vars(twenty), "folder": other})
    neighbour.extract()
    (second,) = neighbour.plan()
    twenty.submit(first)
    neighbour.submit(second)
    assert twenty.requests_sent() == 21


@pytest.mark.parametrize("damage", [None, b"", b"garbage"])
def test_rows_that_are_gone_or_damaged_are_reported_with_the_task_to_clear(twenty: Flow, damage: bytes | None) -> None:
    if damage is None:
        delete(twenty.lake, twenty.folder.rows)
    else:
        twenty.lake.write(twenty.folder.rows, damage)
    with pytest.raises(LakeError, match=r"rows\.parquet cannot be read.*Clear the run's `extract`") as caught:
        twenty.plan()
    assert not caught.value.retryable


PLANNING = """
import sys, resource
from pathlib import Path

from include.enrichment.storage.layout import RunFolder
from include.gateways.lake import Lake
from include.steps.plan import plan
from tests.fixtures.flow import DAY

most = []
for run_id in ("small", "large"):
    folder = RunFolder(pipeline="tickets", partition=DAY, run_id=run_id)
    plan(folder, pass_name="main", lake=Lake.in_folder(Path(sys.argv[1])))
    most.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
print(most[1] - most[0])
"""


def test_memory_grows_by_far_less_than_the_ids_of_the_requests_as_python_strings(flow: Flow, tmp_path: Path) -> None:
    """200,000 more requests, in a fresh process, which has no freed memory to reuse."""
    for run_id, rows in (("small", 20_000), ("large", 220_000)):
        flow.folder = flow.run(run_id)
        flow.extract()
        fetch_rows(flow.lake, flow.folder, path := tmp_path / "rows.parquet")
        values = {"ticket": range(rows), "request_id": (secrets.token_urlsafe(16) for _ in range(rows))}
        schema = pq.read_schema(path)
        columns = [
            pa.array(map(str, values[name]), pa.string())
            if name in values
            else pa.array(["x" * 100] * rows if name == "params" else [None] * rows, schema.field(name).type)
            for name in schema.names
        ]
        pq.write_table(pa.table(columns, schema), path, row_group_size=1_000)
        flow.lake.write_file(flow.folder.rows, path)
    command = [sys.executable, "-c", PLANNING, str(tmp_path / "lake")]
    grown = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1]
    assert int(grown) * (1 if sys.platform == "darwin" else 1_024) < 20_000_000
