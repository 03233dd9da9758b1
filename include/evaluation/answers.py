"""The answers of an evaluation: which there are, and which cannot be used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import pyarrow as pa

from include.enrichment.errors import LoadError
from include.evaluation.cases import Cases, samples_of, variants_of
from include.evaluation.json_values import as_text
from include.evaluation.scores import Grade
from include.evaluation.spec.settings import FILE, MetricSettings

#: The position of a case, the variant and the sample of one answer.
Answer = tuple[int, str, int]


@dataclass(frozen=True, kw_only=True)
class Answers:
    """
    All answers of an evaluation, those of the table first and then the rejects.

    :param all: in this order
    :param field: the column of the output that is graded; empty: the whole answer
    """

    table: pa.Table
    rejects: pa.Table
    cases: Cases
    all: Sequence[Answer]
    field: str = ""

    @classmethod
    def of(cls, table: pa.Table, rejects: pa.Table, cases: Cases) -> Answers:
        """Return the answers of a published partition."""
        answers = [
            answer
            for rows in (table, rejects)
            for answer in zip(cases.positions(rows).tolist(), variants_of(rows), samples_of(rows), strict=True)
        ]
        return cls(table=table, rejects=rejects, cases=cases, all=answers)

    def of_field(self, field: str) -> Answers:
        """Return the same answers for a metric of this field."""
        return replace(self, field=field)

    def of_source(self, column: str) -> list[Any]:
        """Return the values of a column of the source."""
        return [*self.table[column].to_pylist(), *self.rejects[column].to_pylist()]

    @cached_property
    def values(self) -> list[Any]:
        """The values of the field, of the published answers only; all None without a field."""
        return self.table[self.field].to_pylist() if self.field else [None] * len(self.table)

    @cached_property
    def reasons(self) -> list[str | None]:
        """Why each answer has no value; None if it has one."""
        published = ["the answer has no value" if self.field and value is None else None for value in self.values]
        outcomes, reasons = self.rejects["outcome"].to_pylist(), self.rejects["reason"].to_pylist()
        return [*published, *(f"{outcome}: {reason}" for outcome, reason in zip(outcomes, reasons, strict=True))]

    @cached_property
    def unusable(self) -> Mapping[Answer, str]:
        """The answers without a value, each with the reason."""
        return {answer: reason for answer, reason in zip(self.all, self.reasons, strict=True) if reason}

    @cached_property
    def texts(self) -> list[str]:
        """The answers for people."""
        return [as_text(value) for value in (*self.values, *self.rejects["text"].to_pylist())]

    def check_usable(self, name: str, metric: MetricSettings, needed: Sequence[int] | None = None) -> None:
        """
        Raise LoadError if an answer has no value and ``on_missing`` is error.

        :param needed: the places of the answers that must have one; None: all
        """
        places = range(len(self.all)) if needed is None else needed
        unusable = [place for place in places if self.reasons[place]]
        if metric.on_missing == "error" and unusable:
            case, variant, _ = self.all[unusable[0]]
            key = ", ".join(f"{column}={self.cases.frame.iloc[case][column]}" for column in self.cases.key)
            raise LoadError(
                f"The metric {name!r} has no value in {len(unusable):,} of {len(self.all):,} answers, the first for"
                f" {key} of the variant {variant!r}: {self.reasons[unusable[0]]}. Nothing was evaluated. Repair the"
                f" answers with a run of the rejects, or set on_missing to zero or skip in {FILE}."
            )


def without_value(metric: MetricSettings, reason: str, *, score: float = 0.0) -> Grade:
    """
    Return the grade of an answer without a value.

    :param score: the one if answers without a value count
    """
    if metric.on_missing == "skip":
        return Grade(status="skipped", detail=reason)
    return Grade(status="scored", score=score, detail=reason)
