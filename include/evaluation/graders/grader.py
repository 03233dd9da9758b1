"""What every grader can do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from include.enrichment.answers.schema.kind import Kind
from include.enrichment.errors import nearest_of
from include.evaluation.scores import Grade

RIGHT = Grade(status="scored", score=1.0)


def wrong(detail: str) -> Grade:
    """Return the grade of a wrong answer, and why it is wrong."""
    return Grade(status="scored", score=0.0, detail=detail)


def scored(score: float, detail: str = "") -> Grade:
    """Return a grade between wrong and right."""
    return Grade(status="scored", score=score, detail="" if score == 1 else detail)


def unscored(detail: str) -> Grade:
    """Return the grade of an answer that cannot be graded, which is not the same as wrong."""
    return Grade(status="unscored", detail=detail)


@dataclass(frozen=True, kw_only=True)
class Gradable:
    """
    Answers to grade, all of which have a value.

    :param field: the column of the output
    :param values: the answers, as ``pyarrow`` gives them to Python
    :param expected: the expected value of each
    :param rows: the row of the published table of each
    """

    field: str
    values: Sequence[Any]
    expected: Sequence[Any]
    rows: pa.Table


class Grader(BaseModel, ABC):
    """A grader with its options, which are the fields of its model."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    #: The JSON types that it can grade; empty: all.
    types: ClassVar[Sequence[str]] = ()
    #: Whether it compares with an expected value.
    needs_expected: ClassVar[bool] = True
    #: Whether it grades one column of the output.
    needs_field: ClassVar[bool] = True
    #: The option that a plain value sets: ``sql: total > 0`` is short for ``sql: {expression: total > 0}``.
    main_option: ClassVar[str] = ""

    def field_problem(self, field: str, properties: Mapping[str, Kind]) -> str | None:
        """Return why a field of the output cannot be graded, or None."""
        if field not in properties:
            return f"the output has no field {field!r}{nearest_of(field, properties)}"
        return self.kind_problem(repr(field), properties[field])

    def kind_problem(self, name: str, kind: Kind) -> str | None:
        """Return why values of a kind cannot be graded, or None. The name is for the message."""
        if self.types and kind.type and kind.type not in self.types:
            return f"{name} is {kind.type}; this grader is for {', '.join(self.types)}"
        return None

    def option_problems(self, columns: Collection[str]) -> Iterator[str]:
        """
        Yield why the options do not fit the published table.

        :param columns: all of its columns
        """
        yield from ()

    @abstractmethod
    def grade_all(self, answers: Gradable) -> list[Grade]:
        """Return the grade of each answer. Raises SpecError if an option does not fit the table."""


class PairGrader(Grader):
    """A grader that needs nothing but an answer and its expected value."""

    @abstractmethod
    def grade(self, expected: Any, answer: Any) -> Grade:
        """Return the grade of one answer. Neither of the two is None."""

    def grade_all(self, answers: Gradable) -> list[Grade]:
        """Return the grade of each answer. Equal pairs are graded once."""
        graded: dict[Hashable, Grade] = {}
        grades = []
        for pair in zip(answers.expected, answers.values, strict=True):
            try:
                grade = graded.get(pair)
            except TypeError:  # a list or an object
                grade = self.grade(*pair)
            else:
                if grade is None:
                    grade = graded[pair] = self.grade(*pair)
            grades.append(grade)
        return grades
