"""voting.py: the majority counts, and a grade that cannot be read is never a wrong answer."""

from __future__ import annotations

import pytest

from include.evaluation.judges.voting import Vote, majority, majority_score


def votes(*grades: tuple[str, float | None]) -> list[Vote]:
    return [
        Vote(judge=f"j{number}", grade=grade, score=score, reason=f"because {number}")
        for number, (grade, score) in enumerate(grades)
    ]


GOOD, FAIR, POOR, UNREAD = ("good", 1.0), ("fair", 0.5), ("poor", 0.0), ("", None)


@pytest.mark.parametrize(
    ("cast", "score"),
    [
        ([GOOD], 1.0),
        ([GOOD, GOOD, POOR], 1.0),
        ([GOOD, POOR], 0.5),
        ([GOOD, FAIR, POOR], 0.5),
        ([GOOD, FAIR], 0.75),
        ([UNREAD, POOR, UNREAD], 0.0),
    ],
)
def test_the_most_frequent_grade_counts_and_equals_share(cast: list[tuple[str, float | None]], score: float) -> None:
    grade = majority(votes(*cast))
    assert (grade.status, grade.score) == ("scored", score)


@pytest.mark.parametrize("cast", [[], [UNREAD], [UNREAD, UNREAD]])
def test_without_a_readable_grade_an_answer_is_unscored(cast: list[tuple[str, float | None]]) -> None:
    grade = majority(votes(*cast))
    assert (grade.status, grade.score) == ("unscored", None)
    assert grade.detail == ("; ".join(f"because {number}" for number in range(len(cast))) or "no judge has graded it")
    assert majority_score(votes(*cast)) is None


def test_the_detail_is_what_the_judges_say() -> None:
    assert majority(votes(GOOD)).detail == "good. because 0"
    assert majority(votes(GOOD, UNREAD, GOOD)).detail.splitlines() == [
        "good (2 of 3)",
        "j0: good. because 0",
        "j1: because 1",
        "j2: good. because 2",
    ]
