"""The answers that judges grade: which there are, and which cannot be used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa

from include.enrichment.errors import LoadError
from include.evaluation.cases import Cases, samples_of, variants_of
from include.evaluation.graders.json_values import as_text
from include.evaluation.scores import Grade
from include.evaluation.spec.settings import FILE, MetricSettings

#: The position of a case, the variant and the sample of one answer.
Answer = tuple[int, str, int]


@dataclass(frozen=True, kw_only=True)
class Answers:
    """
    All answers of an evaluation under one metric, those of the table first and then the rejects.

    :param field: the column of the output that is graded; empty: the whole answer
    """

    table: pa.Table
    rejects: pa.Table
    cases: Cases
    field: str

    @cached_property
    def all(self) -> list[Answer]:
        """The answers in their order."""
        return [
            answer
            for rows in (self.table, self.rejects)
            for answer in zip(self.cases.positions(rows).tolist(), variants_of(rows), samples_of(rows), strict=True)
        ]

    @cached_property
    def unusable(self) -> Mapping[Answer, str]:
        """The answers without a value, each with the reason."""
        values = self._values
        published = {
            answer: "the answer has no value"
            for answer, value in zip(self.all, values, strict=False)
            if self.field and value is None
        }
        outcomes, reasons = self.rejects["outcome"].to_pylist(), self.rejects["reason"].to_pylist()
        rejected = [f"{outcome}: {reason}" for outcome, reason in zip(outcomes, reasons, strict=True)]
        return published | dict(zip(self.all[len(values) :], rejected, strict=True))

    @cached_property
    def texts(self) -> list[str]:
        """The answers for people."""
        return [as_text(value) for value in (*self._values, *self.rejects["text"].to_pylist())]

    @cached_property
    def _values(self) -> list[Any]:
        return self.table[self.field].to_pylist() if self.field else [None] * len(self.table)

    def of_source(self, column: str) -> list[Any]:
        """Return the values of a column of the source, in the order of the answers."""
        return [*self.table[column].to_pylist(), *self.rejects[column].to_pylist()]

    def check_usable(self, name: str, metric: MetricSettings) -> None:
        """Raise LoadError if an answer has no value and ``on_missing`` is error."""
        if metric.on_missing == "error" and self.unusable:
            (case, variant, _), reason = next(iter(self.unusable.items()))
            key = ", ".join(f"{column}={self.cases.frame.iloc[case][column]}" for column in self.cases.key)
            raise LoadError(
                f"The metric {name!r} has no value in {len(self.unusable):,} of {len(self.all):,} answers, the first"
                f" for {key} of the variant {variant!r}: {reason}. Nothing was evaluated. Repair the answers with a run"
                f" of the rejects, or set on_missing to zero or skip in {FILE}."
            )


def field_of(name: str, metric: MetricSettings, columns: Sequence[str]) -> str:
    """Return the column that a judge's metric is about: the named one, else that of its own name, else none."""
    return metric.field or (name if name in columns else "")


def without_value(metric: MetricSettings, reason: str, *, score: float = 0.0) -> Grade:
    """
    Return the grade of an answer without a value.

    :param score: the one if answers without a value count
    """
    if metric.on_missing == "skip":
        return Grade(status="skipped", detail=reason)
    return Grade(status="scored", score=score, detail=reason)
