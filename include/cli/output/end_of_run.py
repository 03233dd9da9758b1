"""The messages at the end of a run: the published rows, or what failed and the next step."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import httpx2

from include.cli.exit_codes import NOT_PUBLISHED, NOT_STARTED, PUBLISHED, SUPERSEDED
from include.cli.output.published_day import Published, published
from include.cli.output.rows_table import heading, not_kept, rows_table
from include.enrichment.answers.manifest import Manifest
from include.enrichment.batches.pass_plan import count_batches
from include.enrichment.cost.forecast import DryRun
from include.enrichment.cost.prices import format_usd
from include.enrichment.storage import layout
from include.enrichment.storage.layout import RunFolder
from include.enrichment.storage.version import parse
from include.gateways.lake import Lake
from include.stack.airflow_api import AirflowApi, TaskInstance
from include.stack.stack import Stack
from include.steps.files.extracted import read_extracted, read_pipeline

SHOWN_ROWS = 5
SHOWN_LOG_LINES = 25
#: The next step after a failed run.
RESUME = (
    "Fix the cause, then run the same command again. It reads the pipeline again, resumes the run and pays for nothing"
    " twice."
)


def success(published: Published) -> str:
    """Return what was published: the counts, the first rows and the first rejects."""
    parts = [heading(published.manifest), rows_table(published.table.slice(0, SHOWN_ROWS), rejects=False)]
    if published.rejects.num_rows:
        parts += ["Rejects:", rows_table(published.rejects.slice(0, SHOWN_ROWS), rejects=True)]
    return "\n".join(["", *parts])


def cost(manifest: Manifest, *, simulated: bool) -> str:
    """
    Return the cost of the run.

    :param simulated: the emulator answered, so nothing is billed
    """
    asked_usd = manifest.synchronous_cost_usd
    part = f" ({format_usd(asked_usd)} of it synchronous)" if asked_usd else ""
    return f"{'simulated cost' if simulated else 'cost'} {format_usd(manifest.cost_usd)}{part}"


@dataclass(frozen=True, kw_only=True)
class End:
    """The end of a `make run`: its exit status and its message."""

    status: int
    text: str


@dataclass(frozen=True, kw_only=True)
class Failure:
    """
    Why a task failed.

    :param tries: the number of tries
    :param reason: the message of an error of ours; the stack trace of any other error
    """

    task: str
    tries: int
    reason: str

    def __str__(self) -> str:
        tried = f" (tried {self.tries} times)" if self.tries > 1 else ""
        return f"{self.task} failed{tried}: {self.reason}"


def next_step(reason: str, *, started: bool) -> str:
    """
    Return the next step after a failed `make run`.

    Some error messages tell the user to clear a task, which only Airflow can do: the step names the alternative.

    :param reason: the messages of the errors
    """
    step = RESUME if started else NOT_STARTED
    if re.search(r"\bclear", reason, re.IGNORECASE):
        step += " This is the same as clearing the task in Airflow."
    return step


def end_of_run(run: RunFolder, lake: Lake, *, state: str, failures: Sequence[Failure], seconds: float) -> End:
    """
    Return how a foreground run ended and what is published now. Raises LakeError if the lake cannot be read.

    :param state: Airflow's state of the run
    """
    name = f"{run.pipeline} {run.partition}"
    manifest = published(run.pipeline, run.partition, lake)
    if state != "success":
        reasons = [str(failure) for failure in failures]
        lines = [f"NOT published: {name}. The run ended with state {state} after {seconds:.0f} s.", *reasons]
        if manifest:
            lines.append(f"The day is still published as run {manifest.run_id} left it: {_counts(manifest)}")
        return End(status=NOT_PUBLISHED, text="\n".join([*lines, next_step(" ".join(reasons), started=True)]))
    if manifest and manifest.run_id == run.run_id:
        return End(status=PUBLISHED, text=f"Published {name} in {seconds:.0f} s: {_counts(manifest)}")
    pipeline = read_pipeline(lake, run)
    if pipeline.options.dry_run:
        forecast = parse(DryRun, lake.read(run.dry_run_json), lake.locate(run.dry_run_json))
        return End(status=PUBLISHED, text=f"Dry run of {name}: nothing was sent or published.\n{forecast.table()}")
    if pipeline.options.rows:
        trial = parse(Manifest, lake.read(run.manifest), lake.locate(run.manifest))
        return End(
            status=PUBLISHED,
            text=f"Trial of {name} in {seconds:.0f} s, published in the run's own folder; the day's table is unchanged:"
            f" {_counts(trial)}",
        )
    extracted_at = read_extracted(lake, run).extracted_at
    if manifest and manifest.extracted_at > extracted_at:
        return End(status=SUPERSEDED, text=_superseded(name, manifest, extracted_at, reuse=pipeline.settings.reuse))
    return End(
        status=NOT_PUBLISHED,
        text=f"NOT published: {name}. The run succeeded, but none of its tasks published the day. Check `publish` in"
        f" dags/{run.pipeline}.py.",
    )


def _superseded(name: str, newer: Manifest, extracted_at: datetime, *, reuse: bool) -> str:
    again = "reads the warehouse again and publishes those rows"
    if not reuse:
        again += "; with reuse: false it pays for every row again"
    return (
        f"NOT published by this run: {name} has newer rows, and they stay. Run {newer.run_id} published them at"
        f" {newer.published_at:%Y-%m-%d %H:%M} UTC. It read the warehouse at"
        f" {newer.extracted_at:%Y-%m-%d %H:%M:%S} UTC, this run at {extracted_at:%Y-%m-%d %H:%M:%S} UTC.\n"
        f"Published: {_counts(newer)}\n"
        f"Nothing failed, and this run's answers are in the result store. The same command {again}."
    )


def _counts(manifest: Manifest) -> str:
    sent = "" if manifest.sent is None else f"{manifest.sent:,} requests sent, "
    return (
        f"{manifest.rows:,} rows, {manifest.published:,} published, {manifest.rejected:,} rejected"
        f"{not_kept(manifest)};"
        f" {cost(manifest, simulated=manifest.simulated)}; {sent}answers from"
        f" {_sources(manifest)}, {len(manifest.reused):,} from earlier runs.\n"
        f"  table    {manifest.table}\n"
        f"  rejects  {manifest.rejects}" + (f"\n  samples  {manifest.samples}" if manifest.samples else "")
    )


def _sources(manifest: Manifest) -> str:
    asked = sum(layout.is_asked(batch_id) for batch_id in manifest.batches)
    batches = len(manifest.batches) - asked
    sources = [count_batches(batches)] if batches or not asked else []
    return " and ".join([*sources, *(["synchronous requests"] if asked else [])])


def reconciliation(published: Published, wrong: list[str]) -> str:
    """Return whether each row of the warehouse is on the lake exactly once."""
    rows = f"{published.table.num_rows + published.rejects.num_rows:,}"
    if not wrong:
        return f"  Each of the {rows} source rows is in the table or in the rejects, exactly once."
    return "\n".join([f"  {len(wrong)} source rows are NOT in the table or the rejects exactly once:", *wrong[:10]])


def addresses(stack: Stack, published: Published) -> str:
    """Return the addresses of the servers with their logins, and commands for another terminal."""
    emulator = f"\n  Emulator  {stack.emulator_url}   can simulate faults: docs/emulator.md"
    command = f"make show PIPELINE={published.manifest.pipeline} PARTITION={published.manifest.partition}"
    return f"""
  Airflow   {stack.airflow_url}   user admin, password {stack.ui_password}
  S3        {stack.s3_url}   any credentials{"" if stack.real_api else emulator}

  While the demo is running, in another terminal:
  Rows      {command} ROWS=20
  Rejects   {command} REJECTS=1
  Cost      make report"""


def failure(api: AirflowApi, stack: Stack, pipeline: str, run_id: str, state: str) -> str:
    """Return which tasks failed, the ends of their logs, what is left behind, and the next step."""
    failed = [task for task in api.task_instances(pipeline, run_id) if task.state == "failed"]
    logs = "\n".join(_log(api, pipeline, run_id, task) for task in failed[:3])
    return f"""
Run {run_id} ended as {state}; nothing is published.
{logs}
Its submitted and loaded batches stay on the lake while the demo is running.
Airflow: {stack.airflow_url}   user admin, password {stack.ui_password}
Full logs: {stack.folder}/airflow/logs
Fix the cause, then clear the failed task in Airflow, or stop the demo and run `make demo` again."""


def _log(api: AirflowApi, pipeline: str, run_id: str, task: TaskInstance) -> str:
    try:
        lines = api.log(pipeline, run_id, task)
    except httpx2.HTTPError as error:
        lines = [f"The log cannot be read: {error}"]
    index = f"[{task.map_index}]" if task.map_index >= 0 else ""
    shown = [f"  {line}" for line in lines[-SHOWN_LOG_LINES:]]
    return "\n".join([f"{task.task_id}{index} failed (try {task.try_number}):", *shown])
