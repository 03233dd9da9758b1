"""arguments.py: every argument has a rule, and every operator checks what it is given."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from claude_batch import pipelines
from claude_batch.arguments import check_arguments
from claude_batch.assets import SummaryOperator, table_asset
from claude_batch.operators import ClaudeBatchOperator, ExtractOperator, LoadOperator, PlanOperator, PublishOperator
from claude_batch.sensors import ClaudeBatchSensor
from include.enrichment.errors import SpecError
from tests.fixtures.flow import write_pipeline


@pytest.fixture(autouse=True)
def pipelines_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    write_pipeline(tmp_path / "tickets")
    monkeypatch.setattr(pipelines, "PIPELINES", tmp_path)


def test_valid_arguments_are_accepted() -> None:
    check_arguments("x", pipeline="tickets", partition=None, poke_interval=0.5, pass_name="retry_2", deferrable=False)


def test_an_invalid_argument_is_rejected_with_its_value_and_an_example() -> None:
    with pytest.raises(SpecError, match=r"^x: pool must be .* pool, got 7\. Example: pool='claude_batches'$"):
        check_arguments("x", pipeline="tickets", pool=7)


@pytest.mark.parametrize(
    ("operator", "arguments"),
    [
        (ExtractOperator, {"pipeline": "tickets", "source_ready_after": 2}),
        (ExtractOperator, {"pipeline": "tickets", "anthropic_conn_id": None}),
        (ExtractOperator, {"pipeline": 3}),
        (PlanOperator, {"pipeline": "tickets", "pass_name": "mian"}),
        (PublishOperator, {"pipeline": "tickets", "partition": 20261101}),
        (ClaudeBatchOperator, {"chunk": "c", "deferrable": "yes"}),
        (LoadOperator, {"chunk": "c", "batch_id": "b", "aws_conn_id": ""}),
        (ClaudeBatchSensor, {"batch_id": "b", "poke_interval": 0}),
        (SummaryOperator, {"pipeline": "tickets", "column": None}),
    ],
)
def test_each_operator_checks_its_arguments(operator: Callable[..., Any], arguments: dict[str, Any]) -> None:
    wrong = list(arguments)[-1]
    with pytest.raises(SpecError, match=f"^{operator.__name__}: {wrong} must be .*, got {arguments[wrong]!r}"):
        operator(task_id="t", **arguments)


@pytest.mark.parametrize(
    "make",
    [
        lambda name: ExtractOperator(task_id="t", pipeline=name),
        lambda name: PlanOperator(task_id="t", pipeline=name, pass_name="main"),
        lambda name: PublishOperator(task_id="t", pipeline=name),
        lambda name: SummaryOperator(task_id="t", pipeline=name, column="topic"),
        table_asset,
    ],
    ids=["extract", "plan", "publish", "summary", "asset"],
)
def test_a_missing_pipeline_is_rejected_with_the_closest_name(make: Callable[[str], Any]) -> None:
    make("tickets")
    with pytest.raises(SpecError, match=r"There is no pipeline 'tikets' in .*; did you mean 'tickets'"):
        make("tikets")
