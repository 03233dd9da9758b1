"""The cases that a person should read: where variants differ or answers are wrong, worst first."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from os.path import commonprefix
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd

from include.evaluation.result import EvaluationResult
from include.evaluation.scores import Scores
from include.reporting.evaluation.charts import baseline_of, pairwise_metrics
from include.reporting.evaluation.word_diff import Piece, word_diff
from include.reporting.evaluation.wording import showable

#: The outcome of a case under a metric, worst first. ``worse``, ``better``: than the baseline, in at least one variant.
#: ``wrong``: no variant differs from the baseline, and not all answers are right. ``unscored``: no grade could be read.
#: ``flickering``: the samples of a variant disagree. ``right`` and ``missing`` (no expected value) are counted only.
Outcome = Literal["worse", "better", "wrong", "unscored", "flickering", "right", "missing"]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
SHOWN_OUTCOMES: tuple[Outcome, ...] = OUTCOMES[:5]
#: The most cases on the page, and the most bytes of their texts: the page must open at once in any browser.
MOST_CASES = 300
MOST_BYTES = 3_000_000
#: The most characters of one text, and how many of them come before the first difference.
MOST_CHARACTERS = 1_500
_BEFORE_DIFFERENCE = 200
_MOST_ANSWERS = 5
#: The markup around a piece or an answer, in bytes.
_MARKUP_BYTES = 60
_SAME = 1e-9
#: The status of the baseline's answer under a pairwise metric: the others are compared with it.
BASELINE = "baseline"


@dataclass(frozen=True, kw_only=True)
class Answer:
    """
    One answer of a variant.

    :param samples: how many samples gave it
    :param pieces: None if there is no answer
    :param score: from 0 to 1; None unless it is scored
    :param status: of the score, or BASELINE
    :param cut: the answer goes on, or begins earlier
    """

    samples: int
    pieces: list[Piece] | None
    score: float | None
    status: str
    detail: str
    cut: bool


@dataclass(frozen=True, kw_only=True)
class VariantAnswers:
    """The answers of a variant to one case, most frequent first, and how many more there are."""

    variant: str
    score: float | None
    answers: list[Answer]
    more: int


@dataclass(frozen=True, kw_only=True)
class Case:
    """
    A case under one metric.

    :param about: its key, groups and cluster
    :param outcomes: the first is the main one
    :param expected: None without an expected value
    """

    metric: str
    about: Mapping[str, str]
    outcomes: list[Outcome]
    expected: str | None
    expected_cut: bool
    variants: list[VariantAnswers]


@dataclass(frozen=True, kw_only=True)
class CasesToRead:
    """
    The cases of the page.

    :param counts: of all cases, by metric and outcome
    """

    cases: list[Case]
    counts: Mapping[str, Mapping[Outcome, int]]

    @property
    def total(self) -> int:
        """The cases that would be shown on a page without limits."""
        return sum(counts[outcome] for counts in self.counts.values() for outcome in SHOWN_OUTCOMES)


def choose_cases(result: EvaluationResult, scores: Scores) -> CasesToRead:
    """Choose at most MOST_CASES cases with at most MOST_BYTES of text, equally from each metric and outcome."""
    judged = {name: _outcomes(result, name, frame) for name, frame in _by_metric(scores.scores)}
    counts = {
        name: {outcome: int((found["outcome"] == outcome).sum()) for outcome in OUTCOMES}
        for name, found in judged.items()
    }
    chosen = _chosen(judged)
    cases, size = [], 0
    for case in _cases(result, scores, chosen):
        size += _bytes(case)
        if size > MOST_BYTES:
            break
        cases.append(case)
    metrics = list(judged)
    order = sorted(cases, key=lambda case: (SHOWN_OUTCOMES.index(case.outcomes[0]), metrics.index(case.metric)))
    return CasesToRead(cases=order, counts=counts)


def _by_metric(frame: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    for name, found in frame.groupby("metric", observed=True, sort=False):
        yield str(name), found


def _outcomes(result: EvaluationResult, metric: str, frame: pd.DataFrame) -> pd.DataFrame:
    """Return a row per case with its ``outcome``, its ``severity`` (lower is worse) and its other outcomes."""
    by_answer = frame.groupby(["case", "variant"], observed=True, sort=False)["score"].agg(["mean", "min", "max"])
    means = by_answer["mean"].unstack("variant")
    flickering = ((by_answer["max"] - by_answer["min"]) > _SAME).groupby("case").any().reindex(means.index)
    unscored = means.index.isin(frame.loc[frame["status"] == "unscored", "case"].unique())
    pairwise = metric in pairwise_metrics(result)
    baseline = baseline_of(result, metric)
    others = means.drop(columns=[baseline], errors="ignore")
    if pairwise:
        # The score of a pair: 1 if the variant wins, 0 if the baseline does.
        change = others - 0.5
    elif baseline in means:
        change = others.sub(means[baseline], axis="index")
    else:
        change = others * np.nan
    lowest = means.min(axis="columns")
    worst, best = change.min(axis="columns"), change.max(axis="columns")
    wrong = (lowest < 1 - _SAME) & (not pairwise)
    outcome = np.select(
        [worst < -_SAME, best > _SAME, wrong, unscored, flickering, means.isna().all(axis="columns")],
        ["worse", "better", "wrong", "unscored", "flickering", "missing"],
        default="right",
    )
    severity = np.select([outcome == "worse", outcome == "better", outcome == "wrong"], [worst, -best, lowest], 0.0)
    judged = {"outcome": outcome, "severity": severity, "flickering": flickering, "unscored": unscored}
    return pd.DataFrame(judged, index=means.index)


def _chosen(judged: Mapping[str, pd.DataFrame]) -> list[tuple[str, int, list[Outcome]]]:
    """Return the metric, position and outcomes of the worst cases of each metric and outcome, in turn."""
    ranked: list[tuple[int, str, int, list[Outcome]]] = []
    for name, found in judged.items():
        for outcome in SHOWN_OUTCOMES:
            worst = found[found["outcome"] == outcome].sort_values("severity", kind="stable").head(MOST_CASES)
            flags = zip(worst.index.to_list(), worst["unscored"], worst["flickering"], strict=True)
            for rank, (position, unscored, flickering) in enumerate(flags):
                outcomes: list[Outcome] = [outcome]
                outcomes += ["unscored"] if unscored and outcome != "unscored" else []
                outcomes += ["flickering"] if flickering and outcome != "flickering" else []
                ranked.append((rank, name, position, outcomes))
    ranked.sort(key=lambda one: one[0])
    return [(name, position, outcomes) for _, name, position, outcomes in ranked[:MOST_CASES]]


def _cases(result: EvaluationResult, scores: Scores, chosen: list[tuple[str, int, list[Outcome]]]) -> Iterator[Case]:
    frame = scores.scores
    mask = frame["case"].isin([case for _, case, _ in chosen]).to_numpy()
    texts = scores.texts[mask]
    columns = {
        name: frame.loc[mask, name].to_list() for name in ("metric", "case", "variant", "sample", "status", "score")
    }
    columns |= {name: texts[name].to_list() for name in ("expected", "answer", "detail")}
    rows: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for values in zip(*columns.values(), strict=True):
        row = dict(zip(columns, values, strict=True))
        rows.setdefault((row["metric"], row["case"]), []).append(row)
    order = [one.variant for one in result.variants]
    for metric, position, outcomes in chosen:
        about = {str(name): showable(value) or "" for name, value in scores.cases.iloc[position].items()}
        mine, baseline = rows[(metric, position)], baseline_of(result, metric)
        if metric in pairwise_metrics(result):
            others = [found for (_, case), found in rows.items() if case == position]
            mine = [*_baseline_rows(mine, others, baseline), *mine]
        yield _case(metric, about, outcomes, mine, order, baseline)


def _baseline_rows(
    mine: list[dict[str, Any]], others: list[list[dict[str, Any]]], baseline: str | None
) -> list[dict[str, Any]]:
    """
    Return the baseline's answers to a case under a pairwise metric, which scores only the other variants.

    They are those of a metric with the same answers of the other variants: it is of the same field.
    """
    given = {(row["variant"], row["sample"]): row["answer"] for row in mine}
    for rows in others:
        if given.items() <= {(row["variant"], row["sample"]): row["answer"] for row in rows}.items():
            found = [row for row in rows if row["variant"] == baseline]
            if found:
                return [row | {"score": np.nan, "status": BASELINE, "detail": "", "expected": None} for row in found]
    return []


def _case(
    metric: str,
    about: Mapping[str, str],
    outcomes: list[Outcome],
    rows: list[dict[str, Any]],
    order: list[str],
    baseline: str | None,
) -> Case:
    expected = next((text for row in rows if (text := showable(row["expected"]))), None)
    texts = {id(row): showable(row["answer"]) for row in rows}
    # Without an expected value, what a reader compares with is the baseline's answer.
    compared = expected or next((texts[id(row)] for row in rows if row["variant"] == baseline), None)
    first = _window_start([compared or "", *(text for text in texts.values() if text)])
    names = sorted(
        {str(row["variant"]) for row in rows},
        key=lambda name: (name not in order, order.index(name) if name in order else 0, name),
    )
    variants = []
    for name in names:
        mine = [row for row in rows if row["variant"] == name]
        plain = compared is None or (expected is None and name == baseline)
        variants.append(_variant(name, mine, texts, first, None if plain else compared))
    cut_expected = _window(expected, first)
    return Case(
        metric=metric,
        about=about,
        outcomes=outcomes,
        expected=cut_expected,
        expected_cut=cut_expected != expected,
        variants=variants,
    )


def _variant(
    name: str, rows: list[dict[str, Any]], texts: Mapping[int, str | None], first: int, compared: str | None
) -> VariantAnswers:
    alike: dict[tuple[str | None, Any], list[dict[str, Any]]] = {}
    for row in rows:
        known = None if np.isnan(row["score"]) else float(row["score"])
        alike.setdefault((texts[id(row)], known), []).append(row)
    most = sorted(alike.items(), key=lambda one: -len(one[1]))[:_MOST_ANSWERS]
    answers = []
    for (text, known), found in most:
        shown = _window(text, first)
        answers.append(
            Answer(
                samples=len(found),
                pieces=_pieces(shown, None if compared is None else _window(compared, first)),
                score=known,
                status=str(found[0]["status"]),
                detail=_window(showable(found[0]["detail"]), 0) or "",
                cut=shown != text,
            )
        )
    scored = [row["score"] for row in rows if not np.isnan(row["score"])]
    mean = float(np.mean(scored)) if scored else None
    return VariantAnswers(variant=name, score=mean, answers=answers, more=len(alike) - len(answers))


def _pieces(text: str | None, compared: str | None) -> list[Piece] | None:
    if not text:
        return None
    return [Piece(text=text, kind="same")] if compared is None else word_diff(compared, text)


def _window_start(texts: list[str]) -> int:
    """Return where texts of which one is too long begin to be worth reading: shortly before their first difference."""
    if max(map(len, texts)) <= MOST_CHARACTERS:
        return 0
    shared = commonprefix(texts)  # noqa: RUF071  # these are texts, compared by character, and no paths
    return max(0, len(shared) - _BEFORE_DIFFERENCE)


def _window(text: str | None, first: int) -> str | None:
    return None if text is None else text[first : first + MOST_CHARACTERS]


def _bytes(case: Case) -> int:
    answers = [answer for variant in case.variants for answer in variant.answers]
    pieces = [piece.text for answer in answers for piece in answer.pieces or []]
    texts = [case.expected or "", *case.about.values(), *pieces, *(answer.detail for answer in answers)]
    return sum(len(html.escape(text).encode("utf-8", "replace")) + _MARKUP_BYTES for text in texts)
