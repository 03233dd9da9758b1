"""A person approves the calls of tools that wait, in one question for a pass."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.standard.operators import hitl
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException, TaskAwaitingInput

from claude_batch.connections.gateways import open_lake
from claude_batch.resolving.agent_operator import AgentOperator
from claude_batch.resolving.approve_operator import ApproveOperator
from include.steps.asking.approvals import Question
from tests.fixtures.acting import acts


def ask(context: Any, *, asks_person: bool = True) -> dict[str, int]:
    return AgentOperator(task_id="ask", pipeline="actions", pass_name="main", asks_person=asks_person).execute(context)


def approve() -> ApproveOperator:
    return ApproveOperator(task_id="approve", pipeline="actions", pass_name="main", answer_within=timedelta(hours=1))


def answered(*options: str, **params: Any) -> dict[str, Any]:
    return {
        "chosen_options": list(options),
        "params_input": {"except_rows": [], **params},
        "responded_at": datetime(2026, 12, 1, tzinfo=UTC),
        "responded_by_user": {"id": "1", "name": "somebody"},
    }


@pytest.fixture
def asked(connections: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The questions that Airflow gets."""
    questions: list[dict[str, Any]] = []
    connections.setattr(hitl, "upsert_hitl_detail", lambda **detail: questions.append(detail))
    return questions


def test_the_calls_are_made_after_the_approval_and_not_before(
    planned: Path, context: Any, asked: list[dict[str, Any]]
) -> None:
    waiting = ask(context)["waiting"]
    assert waiting
    assert not acts(planned)
    with pytest.raises(TaskAwaitingInput):
        approve().execute(context)
    (question,) = asked
    assert question["defaults"] == ["Reject"]
    assert question["body"].count("| refund |") == waiting
    counts = approve().execute_complete(context, answered("Approve"))
    assert counts == {"approved": waiting, "rejected": 0}
    assert ask(context, asks_person=False) == {"succeeded": 3}
    assert len(acts(planned)) == waiting


def test_a_rejected_call_is_not_made_and_its_row_is_answered_without_it(
    planned: Path, context: Any, asked: list[dict[str, Any]]
) -> None:
    waiting = ask(context)["waiting"]
    with pytest.raises(TaskAwaitingInput):
        approve().execute(context)
    row = asked[0]["body"].splitlines()[2].split("``")[1].strip()
    assert row in {"T1", "T2", "T3"}  # its key
    counts = approve().execute_complete(context, answered("Approve", except_rows=[row]))
    assert counts == {"approved": waiting - 1, "rejected": 1}
    assert ask(context, asks_person=False) == {"succeeded": 3}
    assert len(acts(planned)) == waiting - 1


def test_an_exception_for_a_row_that_is_not_in_the_question_approves_nothing(
    planned: Path, context: Any, asked: list[dict[str, Any]]
) -> None:
    waiting = ask(context)["waiting"]
    with pytest.raises(AirflowFailException, match="'Except these rows' names '17'"):
        approve().execute_complete(context, answered("Approve", except_rows=["17"]))
    assert ask(context)["waiting"] == waiting
    assert not acts(planned)


def test_nothing_is_asked_if_no_call_waits(planned: Path, context: Any, asked: list[dict[str, Any]]) -> None:
    with pytest.raises(AirflowSkipException, match="No call waits"):
        approve().execute(context)
    assert not asked


def test_a_call_that_the_question_does_not_show_is_not_approved(
    planned: Path, context: Any, asked: list[dict[str, Any]]
) -> None:
    """After a clear, Airflow shows the question as it was first put."""
    ask(context)
    task = approve()
    with pytest.raises(TaskAwaitingInput):
        task.execute(context)
    folder, lake = task.run_folder(context), open_lake("aws_default")
    lake.write(folder.question_json("main"), Question(steps={}).model_dump_json().encode())
    for again in (lambda: task.execute(context), lambda: task.execute_complete(context, answered("Approve"))):
        with pytest.raises(AirflowFailException, match="still shows the question as it was first put"):
            again()
    assert not acts(planned)


def test_a_clear_after_the_decision_leaves_the_calls_to_the_next_task(
    planned: Path, context: Any, asked: list[dict[str, Any]]
) -> None:
    ask(context)
    with pytest.raises(TaskAwaitingInput):
        approve().execute(context)
    approve().execute_complete(context, answered("Approve"))
    assert approve().execute(context) == {"approved": 0, "rejected": 0}
    ask(context, asks_person=False)
    with pytest.raises(AirflowSkipException):
        approve().execute(context)
