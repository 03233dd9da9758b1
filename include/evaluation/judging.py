"""Turns what judges have published into scores, and measures how far the judges can be trusted."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from include.enrichment.spec.pipeline import Pipeline
from include.enrichment.spec.sources.pairs import FIRST, SECOND
from include.evaluation.answers import Answer, Answers, without_value
from include.evaluation.cases import Cases, number_cases
from include.evaluation.judges.both_orders import Merged, Pair, merge_orders
from include.evaluation.judges.judge import Judge, judged_rows, variant_column
from include.evaluation.judges.trust import agreements, position_bias
from include.evaluation.judges.voting import Vote, majority, majority_score
from include.evaluation.result import JudgeAgreement, PositionBias
from include.evaluation.scores import Grade, Scores, join_scores, score_rows
from include.evaluation.spec.judge_options import (
    TIE,
    GradeOptions,
    Options,
    label_of,
    read_grade_options,
    read_verdict_options,
)
from include.evaluation.spec.settings import EvaluationSettings, MetricSettings

#: What a variant scores in a pair that it wins, ties or loses.
_WIN, _DRAW, _LOSS = 1.0, 0.5, 0.0


@dataclass(frozen=True, kw_only=True)
class Judged:
    """
    The scores that judges give, and how much to trust them.

    :param scores: of the metrics with a judge only
    :param preferred_to: the baseline of each pairwise metric, if its judges have one
    """

    scores: Scores
    agreements: list[JudgeAgreement]
    position_bias: list[PositionBias]
    preferred_to: dict[str, str]


def judge_table(
    table: pa.Table,
    rejects: pa.Table,
    settings: EvaluationSettings,
    pipeline: Pipeline,
    judges: Mapping[str, Judge],
) -> Judged:
    """
    Return the scores of all metrics with a judge. Under ``pairwise``, the baseline of the pairs has no scores of its
    own: the score of another variant is 1 if it is preferred to the baseline, 0.5 for a tie and 0 otherwise. Without a
    baseline, it is the mean over all other variants.

    :param table: the published rows of the evaluated partition, as for grade_table()
    :param rejects: its rejects, which lose against every usable answer unless ``on_missing`` is skip
    :param judges: by the name of their pipeline

    Raises LoadError if an answer has no value and ``on_missing`` is error.
    """
    cases = number_cases(table, rejects, settings, pipeline)
    evaluated = _Evaluated(answers=Answers.of(table, rejects, cases), cases=cases, judges=judges)
    found = [
        evaluated.compared(name, metric) if metric.pairwise else evaluated.graded(name, metric)
        for name, metric in settings.metrics.items()
        if not metric.has_grader
    ]
    return Judged(
        scores=join_scores([one.scores for one in found], cases=cases.frame),
        agreements=[each for one in found for each in one.agreements],
        position_bias=[each for one in found for each in one.position_bias],
        preferred_to={metric: baseline for one in found for metric, baseline in one.preferred_to.items()},
    )


@dataclass(frozen=True, kw_only=True)
class _Evaluated:
    answers: Answers
    cases: Cases
    judges: Mapping[str, Judge]

    def graded(self, name: str, metric: MetricSettings) -> Judged:
        """Return the scores of judges of single answers."""
        options, answers = read_grade_options(metric.grade), self._answers(name, metric)
        votes = self._votes(metric, options)
        grades = [
            without_value(metric, answers.unusable[answer])
            if answer in answers.unusable
            else majority([vote for of_judge in votes.values() for vote in of_judge.get(answer, ())])
            for answer in answers.all
        ]
        of_judges = {
            judge: {answer: score for answer, cast in of_judge.items() if (score := majority_score(cast)) is not None}
            for judge, of_judge in votes.items()
        }
        human = {
            answer: score
            for answer, label in self._human(options, answers).items()
            if (score := options.score(label)) is not None
        }
        return Judged(
            scores=self._scores(name, metric, answers, grades, options),
            agreements=agreements(name, options, of_judges, human, level="ordinal"),
            position_bias=[],
            preferred_to={},
        )

    def compared(self, name: str, metric: MetricSettings) -> Judged:
        """Return the scores of judges of pairs."""
        options, answers = read_verdict_options(metric.grade), self._answers(name, metric)
        merged = {
            judge.name: merge_orders(judged_rows(judge, options.field, self.cases, names=(FIRST, SECOND)))
            for judge in self._judges_of(metric)
        }
        baselines = {
            pairs.baseline for judge in self._judges_of(metric) if (pairs := judge.pipeline.settings.source.pairs)
        }
        baseline = next(iter(baselines)) if len(baselines) == 1 else None
        grades = _Pairs(answers=answers, metric=metric, merged=merged, baseline=baseline).grades()
        of_judges = {
            judge: {pair: one.winner for pair, one in of_judge.items() if one.winner is not None}
            for judge, of_judge in merged.items()
        }
        human = {
            Pair.of(answer[0], answer[2], answer[1], baseline): label
            for answer, label in self._human(options, answers).items()
            if baseline is not None and answer[1] != baseline
        }
        chosen = [place for place, answer in enumerate(answers.all) if answer[1] != baseline]
        return Judged(
            scores=self._scores(name, metric, answers, grades, options, chosen),
            agreements=agreements(name, options, of_judges, human, level="nominal"),
            position_bias=[position_bias(name, judge, list(one.values())) for judge, one in merged.items()],
            preferred_to={name: baseline} if baseline else {},
        )

    def _answers(self, name: str, metric: MetricSettings) -> Answers:
        """Return the answers for a metric: those of the named field, else of the one of its name, else whole ones."""
        answers = self.answers.of_field(metric.field or (name if name in self.answers.table.column_names else ""))
        answers.check_usable(name, metric)
        return answers

    def _judges_of(self, metric: MetricSettings) -> list[Judge]:
        return [self.judges[name] for name in metric.judges]

    def _votes(self, metric: MetricSettings, options: GradeOptions) -> dict[str, dict[Answer, list[Vote]]]:
        """Return the grades of each judge by answer: several if it gives each answer several ones."""
        votes: dict[str, dict[Answer, list[Vote]]] = {}
        for judge in self._judges_of(metric):
            cast: dict[Answer, list[Vote]] = defaultdict(list)
            for row in judged_rows(judge, options.field, self.cases, names=[variant_column(judge)]):
                label, score = label_of(row.grade), options.score(row.grade)
                reason = row.reason
                if label is not None and score is None:
                    reason = f"the grade {label!r} has no score. {reason}"
                grade = label or "" if score is not None else ""
                vote = Vote(judge=judge.name, grade=grade, score=score, reason=reason)
                cast[row.case, row.names[0], row.sample].append(vote)
            votes[judge.name] = cast
        return votes

    def _human(self, options: Options, answers: Answers) -> dict[Answer, str]:
        """Return the human's grade of each answer that a human has graded."""
        columns = {column: answers.of_source(column) for column in options.human_columns}
        found = {}
        for place, answer in enumerate(answers.all):
            column = options.human_column(answer[1])
            label = label_of(columns[column][place]) if column else None
            if label is not None and answer not in answers.unusable:
                found[answer] = label
        return found

    def _scores(
        self,
        name: str,
        metric: MetricSettings,
        answers: Answers,
        grades: Sequence[Grade],
        options: Options,
        chosen: Sequence[int] | None = None,
    ) -> Scores:
        places = range(len(answers.all)) if chosen is None else chosen
        human = self._human(options, answers)
        expected = answers.of_source(metric.expected) if metric.expected else None
        return score_rows(
            name,
            case=[answers.all[place][0] for place in places],
            variant=[answers.all[place][1] for place in places],
            sample=[answers.all[place][2] for place in places],
            grades=[grades[place] for place in places],
            expected=[
                label_of(expected[place]) or "" if expected else human.get(answers.all[place], "") for place in places
            ],
            answers=[answers.texts[place] for place in places],
            cases=self.cases.frame,
        )


