"""The checks of `make run` before Airflow starts, and its options."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from include.cli.foreground.run_options import format_options, read_options
from include.enrichment.errors import ParamError
from include.enrichment.runs.options import RunOptions
from include.stack import sample_products
from include.stack.folder import ROOT, StackFolder
from include.stack.stack import ANTHROPIC, AWS, LAKE, WAREHOUSE, anthropic_connection
from tests.fixtures.emulator import Emulator
from tests.fixtures.s3 import Bucket
from tests.fixtures.stack import stack_environment

STEP = "No run was started. Fix this, then run the same command again."


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a checkout whose files a test may change."""
    for name in ("include", "plugins", "dags", "config"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


@pytest.fixture
def connections(tmp_path: Path, s3_bucket: Bucket, emulator: Emulator) -> dict[str, str]:
    """Return all connections that the pipeline needs."""
    sample_products.load_sample(tmp_path / "warehouse.db")
    return {
        ANTHROPIC: anthropic_connection(emulator.api_key, emulator.url),
        AWS: s3_bucket.aws_connection,
        WAREHOUSE: json.dumps({"conn_type": "sqlite", "host": str(tmp_path / "warehouse.db")}),
        LAKE: s3_bucket.uri,
    }


@pytest.mark.parametrize(
    ("file", "right", "wrong", "message"),
    [
        (
            "include/pipelines/catalogue/pipeline.yaml",
            "connection: warehouse",
            "connection: warehose",
            "catalogue/pipeline.yaml:2: source.connection: there is no connection 'warehose'; did you mean 'warehouse'?"
            " There are: ",
        ),
        (
            "include/pipelines/catalogue/user.md",
            "{{ summary }}",
            "{{ sumary }}",
            "SpecError: catalogue/user.md:2: the query has no column 'sumary'; did you mean 'summary'?",
        ),
        (
            "include/pipelines/catalogue/extract.sql",
            "from products",
            "form products",
            'WarehouseError: catalogue/extract.sql:2: near "products": syntax error (',
        ),
        (
            "include/pipelines/catalogue/pipeline.yaml",
            "model: claude-haiku-5-5",
            "model: claude-haiku-5-55",
            "SpecError: catalogue/pipeline.yaml:5: request.model: the API knows no model 'claude-haiku-5-55'; did you"
            " mean 'claude-haiku-5-5'?",
        ),
        (
            "dags/catalogue.py",
            "source_ready_after=",
            "source_ready=",
            "cannot be imported.",
        ),
    ],
)
def test_a_mistake_is_reported_before_airflow_starts_and_leaves_no_files(
    checkout: Path, connections: dict[str, str], s3_bucket: Bucket, file: str, right: str, wrong: str, message: str
) -> None:
    path = checkout / file
    assert right in path.read_text()
    path.write_text(path.read_text().replace(right, wrong))
    assert message in errors_of_a_run(checkout, connections, "catalogue")


def errors_of_a_run(checkout: Path, connections: dict[str, str], pipeline: str) -> str:
    """What `make run` prints if it starts no Airflow."""
    ended = subprocess.run(
        [sys.executable, "-m", "include.cli", "run", pipeline, "2026-11-01"],
        env=stack_environment(StackFolder(path=checkout / ".stack"), **connections)
        | {"PYTHONPATH": f"{checkout}:{checkout / 'plugins'}"},
        cwd=checkout,
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.splitlines()[-1].startswith(STEP)
    assert "site-packages" not in ended.stderr
    assert list((checkout / ".stack" / "runs").glob("*")) == []
    return ended.stderr


def test_a_pipeline_that_reads_a_table_needs_no_connection_and_learns_before_airflow_starts_that_there_is_none(
    checkout: Path, connections: dict[str, str], s3_bucket: Bucket
) -> None:
    folder = shutil.copytree(checkout / "include/pipelines/catalogue", checkout / "include/pipelines/claims")
    settings = (folder / "pipeline.yaml").read_text().replace("connection: warehouse", "table: catalogue")
    (folder / "pipeline.yaml").write_text(settings)
    (folder / "extract.sql").unlink()
    (folder / "user.md").write_text("{{ pitch }}")
    shutil.copy(checkout / "dags/catalogue.py", checkout / "dags/claims.py")
    del connections[WAREHOUSE]
    errors = errors_of_a_run(checkout, connections, "claims")
    assert "Partition 2026-11-01 of 'catalogue' (source.table) is not published" in errors
    assert "make run PIPELINE=catalogue PARTITION=2026-11-01" in errors


def test_options_are_parsed_like_the_form_and_printed_as_they_were_typed() -> None:
    environment = {"ROWS": "10", "DRY_RUN": "1", "BUDGET": "0.5", "MODEL": "m", "REUSE": "0", "ONLY_REJECTS": ""}
    options = read_options(environment | {"HOME": "/"})
    assert options == RunOptions(rows=10, dry_run=True, budget_usd=Decimal("0.5"), model="m", reuse=False)
    assert format_options(options) == "ROWS=10 DRY_RUN=1 REUSE=0 MODEL=m BUDGET=0.5"
    assert (read_options({}), format_options(RunOptions())) == (RunOptions(), "")
    due = read_options({"URGENT": "1", "DEADLINE": "05:30 Europe/Berlin"})
    assert due == RunOptions(urgent=True, deadline="05:30 Europe/Berlin")
    assert format_options(due) == "URGENT=1 DEADLINE='05:30 Europe/Berlin'"
    chosen = read_options({"VARIANTS": "short, current"})
    assert (chosen, format_options(chosen)) == (RunOptions(variants=["current", "short"]), "VARIANTS=current,short")


def test_every_invalid_option_is_named() -> None:
    with pytest.raises(
        ParamError,
        match=r"ROWS is '0'\. It must be .* 1 or more\.\nBUDGET is '-1'\. .* 0 or more\.\nDEADLINE is '5'\. .* time",
    ):
        read_options({"ROWS": "0", "BUDGET": "-1", "DEADLINE": "5"})
