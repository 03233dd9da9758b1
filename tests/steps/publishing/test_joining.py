"""joining.py: rows and their answers side by side, in the source's order."""

from __future__ import annotations

import random
from decimal import Decimal
from pathlib import Path

import pytest

from include.enrichment.answers.outcome import Outcome
from include.enrichment.answers.table import ANSWERED_SCHEMA
from include.steps.publishing import joining
from include.steps.publishing.joining import join_rows, write_by_position
from include.steps.publishing.matching import match_rows
from tests.steps.publishing.test_matching import outcome, repairs_of, write_results, write_rows


def join(
    folder: Path, request_ids: list[str | None], *batches: list[Outcome], **repairs: str
) -> list[dict[str, object]]:
    """Each row's own columns together with what was answered to it."""
    rows, paths = write_rows(folder, request_ids, rows_at_once=7), write_results(folder, *batches)
    results = {f"b_{number}": path for number, path in enumerate(paths)}
    with match_rows(rows, paths, repairs_of(**repairs), own=range(len(paths)), folder=folder) as matches:
        write_by_position(results, matches, folder=folder)
    lines = []
    for some, answered, others in join_rows(rows, folder=folder):
        assert "params" not in some.column_names
        assert answered.schema == ANSWERED_SCHEMA
        assert not len(others)
        assert 0 < len(some) == len(answered) <= joining._PORTION_ROWS
        lines += [row | answer for row, answer in zip(some.to_pylist(), answered.to_pylist(), strict=True)]
    assert not list(folder.glob("*.arrow"))
    return lines


def test_each_row_has_what_was_answered_to_it(tmp_path: Path) -> None:
    said = outcome("again", text="hm \u2028\0☃", reason="not JSON", model="m")
    good = outcome("r_2", "succeeded", output='{"a":1}', model="m")
    first, unsent, second = join(tmp_path, ["r_1", None, "r_2"], [outcome("r_1")], [said, good], r_1="again")
    assert first == {
        "id": 0,
        "request_id": "r_1",
        "problem": None,
        "outcome": "invalid",
        "output": None,
        "reason": "not JSON",
        "text": "hm \u2028\0☃",
        "_request_id": "again",
        "_batch_id": "b_1",
        "_model": "m",
        "_cost_usd": None,
    }
    assert (second["outcome"], second["output"], second["_batch_id"]) == ("succeeded", '{"a":1}', "b_1")
    assert (unsent["id"], unsent["problem"]) == (1, "no")
    assert {unsent[name] for name in ANSWERED_SCHEMA.names} == {None}


@pytest.mark.parametrize("portion", [1, 5, 1_000])
@pytest.mark.parametrize("lines", [3, 1_000])
def test_order_is_the_rows_and_not_the_answers(
    tmp_path: Path, portion: int, lines: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(joining, "_PORTION_ROWS", portion)
    monkeypatch.setattr(joining, "_LINES_AT_ONCE", lines)
    luck = random.Random(portion)
    names = [f"r_{number}" for number in range(30)]
    batches = [
        [outcome(name, "succeeded", output=name) for name in luck.sample(names[start::3], 10)] for start in range(3)
    ]
    rows = [luck.choice([None, *names]) for _ in range(53)]
    joined_rows = join(tmp_path, rows, *batches)
    assert [row["id"] for row in joined_rows] == list(range(53))
    assert [row["output"] for row in joined_rows] == rows
    assert [row["_batch_id"] for row in joined_rows] == [name and f"b_{int(name[2:]) % 3}" for name in rows]


def test_a_portion_of_which_no_row_was_sent_has_no_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joining, "_PORTION_ROWS", 2)
    rows = join(tmp_path, [None, None, "r_1"], [outcome("r_1", "expired")])
    assert [row["outcome"] for row in rows] == [None, None, "expired"]
    assert rows[2]["_cost_usd"] == Decimal(0)


def test_no_rows_give_no_portion(tmp_path: Path) -> None:
    assert join(tmp_path, [], [outcome("r_1")]) == []


def test_an_empty_text_stays_an_empty_text(tmp_path: Path) -> None:
    (row,) = join(tmp_path, ["r_1"], [outcome("r_1", "succeeded", output="", model="")])
    assert (row["output"], row["_model"]) == ("", "")


def test_the_other_usable_answers_of_a_portion_are_together_by_row_and_the_best_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(joining, "_PORTION_ROWS", 2)
    rows = write_rows(tmp_path, ["r_1", "r_2", None, "r_2", "r_1"])
    answers = [[outcome(name, "succeeded", output=f"{name} {n}") for name in ("r_1", "r_2")] for n in range(3)]
    results = {f"b_{number}": path for number, path in enumerate(write_results(tmp_path, *answers))}
    with match_rows(rows, list(results.values()), repairs_of(), own=[], folder=tmp_path, others=True) as matches:
        write_by_position(results, matches, folder=tmp_path)
    found = [(answered, others) for _, answered, others in join_rows(rows, folder=tmp_path)]
    assert [answered["output"].to_pylist() for answered, _ in found] == [["r_1 2", "r_2 2"], [None, "r_2 2"], ["r_1 2"]]
    assert [list(zip(*(others[n].to_pylist() for n in ("place", "output")), strict=True)) for _, others in found] == [
        [(0, "r_1 1"), (0, "r_1 0"), (1, "r_2 1"), (1, "r_2 0")],
        [(1, "r_2 1"), (1, "r_2 0")],
        [(0, "r_1 1"), (0, "r_1 0")],
    ]
    assert not list(tmp_path.glob("*.arrow"))
