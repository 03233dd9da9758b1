"""cases.py: the cases that a person should read."""

from __future__ import annotations

import pytest

from include.evaluation.result import PositionBias
from include.reporting.evaluation import cases
from include.reporting.evaluation.cases import BASELINE, MOST_CHARACTERS, choose_cases
from tests.fixtures.evaluation_report import Line, comparison, result, scores


def _pair(case: int, current: float | None, short: float | None, answers: tuple[str | None, str | None]) -> list[Line]:
    return [(case, "current", current, "Toys", answers[0]), (case, "short", short, "Toys", answers[1])]


LINES = [
    *_pair(0, 1, 1, ("Toys", "Toys")),
    *_pair(1, 0, 0, ("Books", "Books")),
    *_pair(2, 0, 1, ("Books", "Toys")),
    *_pair(3, 1, 0.5, ("Toys", "Toy")),
    *_pair(4, 1, 0, ("Toys", None)),
    *_pair(5, 1, None, ("Toys", "?")),
]


def test_the_worst_cases_come_first_and_right_ones_are_only_counted() -> None:
    read = choose_cases(result(), scores(LINES))
    assert [(case.about["id"], case.outcomes) for case in read.cases] == [
        ("p4", ["worse"]),
        ("p3", ["worse"]),
        ("p2", ["better"]),
        ("p1", ["wrong"]),
        ("p5", ["unscored"]),
    ]
    assert {name: number for name, number in read.counts["category"].items() if number} == {
        **{"worse": 2, "better": 1, "wrong": 1, "unscored": 1, "right": 1}
    }
    assert read.total == 5


def test_answers_are_compared_with_the_expected_value() -> None:
    case = next(case for case in choose_cases(result(), scores(LINES)).cases if case.about["id"] == "p3")
    assert (case.expected, [variant.variant for variant in case.variants]) == ("Toys", ["current", "short"])
    [[right], [other]] = [variant.answers for variant in case.variants]
    assert [piece.kind for piece in right.pieces or []] == ["same"]
    assert [piece.kind for piece in other.pieces or []] == ["added"]


def test_without_an_expected_value_answers_are_compared_with_the_baselines() -> None:
    lines: list[Line] = [(0, "current", 1, None, "a warm lamp"), (0, "short", 0.5, None, "a warm old lamp")]
    [case] = choose_cases(result(), scores(lines)).cases
    kinds = [[piece.kind for piece in variant.answers[0].pieces or []] for variant in case.variants]
    assert (case.expected, kinds) == (None, [["same"], ["same", "added", "same"]])


def test_an_answer_that_is_missing_is_no_text() -> None:
    case = choose_cases(result(), scores(LINES)).cases[0]
    assert case.variants[1].answers[0].pieces is None


def test_like_samples_are_one_answer_and_samples_that_disagree_are_reported() -> None:
    right: Line = (0, "current", 1, "Toys", "Toys")
    lines: list[Line] = [right, right, (0, "current", 0, "Toys", "Books")]
    [case] = choose_cases(result(comparisons=[]), scores(lines, sample=[1, 2, 3])).cases
    assert case.outcomes == ["wrong", "flickering"]
    [variant] = case.variants
    assert [(answer.samples, answer.score) for answer in variant.answers] == [(2, 1.0), (1, 0.0)]
    assert variant.score == pytest.approx(2 / 3)


def test_without_a_baseline_nothing_is_better_or_worse() -> None:
    read = choose_cases(result(comparisons=[]), scores(LINES))
    assert {case.outcomes[0] for case in read.cases} == {"wrong", "unscored"}


def test_a_pair_that_the_variant_lost_is_worse_and_a_tie_is_right() -> None:
    bias = PositionBias(metric="category", judge="pairs", pairs=3, disagreements=0, unscored=0, first_share=0.5)
    lines: list[Line] = [(place, "short", value, None, "x") for place, value in enumerate([0, 0.5, 1])]
    read = choose_cases(result(position_bias=[bias]), scores(lines))
    assert [(case.about["id"], case.outcomes) for case in read.cases] == [("p0", ["worse"]), ("p2", ["better"])]
    assert read.counts["category"]["right"] == 1


def test_a_pair_is_shown_with_the_baselines_answer_of_another_metric_of_the_same_field() -> None:
    bias = PositionBias(metric="preferred", judge="pairs", pairs=1, disagreements=0, unscored=0, first_share=0.5)
    lines: list[Line] = [
        (0, "current", 1, None, "other field"),
        (0, "short", 1, None, "another"),
        (0, "current", 1, None, "a warm lamp"),
        (0, "short", 1, None, "a cosy lamp"),
        (0, "short", 0, None, "a cosy lamp"),
    ]
    metrics = ["other", "other", "pitch", "pitch", "preferred"]
    compared = [comparison(metric=name) for name in dict.fromkeys(metrics)]
    read = choose_cases(result(position_bias=[bias], comparisons=compared), scores(lines, metric=metrics))
    [case] = [case for case in read.cases if case.metric == "preferred"]
    [[before], [after]] = [variant.answers for variant in case.variants]
    assert (before.status, before.score) == (BASELINE, None)
    assert "".join(piece.text for piece in before.pieces or []) == "a warm lamp"
    assert [piece.text for piece in after.pieces or [] if piece.kind != "same"] == ["warm", "cosy"]


def test_cases_without_an_expected_value_are_only_counted() -> None:
    read = choose_cases(result(), scores([(0, "current", None, None, "Toys")], status=["missing"]))
    assert (read.cases, read.counts["category"]["missing"]) == ([], 1)


def test_a_page_has_a_bounded_number_of_cases_of_each_outcome(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cases, "MOST_CASES", 4)
    lines = [line for place in range(10) for line in _pair(place, place % 2, 1 - place % 2, ("a", "b"))]
    read = choose_cases(result(), scores(lines))
    assert [case.outcomes[0] for case in read.cases] == ["worse", "worse", "better", "better"]
    assert read.total == 10


def test_a_page_has_a_bounded_number_of_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cases, "MOST_BYTES", 8_000)
    lines = [line for place in range(10) for line in _pair(place, 1, 0, ("&" * 100, "<" * 100))]
    assert 0 < len(choose_cases(result(), scores(lines)).cases) < 8


def test_a_long_text_is_cut_around_the_first_difference() -> None:
    shared = "word " * 1_000
    lines: list[Line] = [
        (0, "current", 1, shared + "red", shared + "red"),
        (0, "short", 0, shared + "red", shared + "blue"),
    ]
    [case] = choose_cases(result(), scores(lines)).cases
    assert case.expected_cut
    assert case.expected is not None
    assert case.expected.endswith("red")
    assert len(case.expected) <= MOST_CHARACTERS
    assert [piece.text for piece in case.variants[1].answers[0].pieces or []][-2:] == ["red", "blue"]


def test_no_scores_are_no_cases() -> None:
    assert choose_cases(result(), scores([])).cases == []
