"""`make run` as others script against it: the environment's connections in, an exit status out."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from include.enrichment.answers.manifest import Manifest
from include.enrichment.cost.prices import format_usd
from include.stack import sample_products
from include.stack.folder import ROOT, StackFolder
from include.stack.stack import ANTHROPIC, AWS, LAKE, WAREHOUSE, anthropic_connection
from tests.fixtures.emulator import Emulator
from tests.fixtures.s3 import Bucket, filesystem
from tests.fixtures.stack import stack_environment

PARTITION = "2026-11-01"
#: Far beyond what anything here takes on a machine that has other work, too.
PATIENCE_SECONDS = 1800
COMMAND = [sys.executable, "-m", "include.cli", "run", "catalogue", PARTITION]


@pytest.fixture
def environment(stack_folder: StackFolder, s3_bucket: Bucket, emulator: Emulator, tmp_path: Path) -> dict[str, str]:
    """All four connections, and no stack."""
    database = tmp_path / "warehouse.db"
    sample_products.load_sample(database)
    return stack_environment(
        stack_folder,
        **{
            ANTHROPIC: anthropic_connection(emulator.api_key, emulator.url),
            AWS: s3_bucket.aws_connection,
            WAREHOUSE: json.dumps({"conn_type": "sqlite", "host": str(database)}),
            LAKE: s3_bucket.uri,
        },
    )


def run(environment: dict[str, str], *, partition: str = PARTITION) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND[:-1], partition]
    return subprocess.run(
        command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
    )


def manifest(bucket: Bucket) -> Manifest | None:
    file = f"{bucket.name}/manifests/catalogue/dt={PARTITION}.json"
    files = filesystem(bucket.endpoint_url)
    if not files.get_file_info(file).is_file:
        return None
    return Manifest.model_validate_json(files.open_input_file(file).read())


def test_a_run_that_fails_is_status_1_and_says_why_once_without_frames(
    environment: dict[str, str], s3_bucket: Bucket, emulator: Emulator
) -> None:
    emulator.set_faults([{"kind": "violates_schema"}])
    ended = run(environment)
    assert ended.returncode == 1, ended.stdout + ended.stderr
    assert "main.plan                failed" in ended.stdout
    assert "upstream_failed" not in ended.stdout
    fact, reason, *_, step = ended.stderr.splitlines()
    assert fact.startswith(f"NOT published: catalogue {PARTITION}. The run ended with state failed after ")
    assert reason.startswith("main.plan failed: BatchError: The canary failed: none of its 5 requests")
    assert step.startswith("Fix the cause, then run the same command again")
    assert manifest(s3_bucket) is None


def test_a_dry_run_is_status_0_and_sends_nothing(environment: dict[str, str], emulator: Emulator) -> None:
    ended = run(environment | {"DRY_RUN": "1", "BUDGET": "5"})
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert f"Running catalogue for {PARTITION} in the foreground, with DRY_RUN=1 BUDGET=5:" in ended.stdout
    assert f"Dry run of catalogue {PARTITION}: nothing was sent or published." in ended.stdout
    assert emulator.creates() == []


def test_a_day_whose_rows_are_not_there_yet_is_told_at_once(environment: dict[str, str], emulator: Emulator) -> None:
    today = datetime.now(UTC).date()
    ended = run(environment, partition=str(today))
    assert ended.returncode == 2
    assert f"The rows of {today} are not complete until {today + timedelta(days=1)} 02:00 UTC" in ended.stderr
    assert emulator.log()["calls"] == []


def test_ctrl_c_ends_it_at_once_with_a_status_that_is_not_0(
    environment: dict[str, str], stack_folder: StackFolder, emulator: Emulator
) -> None:
    emulator.set_faults([{"kind": "duration", "seconds": 3600}])
    with subprocess.Popen(COMMAND, env=environment, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        try:
            deadline = time.monotonic() + PATIENCE_SECONDS
            while not emulator.batches_made():
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.2)
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=PATIENCE_SECONDS)
        finally:
            process.kill()
    assert process.returncode == 128 + signal.SIGINT
    assert "Stopped by SIGINT" in said
    assert list(stack_folder.runs.iterdir()) == []


@pytest.fixture
def salted(environment: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """The environment of a checkout whose pipeline asks for fresh answers in every run."""
    checkout = tmp_path / "checkout"
    for name in ("include", "plugins", "dags", "config"):
        shutil.copytree(ROOT / name, checkout / name)  # with what is compiled
    settings = checkout / "include" / "pipelines" / "catalogue" / "pipeline.yaml"
    lines = [line for line in settings.read_text().splitlines() if not line.startswith("reuse:")]
    settings.write_text("\n".join([*lines, "reuse: false", ""]))
    return environment | {"PWD": str(checkout), "PYTHONPATH": f"{checkout}:{checkout / 'plugins'}"}


def killed_while_it_waits(environment: dict[str, str], emulator: Emulator) -> None:
    """A run that gets SIGKILL while its first batch is processed, which ends soon after."""
    emulator.set_faults([{"kind": "duration", "seconds": 3600}])
    with subprocess.Popen(COMMAND, env=environment, cwd=environment["PWD"]) as process:
        try:
            deadline = time.monotonic() + PATIENCE_SECONDS
            while not emulator.batches_made() or emulator.log()["calls"][-1]["method"] == "POST":
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.1)
        finally:
            process.kill()
    emulator.set_faults([])
    emulator.advance_clock(3700)


def test_a_killed_run_is_gone_on_with_and_published_with_status_0_and_nothing_is_paid_twice_without_reuse(
    salted: dict[str, str], s3_bucket: Bucket, emulator: Emulator, stack_folder: StackFolder
) -> None:
    killed_while_it_waits(salted, emulator)
    ended = subprocess.run(
        COMMAND, env=salted, cwd=salted["PWD"], capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "Continuing run manual__" in ended.stdout
    published = manifest(s3_bucket)
    assert published is not None
    assert published.rows > 120
    assert f"{published.rows:,} rows, {published.published:,} published" in ended.stdout
    assert f"simulated cost {format_usd(published.cost_usd)}" in ended.stdout
    assert published.cost_usd == published.partition_cost_usd != 0
    assert [batch["size"] for batch in emulator.batches_made()] == [5, published.requests - 5]
    assert list(stack_folder.runs.iterdir()) == []
