"""
`make demo`: start the stack, run one partition through the scheduler, print the result, and keep running until Ctrl-C.
"""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import FrameType
from typing import Any

import httpx2
import yaml

from include.cli import consent
from include.cli.output import end_of_run, published_day
from include.enrichment.errors import LakeError
from include.enrichment.runs.partition import resolve_partition
from include.stack import processes, sample_products
from include.stack.airflow_api import AirflowApi, PortTaken, TaskInstance, unhealthy
from include.stack.environment import ignored_variables
from include.stack.folder import StackFolder
from include.stack.metadata import MigrationFailed, give_airflow_home
from include.stack.patience import OutOfPatience, Patience
from include.stack.progress import Progress, complain, say, step
from include.stack.sample_invoices import sample
from include.stack.sample_tickets import tickets
from include.stack.stack import Stack, anthropic_connection, new_stack, read_stack
from include.stack.supervisor import failed_processes

PIPELINE = "catalogue"
PARTITION = "2026-11-17"
PLANTED = sample_products.SAMPLE.with_name("faults.yaml")
REAL_ROWS = 5
AIRFLOW_PORT = 8080
ANSWER_SECONDS = 10
POLL_SECONDS = 1.0
#: A task may stay in one of these states for hours.
LONG_STATES = ("running", "deferred", "up_for_retry", "up_for_reschedule")


class Stopped(BaseException):
    """The user has stopped the demo: Ctrl-C, `make down` or a closed terminal."""


class DemoFailed(Exception):
    """The demo cannot continue. The message says what happened and where to look."""


class StackDied(DemoFailed):
    """A process of the stack has ended for good."""


def demo(folder: StackFolder, *, real_api: bool, exit_after: bool, keep: bool, processing_seconds: float) -> int:
    """
    Run the demo. Returns 0 if the partition was published.

    The stack is always stopped at the end. After a failed run it first stays up, so that the user can inspect it.

    :param exit_after: stop after the run instead of waiting for Ctrl-C
    :param keep: keep lake, warehouse and the emulator's batches for the next demo with ``keep``. Real answers are kept
        in another folder than simulated ones, because their requests are the same
    """
    if keep:
        folder = replace(folder, kept="kept-real" if real_api else "kept")
    try:
        with processes.one_demo_at_a_time(folder):
            return _until_stopped(folder, real_api, exit_after, processing_seconds)
    except processes.AlreadyRunning as running:
        stack = read_stack(folder)
        complain(
            f"{running} Nothing was started. {f'Its Airflow is at {stack.airflow_url}. ' if stack else ''}"
            "Stop it with Ctrl-C in its terminal, or with `make down`."
        )
        return 1


def _until_stopped(folder: StackFolder, real_api: bool, exit_after: bool, processing_seconds: float) -> int:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)
    published = False
    try:
        stack, key = _prepare(folder, real_api, processing_seconds)
        supervisord = _start(stack, folder, key)
        published = _run_or_report(stack, folder, supervisord)
        if not exit_after:
            _stay(supervisord, folder)
    except Stopped:
        say()
    except consent.NoKey as failure:
        complain(str(failure))
    except (DemoFailed, MigrationFailed, OutOfPatience, PortTaken) as failure:
        complain(f"\n{failure}\nLogs: {folder.logs}")
        published = False
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        with step("Stopping every process"):
            processes.stop_all(folder)
        folder.stack_json.unlink(missing_ok=True)
    return 0 if published else 1


def _stop(number: int, frame: FrameType | None) -> None:
    raise Stopped


def _prepare(folder: StackFolder, real_api: bool, processing_seconds: float) -> tuple[Stack, str | None]:
    """Prepare the folder, the warehouse and the metadata database. Nothing is running yet."""
    if left := processes.stop_all(folder):
        say(f"  Stopped {left} processes of an earlier demo.")
    key = consent.real_key_after_consent(PIPELINE, REAL_ROWS) if real_api else None
    for old in (folder.airflow_home, folder.logs):
        shutil.rmtree(old, ignore_errors=True)
    folder.logs.mkdir()
    if ignored := ignored_variables():
        say(f"  Ignored, because the demo sets its own: {', '.join(ignored)}.")
    stack = new_stack(folder, real_api=real_api, processing_seconds=processing_seconds, airflow_port=AIRFLOW_PORT)
    _prepare_data(folder, real_api)
    with step("Creating Airflow's metadata database (Postgres; about ten seconds the first time)"):
        stack = give_airflow_home(stack, folder)
    if stack.no_postgres:
        say(f"  Postgres does not run on this machine: {stack.no_postgres}.")
        say("  Airflow uses SQLite instead; a backfill of several days may then fail with HTTP 503.")
    stack.model_copy(update={"starting": True}).save(folder)
    return stack, key