@dataclass(frozen=True, kw_only=True)
class _Pairs:
    """
    The answers of an evaluation, compared with each other.

    :param merged: the verdicts by judge
    :param baseline: the variant that all others are compared with; None: each is compared with each
    """

    answers: Answers
    metric: MetricSettings
    merged: Mapping[str, Mapping[Pair, Merged]]
    baseline: str | None

    def grades(self) -> list[Grade]:
        """Return the grade of each answer: the mean over the variants that it is compared with."""
        variants = list(dict.fromkeys(variant for _, variant, _ in self.answers.all))
        known = set(self.answers.all)
        found = []
        for answer in self.answers.all:
            case, variant, sample = answer
            others = [
                (case, other, sample)
                for other in ([self.baseline] if self.baseline else variants)
                if other != variant and (case, other, sample) in known
            ]
            found.append(_mean([self._grade(answer, other) for other in others]))
        return found

    def _grade(self, answer: Answer, other: Answer) -> Grade:
        unusable = self.answers.unusable
        if answer in unusable and other in unusable:
            return without_value(self.metric, "neither answer can be used", score=_DRAW)
        if answer in unusable:
            return without_value(self.metric, unusable[answer], score=_LOSS)
        if other in unusable:
            return without_value(self.metric, f"{other[1]!r} has no answer: {unusable[other]}", score=_WIN)
        pair = Pair.of(answer[0], answer[2], answer[1], other[1])
        return majority([_vote(judge, verdicts.get(pair), answer[1]) for judge, verdicts in self.merged.items()])


def _vote(judge: str, merged: Merged | None, variant: str) -> Vote:
    if merged is None or merged.winner is None:
        reason = merged.reason if merged else "the pair has not been judged"
        return Vote(judge=judge, grade="", score=None, reason=reason)
    score = _DRAW if merged.winner == TIE else _WIN if merged.winner == variant else _LOSS
    tie = "a tie" if merged.agreed else "a tie, as the two orders disagree"
    grade = tie if merged.winner == TIE else f"{merged.winner!r} is preferred in both orders"
    return Vote(judge=judge, grade=grade, score=score, reason=merged.reason)


def _mean(grades: Sequence[Grade]) -> Grade:
    """Return the mean of the scores; without any, why there is none."""
    scores = [grade.score for grade in grades if grade.score is not None]
    detail = "\n".join(grade.detail for grade in grades if grade.detail)
    if scores:
        return Grade(status="scored", score=sum(scores) / len(scores), detail=detail)
    skipped = any(grade.status == "skipped" for grade in grades)
    return Grade(status="skipped" if skipped else "unscored", detail=detail or "there is no answer to compare with")
