"""How a run ended, in words: the published rows, or what failed and what to do next."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import httpx2

from include.cli.exit_codes import NOT_PUBLISHED, NOT_STARTED, PUBLISHED, SUPERSEDED
from include.cli.output.published_day import Published, published
from include.cli.output.rows_table import heading, rows_table
from include.enrichment.answers.manifest import Manifest
from include.enrichment.cost.forecast import DryRun
from include.enrichment.cost.prices import format_usd
from include.enrichment.storage.layout import RunFolder
from include.enrichment.storage.version import parse
from include.gateways.lake import Lake
from include.stack.airflow_api import AirflowApi, TaskInstance
from include.stack.stack import Stack
from include.steps.files.extracted import read_extracted, read_pipeline

SHOWN_ROWS = 5
SHOWN_LOG_LINES = 25
#: What to do when a run has failed.
GO_ON = "Fix the cause, then run the same command again: it continues from there and pays for nothing twice."


def success(published: Published) -> str:
    """What was published, with its first rows and its rejects."""
    parts = [heading(published.manifest), rows_table(published.table.slice(0, SHOWN_ROWS), rejects=False)]
    if published.rejects.num_rows:
        parts += ["Rejects:", rows_table(published.rejects.slice(0, SHOWN_ROWS), rejects=True)]
    return "\n".join(["", *parts])


def cost(manifest: Manifest, *, simulated: bool) -> str:
    """
    What the run cost.

    :param simulated: the emulator answered, and nobody is billed
    """
    return f"{'simulated cost' if simulated else 'cost'} {format_usd(manifest.cost_usd)}"


@dataclass(frozen=True, kw_only=True)
class End:
    """How a `make run` ended: its exit status, and what to say."""

    status: int
    text: str


@dataclass(frozen=True, kw_only=True)
class Failure:
    """
    Why a task failed.

    :param tries: how often it was tried
    :param reason: of an error of ours the message, of any other the frames, too
    """

    task: str
    tries: int
    reason: str

    def __str__(self) -> str:
        tried = f" (tried {self.tries} times)" if self.tries > 1 else ""
        return f"{self.task} failed{tried}: {self.reason}"


def next_step(told: str, *, started: bool) -> str:
    """
    Return the next step after a `make run` that failed. Error messages are written for Airflow's UI too, and only there
    can a task be cleared.

    :param told: why it failed
    """
    step = GO_ON if started else NOT_STARTED
    if re.search(r"\bclear", told, re.IGNORECASE):
        step += " Here, the same command does what clearing a task does in Airflow; NEW=1 starts a new run."
    return step


def end_of_run(run: RunFolder, lake: Lake, *, state: str, failures: Sequence[Failure], seconds: float) -> End:
    """
    How a run in the foreground ended, and what is published now.

    :param state: Airflow's, of the whole run
    :param failures: why tasks failed

    Raises LakeError where the lake does not tell.
    """
    name = f"{run.pipeline} {run.partition}"
    manifest = published(run.pipeline, run.partition, lake)
    if state != "success":
        reasons = [str(failure) for failure in failures]
        lines = [f"NOT published: {name}, the run ended as {state} after {seconds:.0f} s.", *reasons]
        if manifest:
            lines.append(f"What an earlier run published is as it was: {_counts(manifest)}")
        return End(status=NOT_PUBLISHED, text="\n".join([*lines, next_step(" ".join(reasons), started=True)]))
    if manifest and manifest.run_id == run.run_id:
        return End(status=PUBLISHED, text=f"Published {name} in {seconds:.0f} s: {_counts(manifest)}")
    pipeline = read_pipeline(lake, run)
    if pipeline.options.dry_run:
        told = parse(DryRun, lake.read(run.dry_run_json), lake.locate(run.dry_run_json)).table()
        return End(status=PUBLISHED, text=f"Dry run of {name}: nothing was sent or published.\n{told}")
    if pipeline.options.rows:
        trial = parse(Manifest, lake.read(run.manifest), lake.locate(run.manifest))
        return End(
            status=PUBLISHED,
            text=f"Trial of {name} in {seconds:.0f} s, into the run's own folder; the table of the day is as it was:"
            f" {_counts(trial)}",
        )
    extracted_at = read_extracted(lake, run).extracted_at
    if manifest and manifest.extracted_at > extracted_at:
        again = "reads the warehouse anew and publishes that"
        if not pipeline.settings.reuse:
            again += "; as answers are not reused (reuse: false), it pays for every row again"
        return End(
            status=SUPERSEDED,
            text=f"NOT published by this run: {name} has newer rows, and they stay. Run {manifest.run_id}"
            f" published them at {manifest.published_at:%Y-%m-%d %H:%M} UTC. It read the warehouse at"
            f" {manifest.extracted_at:%Y-%m-%d %H:%M:%S} UTC, this run did at {extracted_at:%Y-%m-%d %H:%M:%S}.\n"
            f"Published are {_counts(manifest)}\n"
            f"Nothing failed, and what this run was answered is in the result store. The same command {again}.",
        )
    return End(
        status=NOT_PUBLISHED,
        text=f"NOT published: {name}. The run ended as success, and none of its tasks has published the partition: see"
        f" `publish` in dags/{run.pipeline}.py.",
    )


def _counts(manifest: Manifest) -> str:
    sent = len(manifest.batches) - len(manifest.reused)
    return (
        f"{manifest.rows:,} rows, {manifest.published:,} published, {manifest.rejected:,} rejected;"
        f" {cost(manifest, simulated=manifest.simulated)}; batches: {sent} sent, {len(manifest.reused)} reused.\n"
        f"  table    {manifest.table}\n"
        f"  rejects  {manifest.rejects}"
    )


def reconciliation(published: Published, wrong: list[str]) -> str:
    """Whether the warehouse and the lake agree, row by row."""
    rows = f"{published.table.num_rows + published.rejects.num_rows:,}"
    if not wrong:
        return f"  Every source row of the partition is in the table or in the rejects, exactly once ({rows})."
    return "\n".join([f"  {len(wrong)} source rows are NOT in table or rejects exactly once:", *wrong[:10]])


def whereabouts(stack: Stack, published: Published) -> str:
    """Where to look: the UI with its login, and the commands for another terminal."""
    emulator = f"\n  Emulator  {stack.emulator_url}   faults on request: docs/emulator.md"
    command = f"make show PIPELINE={published.manifest.pipeline} PARTITION={published.manifest.partition}"
    return f"""
  Airflow   {stack.airflow_url}   user admin, password {stack.ui_password}
  S3        {stack.s3_url}   any credentials{"" if stack.real_api else emulator}

  In another terminal, while this one is up:
  Rows      {command} ROWS=20
  Rejects   {command} REJECTS=1
  Cost      make report"""


def failure(api: AirflowApi, stack: Stack, pipeline: str, run_id: str, state: str) -> str:
    """What failed, the end of its log, what is left behind, and the next step."""
    failed = [task for task in api.task_instances(pipeline, run_id) if task.state == "failed"]
    logs = "\n".join(_log(api, pipeline, run_id, task) for task in failed[:3])
    return f"""
The run {run_id} ended as {state}; nothing is published.
{logs}
Left behind: what was submitted and loaded is on the lake for as long as this stack is up.
Look at {stack.airflow_url} (user admin, password {stack.ui_password}) while it is up.
Full logs: {stack.folder}/airflow/logs.
Mend the cause, then clear the failed task there, or stop this and `make demo` again."""


def _log(api: AirflowApi, pipeline: str, run_id: str, task: TaskInstance) -> str:
    try:
        lines = api.log(pipeline, run_id, task)
    except httpx2.HTTPError as error:
        lines = [f"its log cannot be read: {error}"]
    index = f"[{task.map_index}]" if task.map_index >= 0 else ""
    shown = [f"  {line}" for line in lines[-SHOWN_LOG_LINES:]]
    return "\n".join([f"{task.task_id}{index} failed (try {task.try_number}):", *shown])