def _prepare_data(folder: StackFolder, real_api: bool) -> None:
    """Prepare the warehouse and the emulator's folder, unless an earlier demo kept them."""
    if folder.kept and folder.warehouse.exists():
        say(f"  Using the lake, warehouse and batches of an earlier demo in {folder.lake.parent}.")
        return
    shutil.rmtree(folder.emulator_state, ignore_errors=True)
    folder.refunds.unlink(missing_ok=True)
    folder.emulator_state.mkdir(parents=True)
    draft = folder.warehouse.with_suffix(".draft")
    draft.unlink(missing_ok=True)
    with step("Loading the sample into the warehouse (SQLite)"):
        if real_api:
            sample_products.load_sample(draft, partition=PARTITION, limit=REAL_ROWS)
        else:
            # Airflow creates the nightly run, for yesterday, as soon as the Dag is unpaused.
            sample_products.load_sample(draft, newest=datetime.now(UTC).date() - timedelta(days=1))
    draft.replace(folder.warehouse)


def _plant(stack: Stack, folder: StackFolder) -> None:
    """
    Plant a few faults in the emulator, and how often it is right, unless it has kept batches, which already had them.

    The demo continues without faults if the emulator does not respond in time.
    """
    with httpx2.Client(base_url=f"{stack.emulator_url}/_emulator", timeout=60, trust_env=False) as emulator:
        try:
            if emulator.get("/log").raise_for_status().json()["batches"]:
                return
            emulator.put("/faults", json=_planted(folder)).raise_for_status()
        except httpx2.HTTPError as error:
            say(f"  No faults were planted in the emulator: {error!r}")
            return
    say(
        f"  Planted faults for {PARTITION}: 3 answers that do not fit the schema and 1 request that expires, which the"
        "\n  retry pass sends again, and 1 refusal, which becomes a reject."
    )


def _planted(folder: StackFolder) -> list[dict[str, Any]]:
    """Return the faults of the demo's day, and how often the emulator is right about the cases of evaluations."""
    return [
        *yaml.safe_load(PLANTED.read_text(encoding="utf-8")),
        *sample_products.accuracy_faults(folder.warehouse),
        *tickets.accuracy_faults(),
    ]


def _start(stack: Stack, folder: StackFolder, key: str | None) -> subprocess.Popen[bytes]:
    anthropic = anthropic_connection(key) if key else None
    supervisord = processes.start(stack, folder, anthropic=anthropic)

    patience = _patience(stack, supervisord)
    with step("Starting the S3 server and creating its bucket"):
        _wait(patience(), lambda: _silent(s3=stack.s3_url))
        published_day.make_bucket(stack)
    with step(f"Making the sample invoices, in s3://{sample.BUCKET}"):
        s3 = published_day.stack_s3(stack)
        s3.create_dir(sample.BUCKET)
        sample.put_sample(s3, sample.BUCKET)
    if not stack.real_api:
        with step("Starting the emulator of the Message Batches API"):
            _wait(patience(), lambda: _silent(emulator=stack.emulator_url))
        _plant(stack, folder)
    stack.save(folder)  # `make run` needs no more than these servers
    with step("Starting Airflow: scheduler, triggerer, Dag processor, API server"):
        _wait(patience(), lambda: unhealthy(stack))
    say(f"  Airflow: {stack.airflow_url}, user admin, password {stack.ui_password}")
    return supervisord


def _run_or_report(stack: Stack, folder: StackFolder, supervisord: subprocess.Popen[bytes]) -> bool:
    """Return whether the partition was published. Raises StackDied; other errors are printed and leave the stack up."""
    try:
        return _run(stack, folder, _patience(stack, supervisord))
    except StackDied:
        raise
    except (DemoFailed, OutOfPatience) as failure:
        why = str(failure)
    except LakeError as error:
        why = str(error)
    except (httpx2.HTTPError, OSError) as error:
        why = f"The connection to Airflow was lost: {error!r}"
    complain(f"\n{why}\nSee Airflow at {stack.airflow_url} and the logs in {folder.logs}")
    return False


