"""What is said of a run's tasks while it goes on."""

from __future__ import annotations

import pytest

from include.stack.airflow_api import TaskInstance
from include.stack.progress import Progress, complain, say


def tasks(*states: str | None) -> list[TaskInstance]:
    return [TaskInstance(task_id="catalogue.wait", map_index=index, state=state) for index, state in enumerate(states)]


@pytest.mark.parametrize(
    ("states", "said"),
    [
        ([None], ""),
        (["deferred"], "deferred"),
        (["deferred", "success", "deferred"], "deferred (2 of 3)"),
        (["success", None], "success (1 of 2)"),
        (["success", "failed", "deferred"], "failed (1 of 3)"),
        (["skipped", "removed"], "skipped (1 of 2)"),
    ],
)
def test_one_word_stands_for_all_instances_of_a_task(states: list[str | None], said: str) -> None:
    assert Progress("catalogue").summaries(tasks(*states)) == {"wait": said}


def test_a_state_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress("catalogue")
    for state in (None, "queued", "queued", "success", "success"):
        progress.show(tasks(state))
    said = capsys.readouterr().out.splitlines()
    assert [line.split("s  ", 1)[1].split() for line in said] == [["wait", "queued"], ["wait", "success"]]


def test_data_that_an_error_quotes_does_not_control_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    complain("ticket=\x1b[2J\u202eT1\ud800:\n\tpitch … × 3")
    say("\x9b31mT2")
    found = capsys.readouterr()
    assert (found.err, found.out) == ("ticket= [2J T1 :\n\tpitch … × 3\n", " 31mT2\n")
