"""evaluation.py: what a task that evaluates returns, says and raises, whatever the evaluation finds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException

from claude_batch import pipelines
from claude_batch.ui.evaluation import EvaluateOperator, EvaluationLink, describe, evaluation_form
from include.evaluation.result import EvaluationResult
from include.steps import evaluate as step
from tests.airflow.test_operators import context
from tests.fixtures.evaluations import make_decision, make_result

INCONCLUSIVE = make_decision(verdict="inconclusive", why="The difference is between -4 and +3 points.", more_cases=900)
FAILED = make_decision(verdict="fail", why="At best 3 points lower.")
WARNED = make_decision(verdict="fail", on="warn", why="The pitch is worse.")

Evaluated = Callable[[EvaluationResult], list[dict[str, Any]]]


@pytest.fixture
def evaluated(monkeypatch: pytest.MonkeyPatch, connections: pytest.MonkeyPatch) -> Evaluated:
    """Every evaluation has this result; returns the arguments of the calls."""

    def result_is(result: EvaluationResult) -> list[dict[str, Any]]:
        calls: list[dict[str, Any]] = []

        def called(folder: Path, partition: object, **options: Any) -> EvaluationResult:
            calls.append({"folder": folder, "partition": str(partition), **options})
            return result

        monkeypatch.setattr(step, "evaluate", called)
        return calls

    return result_is


def run(**params: Any) -> tuple[EvaluateOperator, str]:
    task = EvaluateOperator(task_id="evaluate", pipeline="tickets")
    run_context = context()
    run_context["params"].update(params)
    return task, task.execute(run_context)


def test_the_partition_is_evaluated_and_the_report_named(evaluated: Evaluated) -> None:
    calls = evaluated(make_result())
    task, report = run(baseline="latest")
    assert report.endswith("/evaluations/tickets/20261130T030000Z-0123abcd/report.html")
    (call,) = calls
    assert (call["folder"], call["partition"]) == (pipelines.PIPELINES / "tickets", "2026-11-01")
    assert call["baseline"] == "latest"
    assert task.headline == "2026-11-01 · pass (simulated): At worst 1 point lower."
    assert isinstance(task.operator_extra_links[0], EvaluationLink)
    assert task.page_url.endswith("/evaluation-report/tickets/20261130T030000Z-0123abcd")


def test_a_gate_that_fails_fails_the_task_for_good_once_the_report_is_written(evaluated: Evaluated) -> None:
    evaluated(make_result(gate=[make_decision(), FAILED], verdict="fail"))
    with pytest.raises(
        AirflowFailException, match=r"GateFailed: The gate fails \(simulated\): At best 3 points lower\.\nThe report"
    ):
        run()


def test_an_inconclusive_gate_succeeds_and_says_so(evaluated: Evaluated, capsys: pytest.CaptureFixture[str]) -> None:
    evaluated(make_result(gate=[INCONCLUSIVE], verdict="inconclusive"))
    task, _ = run()
    assert task.headline == "2026-11-01 · inconclusive (simulated): The difference is between -4 and +3 points."
    assert "[warning  ] inconclusive: The difference is between -4 and +3 points." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, "pass (simulated): At worst 1 point lower."),
        ({"simulated": False, "gate": [WARNED, make_decision()]}, "pass (1 warning): At worst 1 point lower."),
        ({"gate": [WARNED, FAILED], "verdict": "fail"}, "fail (simulated) (1 warning): At best 3 points lower."),
        ({"gate": [], "cases": 1_200}, "1,200 cases evaluated, without a gate"),
    ],
)
def test_the_verdict_is_one_line_with_the_reason_that_decides(changes: dict[str, Any], told: str) -> None:
    assert describe(make_result(**changes)) == told


def test_the_form_accepts_a_run_without_any_value() -> None:
    assert {name: param.resolve() for name, param in evaluation_form().items()} == {"partition": None, "baseline": None}