def _run(stack: Stack, folder: StackFolder, patience: Callable[[], Patience]) -> bool:
    """Run one partition through the scheduler. Returns whether it was published with every row accounted for."""
    partition = resolve_partition(param=PARTITION, partition_key=None, data_interval_start=None)
    with AirflowApi(stack, patience) as api:
        with step(f"Waiting for the Dag processor to load {PIPELINE}"):
            _wait_for_dag(api, patience())
        say(f"\nRunning {PIPELINE} for {partition} through the scheduler:")
        run_id = api.trigger(PIPELINE, {"partition": str(partition)})
        api.unpause(PIPELINE)
        state = _follow(api, run_id, patience())
        published = published_day.read_published(stack, PIPELINE, partition) if state == "success" else None
        if published is None:  # after a failed run, a published day would be another run's
            complain(end_of_run.failure(api, stack, PIPELINE, run_id, state))
            return False
    say(end_of_run.success(published))
    wrong = published_day.unaccounted(sample_products.keys_of(folder.warehouse, str(partition)), published, "package")
    say(end_of_run.reconciliation(published, wrong))
    say(end_of_run.addresses(stack, published))
    return not wrong


def _wait_for_dag(api: AirflowApi, patience: Patience) -> None:
    while not api.has_dag(PIPELINE):
        if errors := api.import_errors():
            raise DemoFailed("A Dag file cannot be imported:\n" + "\n".join(errors))
        patience.waited(f"The Dag processor has not loaded {PIPELINE}")
        time.sleep(POLL_SECONDS)


def _follow(api: AirflowApi, run_id: str, patience: Patience) -> str:
    """Print each change of the run's tasks and the errors of failed tries; returns the final state of the run."""
    progress = Progress(PIPELINE)
    batches: set[str] = set()
    failed: set[TaskInstance] = set()
    while True:
        state = api.run_state(PIPELINE, run_id)
        tasks = api.task_instances(PIPELINE, run_id)
        progress.show(tasks)
        for task in tasks:
            if task.task_id.endswith(".submit") and task.state == "success":
                for batch in set(re.findall(r"msgbatch_\w+", api.returned(PIPELINE, run_id, task))) - batches:
                    progress.note(f"submitted as {batch}")
                    batches.add(batch)
            if task.state == "up_for_retry" and task not in failed:
                failed.add(task)
                for error in api.errors(PIPELINE, run_id, task):
                    progress.note(f"  {error}")
        if state in ("success", "failed"):
            progress.note(f"the run has ended: {state}")
            return state
        patience.seen(tasks)
        if any(task.state in LONG_STATES for task in tasks):
            patience.moved()
        patience.waited("No task of the run has changed its state")
        time.sleep(POLL_SECONDS)


def _stay(supervisord: subprocess.Popen[bytes], folder: StackFolder) -> None:
    say("\nThe demo runs until you press Ctrl-C (or run `make down` in another terminal).")
    if folder.kept:
        say(f"Its lake, warehouse and batches stay in {folder.lake.parent} for the next `make demo KEEP=1`.")
        say("Airflow's run history is not kept.")
    else:
        say("The next `make demo` starts anew. `make demo KEEP=1` keeps the lake, the warehouse and the batches.")
    while supervisord.poll() is None:
        time.sleep(POLL_SECONDS)
    raise DemoFailed(
        f"supervisord ended unexpectedly with status {supervisord.returncode}, so no process is restarted any more."
    )


def _patience(stack: Stack, supervisord: subprocess.Popen[bytes]) -> Callable[[], Patience]:
    """Return a function that starts a wait. The wait raises StackDied once supervisord or a process of it has died."""

    def check_alive() -> None:
        if supervisord.poll() is not None:
            raise StackDied(f"supervisord ended with status {supervisord.returncode}: see supervisord.out.")
        if failed := failed_processes(stack):
            raise StackDied(f"Processes that did not start: {', '.join(failed)}. See the log of each.")

    return lambda: Patience(check_alive)


def _wait(patience: Patience, missing: Callable[[], Sequence[str]]) -> None:
    """Wait until nothing is missing. Each change restarts the time limit."""
    while names := missing():
        patience.seen(names)
        patience.waited(f"Not up: {', '.join(names)}")
        time.sleep(POLL_SECONDS / 4)


def _silent(**urls: str) -> list[str]:
    """Return the names of the servers that do not respond."""
    return [name for name, url in urls.items() if not _answers(url)]


def _answers(url: str) -> bool:
    try:
        httpx2.get(url, timeout=ANSWER_SECONDS, trust_env=False)
    except httpx2.HTTPError:
        return False
    return True
