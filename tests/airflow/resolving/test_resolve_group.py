"""resolve(): the second stage that acts, from extract to publish, in a Dag run."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG

from claude_batch import pipelines
from claude_batch.connections.gateways import open_lake
from claude_batch.resolving.resolve_group import resolve
from claude_batch.task_group import enrich
from include.enrichment.errors import SpecError
from tests.fixtures.acting import acts, write_acting_pipeline
from tests.fixtures.emulator import Emulator

_DAG = """
from airflow.sdk import dag
from claude_batch.resolving.resolve_group import resolve

@dag(dag_id="actions", schedule=None)
def actions():
    resolve()

actions()
"""


def test_a_run_resolves_each_row_once_and_its_cost_is_the_bill(
    run_dag: Callable[..., Any], acting: Path, tmp_path: Path, emulator: Emulator
) -> None:
    (tmp_path / "dags").mkdir()
    file = tmp_path / "dags" / "actions.py"
    file.write_text(_DAG)
    run = run_dag(file, run_conf={"partition": "2026-11-01"})
    assert run.state == "success"
    lake = open_lake("aws_default")
    manifest = json.loads(lake.read("manifests/actions/dt=2026-11-01.json"))
    assert (manifest["rows"], manifest["published"]) == (3, 3)
    bills = emulator.bills()
    assert bills["billed_twice"] == 0
    assert Decimal(manifest["cost_usd"]) == Decimal(bills["usd"]) > 0
    done = acts(acting)
    assert len({one["key"] for one in done}) == len(done) >= 1
    assert all(one["order_id"].startswith("A-T") for one in done)


def test_only_a_pipeline_with_tools_is_resolved_and_it_is_not_enriched(acting: Path) -> None:
    with DAG("d", schedule=None), pytest.raises(SpecError, match="'tickets' has no tools"):
        resolve("tickets")
    with DAG("e", schedule=None), pytest.raises(SpecError, match="'actions' has tools"):
        enrich("actions")


def test_a_pass_asks_a_person_only_if_a_tool_asks_first(acting: Path) -> None:
    with DAG("actions", schedule=None) as dag:
        resolve()
    assert "actions.main.approve" not in dag.task_ids
    write_acting_pipeline(pipelines.PIPELINES / "actions", ask_first=True)
    with DAG("actions", schedule=None) as dag:
        resolve()
    assert {"actions.main.ask", "actions.main.approve", "actions.main.act"} <= set(dag.task_ids)
