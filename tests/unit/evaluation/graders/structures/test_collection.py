"""graders/structures/collection.py: lists of values, with and without an order."""

from __future__ import annotations

from typing import Any

import pytest

from include.evaluation.graders.structures.collection import List, Set


@pytest.mark.parametrize(
    ("expected", "answer", "precision", "recall", "f1"),
    [
        (["a", "b"], ["B ", "a"], 1, 1, 1),
        (["a", "b", "c", "d"], ["a", "b", "x"], 2 / 3, 0.5, 4 / 7),
        (["a", "a"], ["a"], 1, 1, 1),
        (["a"], ["x"], 0, 0, 0),
        (["a"], [], 0, 0, 0),
        ([], ["a"], 0, 1, 0),
        ([], [], 1, 1, 1),
        ([1, 2], [2.0, 3], 0.5, 0.5, 0.5),
        ([True], [1], 0, 0, 0),
        ([None], [None], 1, 1, 1),
        ([{"a": "X"}], [{"a": "x"}], 1, 1, 1),
        ([["a", "b"]], [["b", "a"]], 0, 0, 0),
        ('["a", "b"]', ["a", "b"], 1, 1, 1),
        ("a, b", ["a, b"], 1, 1, 1),
    ],
)
def test_a_set_is_scored_by_its_members(expected: Any, answer: Any, precision: float, recall: float, f1: float) -> None:
    assert Set(score="precision").grade(expected, answer).score == pytest.approx(precision)
    assert Set(score="recall").grade(expected, answer).score == pytest.approx(recall)
    assert Set().grade(expected, answer).score == pytest.approx(f1)


def test_a_separator_divides_a_text() -> None:
    assert Set(separator=";").grade("a; b;;c ", ["c", "b", "a"]).score == 1


def test_a_set_names_what_differs() -> None:
    found = Set().grade(["Red", "green"], ["green", "Blue"])
    assert found.detail == "missing: Red; not expected: Blue"
    many = Set().grade([str(number) for number in range(8)], ["x"])
    assert many.detail == "missing: 0, 1, 2, 3, 4 and 3 more; not expected: x"


@pytest.mark.parametrize(
    ("fuzzy", "expected", "answer", "score"),
    [
        (0.8, ["colour", "size"], ["color", "size"], 1),
        (0.95, ["colour", "size"], ["color", "size"], 0.5),
        # Each member is used once, and as many as possible are paired.
        (0.5, ["abcd"], ["abcx", "abcy"], 2 / 3),
        (0.6, ["abcde", "abcxy"], ["abcxe", "abcdz"], 1),
        (0.8, ["colour", 3], ["color", 4], 0.5),
    ],
)
def test_similar_members_count_as_the_same_if_asked(fuzzy: float, expected: Any, answer: Any, score: float) -> None:
    assert Set(fuzzy=fuzzy).grade(expected, answer).score == pytest.approx(score)


def test_members_of_huge_sets_are_compared_for_equality_only() -> None:
    many = [f"member {number}" for number in range(600)]
    assert Set(fuzzy=0.5).grade(many, [f"{one}x" for one in many]).score == 0


@pytest.mark.parametrize(
    ("expected", "answer", "score"),
    [
        (["a", "b", "c"], ["A", "b", "c"], 1),
        (["a", "b", "c"], ["a", "c"], 4 / 5),
        (["a", "b"], ["b", "a"], 0.5),
        (["a", "a"], ["a"], 2 / 3),
        ([], [], 1),
        ([], ["a"], 0),
        (["a"], ["b"], 0),
        ([1, 2, 3], [1, 2, 3.0], 1),
        ([1, True], [True, 1], 0.5),
    ],
)
def test_a_list_is_scored_by_its_longest_common_subsequence(expected: Any, answer: Any, score: float) -> None:
    assert List().grade(expected, answer).score == pytest.approx(score)


def test_a_list_says_whether_only_the_order_differs() -> None:
    assert List().grade(["a", "b"], ["b", "a"]).detail == "the members are in another order, or repeated"
    assert List().grade(["a", "b"], ["b"]).detail == "missing: a"
    assert List().grade(["a"], ["a"]).detail == ""


def test_long_lists_are_compared_in_seconds() -> None:
    many = list(range(20_000))
    assert List().grade(many, many[1:]).detail == "missing: 0"
