"""The majority of several grades of the same answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from include.evaluation.scores import Grade


@dataclass(frozen=True, kw_only=True)
class Vote:
    """
    One grade of one answer.

    :param grade: for people; empty if it could not be read
    :param score: None if it could not be read
    :param reason: what the judge says about it, or why it could not be read
    """

    judge: str
    grade: str
    score: float | None
    reason: str


def majority(votes: Sequence[Vote]) -> Grade:
    """
    Return the most frequent grade. If several are equally frequent, the score is their mean.

    Votes that could not be read do not count. If none could, the answer is unscored, which is not the same as wrong.
    """
    read = [vote for vote in votes if vote.score is not None]
    if not read:
        reasons = list(dict.fromkeys(vote.reason for vote in votes if vote.reason))
        return Grade(status="unscored", detail="; ".join(reasons) or "no judge has graded it")
    score = majority_score(read)
    counts = Counter(vote.grade for vote in read)
    tally = ", ".join(f"{grade} ({count} of {len(votes)})" for grade, count in counts.most_common())
    if len(votes) == 1:
        return Grade(status="scored", score=score, detail=_said(read[0].grade, read[0].reason))
    said = [f"{vote.judge}: {_said(vote.grade, vote.reason)}" for vote in votes]
    return Grade(status="scored", score=score, detail="\n".join([tally, *said]))


def majority_score(votes: Sequence[Vote]) -> float | None:
    """Return the score of the most frequent grade, the mean of several ones; None if no vote could be read."""
    counts = Counter(vote.score for vote in votes if vote.score is not None)
    best = [score for score, count in counts.items() if count == max(counts.values())]
    return sum(best) / len(best) if best else None


def _said(grade: str, reason: str) -> str:
    return ". ".join(part for part in (grade, reason) if part)
