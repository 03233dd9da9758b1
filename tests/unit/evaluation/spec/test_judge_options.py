"""judge_options.py: how the grades of a judge become scores."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from include.evaluation.options import OptionMistakes
from include.evaluation.spec.judge_options import (
    GradeOptions,
    label_of,
    read_grade_options,
    read_verdict_options,
)


@pytest.mark.parametrize(
    ("value", "label"),
    [
        (3, "3"),
        (3.0, "3"),
        (2.5, "2.5"),
        (Decimal("4"), "4"),
        (True, "true"),
        (" good ", "good"),
        (None, None),
        ([1], None),
    ],
)
def test_a_grade_is_written_in_one_way(value: Any, label: str | None) -> None:
    assert label_of(value) == label


@pytest.mark.parametrize(
    ("grade", "score"),
    [(1, 0), (3, 0.5), (5, 1), ("4", 0.75), (6, None), (0, None), ("good", None), (True, 1), (None, None)],
)
def test_numbers_are_scaled_and_others_have_no_score(grade: Any, score: float | None) -> None:
    assert GradeOptions().score(grade) == score


def test_a_scale_may_begin_with_its_best_grade() -> None:
    assert [read_grade_options({"scale": [6, 1]}).score(grade) for grade in (1, 6)] == [1, 0]


def test_points_are_the_scores_whatever_yaml_makes_of_the_grades() -> None:
    options = read_grade_options({"points": {"good": 1, True: 0.5, 3: 0}})
    assert [options.score(grade) for grade in ("good", True, 3, "3", "fair", 4)] == [1, 0.5, 0, 0, None, None]


def test_a_text_is_the_field() -> None:
    assert (read_grade_options("mark").field, read_verdict_options("best").field) == ("mark", "best")
    assert (read_grade_options(None).field, read_verdict_options(None).field) == ("grade", "verdict")


def test_humans_may_have_graded_one_variant_or_several() -> None:
    one = read_grade_options({"human": "label"})
    several = read_grade_options({"human": {"a": "label_a", "b": "label_b"}})
    assert (one.human_column("any"), one.human_columns) == ("label", ["label"])
    assert [several.human_column(name) for name in ("a", "b", "c")] == ["label_a", "label_b", None]
    assert several.human_columns == ["label_a", "label_b"]


@pytest.mark.parametrize(
    ("setting", "path", "fact"),
    [
        ({"point": {}}, ("point",), "unknown key; did you mean 'points'?"),
        ({"points": {"good": 2}}, ("points", "good"), "Input should be less than or equal to 1"),
        ({"scale": [1, 1]}, ("scale",), "must be the worst and the best grade, which differ"),
        ({"scale": [1]}, ("scale",), "List should have at least 2 items"),
        ({"least_kappa": 2}, ("least_kappa",), "Input should be less than or equal to 1"),
    ],
)
def test_mistakes_have_their_place(setting: dict[str, Any], path: tuple[str, ...], fact: str) -> None:
    with pytest.raises(OptionMistakes) as told:
        read_grade_options(setting)
    ((found, said),) = told.value.mistakes
    assert (found, said.startswith(fact)) == (path, True)


def test_a_verdict_has_no_points() -> None:
    with pytest.raises(OptionMistakes, match="unknown key"):
        read_verdict_options({"points": {"first": 1}})


@pytest.mark.parametrize("grade", [float("nan"), float("inf"), Decimal("NaN"), Decimal("-Infinity")])
def test_a_grade_that_is_no_finite_number_has_no_score(grade: Any) -> None:
    assert label_of(grade) == str(grade)
    assert read_grade_options(None).score(grade) is None
