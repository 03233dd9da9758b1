"""The messages at the end of a run."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest

from include.cli.exit_codes import NOT_PUBLISHED, PUBLISHED, SUPERSEDED
from include.cli.output.end_of_run import End, Failure, addresses, cost, end_of_run, next_step, success
from include.cli.output.published_day import Published
from include.enrichment.answers.manifest import Manifest
from include.enrichment.runs.options import RunOptions
from include.enrichment.spec.pipeline_folder import load_pipeline
from include.enrichment.storage import layout
from include.enrichment.storage.version import parse
from include.stack.folder import StackFolder
from include.stack.stack import new_stack
from include.steps.dry_run import dry_run
from tests.fixtures.flow import DAY, FILES, Flow, write_pipeline


@pytest.mark.parametrize(
    ("usd", "simulated", "words"),
    [
        (Decimal("0.01234"), True, "simulated cost $0.0123"),
        (Decimal("0.01234"), False, "cost $0.0123"),
        (None, False, "cost an unknown amount"),
    ],
)
def test_a_cost_that_nobody_is_billed_for_is_called_simulated(usd: Decimal | None, simulated: bool, words: str) -> None:
    assert cost(Manifest.model_construct(cost_usd=usd), simulated=simulated) == words


def test_the_cost_of_a_run_names_its_synchronous_part() -> None:
    manifest = Manifest.model_construct(cost_usd=Decimal(3), synchronous_cost_usd=Decimal(2))
    assert cost(manifest, simulated=False) == "cost $3.0000 ($2.0000 of it synchronous)"


def ended(flow: Flow, state: str = "success", *failures: Failure) -> End:
    return end_of_run(flow.folder, flow.lake, state=state, failures=failures, seconds=7)


def test_a_published_run_says_what_it_published_and_where(flow: Flow) -> None:
    flow.run_all()
    end = ended(flow)
    assert end.status == PUBLISHED
    summary, table, rejects = end.text.splitlines()
    assert summary.startswith("Published tickets 2026-11-01 in 7 s: 3 rows, 3 published, 0 rejected; simulated cost ")
    assert summary.endswith("; 3 requests sent, answers from 1 batch, 0 from earlier runs.")
    assert table.split() == ["table", flow.lake.locate("tables/tickets/dt=2026-11-01/data.parquet")]
    assert rejects.split() == ["rejects", flow.lake.locate("rejects/tickets/dt=2026-11-01/data.parquet")]


def test_a_run_that_keeps_the_best_says_how_many_answers_it_did_not_keep_and_where_they_are(
    flow: Flow, tmp_path: Path
) -> None:
    yaml = FILES["pipeline.yaml"] + "samples: 2\nkeep: {best: len(topic)}\n"
    flow.pipeline = load_pipeline(write_pipeline(tmp_path / "kept" / "tickets", pipeline_yaml=yaml))
    flow.run_all("main")
    summary, *_, samples = ended(flow).text.splitlines()
    assert "6 rows, 3 published, 0 rejected, 3 not kept; simulated cost" in summary
    assert samples.split() == ["samples", flow.lake.locate("samples/tickets/dt=2026-11-01/data.parquet")]


@pytest.mark.parametrize("reuse", [True, False])
def test_a_superseded_run_has_its_own_status_and_names_the_newer_rows(flow: Flow, reuse: bool) -> None:
    flow.pipeline = flow.pipeline.for_run(RunOptions(reuse=reuse))
    older, newer = flow.folder, flow.run("manual__2")
    flow.extract()
    flow.send()
    flow.folder = newer
    flow.run_all("main")
    flow.folder = older
    flow.publish()
    end = ended(flow)
    assert end.status == SUPERSEDED
    assert end.text.startswith(
        "NOT published by this run: tickets 2026-11-01 has newer rows, and they stay. Run manual__2"
    )
    assert "Published: 3 rows, 3 published" in end.text
    assert "Nothing failed" in end.text
    assert ("it pays for every row again" in end.text) != reuse
    assert "Correct the cause" not in end.text


def test_a_trial_says_where_its_rows_are(flow: Flow) -> None:
    flow.pipeline = flow.pipeline.for_run(RunOptions(rows=2))
    flow.run_all("main")
    end = ended(flow)
    assert end.status == PUBLISHED
    assert "Trial of tickets 2026-11-01 in 7 s, published in the run's own folder" in end.text
    assert "2 rows, 2 published" in end.text
    assert flow.lake.locate(flow.folder.table) in end.text
    assert flow.lake.locate(flow.folder.rejects) in end.text


def test_a_dry_run_shows_its_estimate(flow: Flow) -> None:
    flow.pipeline = flow.pipeline.for_run(RunOptions(dry_run=True))
    flow.extract()
    dry_run(flow.folder, lake=flow.lake)
    end = ended(flow)
    assert end.status == PUBLISHED
    assert "Dry run of tickets 2026-11-01: nothing was sent or published." in end.text
    assert "3 rows of 2026-11-01" in end.text


def test_a_failed_run_says_why_and_what_is_still_published(flow: Flow) -> None:
    flow.run_all()
    flow.folder = flow.run("manual__2")
    end = ended(flow, "failed", Failure(task="main.plan", tries=3, reason="SpecError: no"))
    assert end.status == NOT_PUBLISHED
    fact, why, left, *_, step = end.text.splitlines()
    assert fact == "NOT published: tickets 2026-11-01. The run ended with state failed after 7 s."
    assert why == "main.plan failed (tried 3 times): SpecError: no"
    assert left.startswith("The day is still published as run manual__1 left it: 3 rows, 3 published")
    assert step == (
        "Fix the cause, then run the same command again. It reads the pipeline again, resumes the run and pays for"
        " nothing twice."
    )


@pytest.mark.parametrize("remedy", ["Clear this task.", "then clear `extract` with downstream."])
@pytest.mark.parametrize("started", [True, False])
def test_advice_to_clear_a_task_is_translated_for_the_command(remedy: str, started: bool) -> None:
    assert next_step(remedy, started=started).endswith(" This is the same as clearing the task in Airflow.")
    assert "clearing" not in next_step("an unclear answer", started=started)


def test_a_successful_run_that_published_nothing_says_so(flow: Flow) -> None:
    flow.extract()
    end = ended(flow)
    assert end.status == NOT_PUBLISHED
    assert "none of its tasks published the day" in end.text


def test_a_demo_ends_with_rows_rejects_and_commands_to_copy(tmp_path: Path, flow: Flow) -> None:
    flow.run_all()
    rejects = pa.table({"ticket": ["T9"], "outcome": ["invalid"], "reason": ["refused"]})
    published = Published(
        manifest=parse(Manifest, flow.lake.read(layout.manifest("tickets", DAY)), "manifest"),
        table=flow.published(),
        rejects=rejects,
    )
    text = success(published)
    assert all(shown in text for shown in ("T1", "T2", "T3", "topic", "urgent", "T9", "refused"))
    stack = new_stack(StackFolder(path=tmp_path), real_api=False, processing_seconds=5)
    assert "make show PIPELINE=tickets PARTITION=2026-11-01 REJECTS=1" in addresses(stack, published)
    assert max(map(len, addresses(stack, published).splitlines())) < 100
