"""Objects, field by field, and lists of them: the lines of an invoice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

import numpy as np
from pydantic import Field, SerializeAsAny
from scipy.optimize import linear_sum_assignment

from include.enrichment.answers.schema.kind import Kind
from include.evaluation.graders.grader import RIGHT, PairGrader, scored, unscored, wrong
from include.evaluation.json_values import parsed
from include.evaluation.scores import Grade

#: With more pairs of objects, each is compared with the one in the same place.
_MOST_PAIRS = 10_000
#: Objects of a list whose wrong fields a reason names.
_MOST_NAMED = 5


class Object(PairGrader):
    """
    The answer must have the expected fields, each with its own grader and of equal weight. A null is a value here: it
    is right where null is expected.

    In a list of objects each expected object is compared with the one that is most like it, wherever that is. The score
    is the mean over all of them; one that is missing or not expected counts 0.

    :param fields: by name; fields that are not named do not count
    """

    types = ("object", "array", "string")
    fields: dict[str, SerializeAsAny[PairGrader]] = Field(min_length=1)

    def kind_problem(self, name: str, kind: Kind) -> str | None:
        """Return why objects of a kind cannot be graded, or None: the first of their fields that cannot be."""
        of_objects = kind.items if kind.type == "array" and kind.items else kind
        if not of_objects.properties:
            return super().kind_problem(name, kind)
        for field, grader in self.fields.items():
            if problem := grader.field_problem(field, of_objects.properties):
                return f"{name}: {problem}"
        return None

    def grade(self, expected: Any, answer: Any) -> Grade:
        """Return the share of fields that are right, with the names of the others."""
        wanted, found = parsed(expected), parsed(answer)
        if isinstance(wanted, dict):
            return self._of_object(wanted, found) if isinstance(found, dict) else wrong("is not an object")
        if isinstance(wanted, list) and all(isinstance(one, dict) for one in wanted):
            objects = found if isinstance(found, list) else [found]
            return self._of_list(wanted, [one if isinstance(one, dict) else {} for one in objects])
        return unscored("the expected value is neither an object nor a list of objects")

    def _of_object(self, wanted: Mapping[str, Any], found: Mapping[str, Any]) -> Grade:
        grades = {name: _of_field(grader, wanted.get(name), found.get(name)) for name, grader in self.fields.items()}
        scores = [grade.score for grade in grades.values() if grade.score is not None]
        facts = [_fact(name, grade) for name, grade in grades.items() if grade.score != 1]
        if not scores:
            return unscored("; ".join(facts))
        return scored(fmean(scores), "; ".join(facts))

    def _of_list(self, wanted: Sequence[Mapping[str, Any]], found: Sequence[Mapping[str, Any]]) -> Grade:
        longest = max(len(wanted), len(found))
        if not longest:
            return RIGHT
        pairs = self._pairs(wanted, found)
        graded = [(place, grade) for place, grade in pairs if grade.score is not None]
        # A list of which nothing can be graded has no score; a single object of it just does not count.
        counted = longest - (len(pairs) - len(graded))
        facts = [f"[{place}] {grade.detail}" for place, grade in graded if grade.score != 1]
        facts = [*facts[:_MOST_NAMED], *([f"{len(facts) - _MOST_NAMED:,} more"] if len(facts) > _MOST_NAMED else [])]
        if missing := len(wanted) - len(pairs):
            facts.append(f"{missing:,} missing")
        if extra := len(found) - len(pairs):
            facts.append(f"{extra:,} not expected")
        if not counted:
            return unscored("; ".join(grade.detail for _, grade in pairs[:_MOST_NAMED]))
        return scored(sum(grade.score or 0 for _, grade in graded) / counted, "; ".join(facts))

    def _pairs(
        self, wanted: Sequence[Mapping[str, Any]], found: Sequence[Mapping[str, Any]]
    ) -> list[tuple[int, Grade]]:
        """Return the grade of each pair, with the place of the expected object."""
        in_place = [(place, self._of_object(*pair)) for place, pair in enumerate(zip(wanted, found, strict=False))]
        right = {place: grade for place, grade in in_place if grade.score == 1}
        left, others = ([place for place in range(len(side)) if place not in right] for side in (wanted, found))
        if not left or not others or len(left) * len(others) > _MOST_PAIRS:
            return in_place
        grades = [[self._of_object(wanted[one], found[other]) for other in others] for one in left]
        scores = np.array([[grade.score or 0 for grade in row] for row in grades], np.float64)
        # Of equally good assignments, the one that keeps the order.
        shortest = min(scores.shape)
        scores[range(shortest), range(shortest)] += 1e-9
        rows, columns = linear_sum_assignment(scores, maximize=True)
        matched = {left[row]: grades[row][column] for row, column in zip(rows, columns, strict=True)}
        return sorted({**right, **matched}.items())


def _of_field(grader: PairGrader, wanted: Any, found: Any) -> Grade:
    if wanted is None or found is None:
        return RIGHT if wanted is found else wrong("is null" if found is None else "is not null")
    return grader.grade(wanted, found)


def _fact(name: str, grade: Grade) -> str:
    return f"{name} {grade.detail}" if grade.detail else name
