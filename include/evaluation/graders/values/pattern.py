"""Regular expressions."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from include.enrichment.answers.checks import pattern as checks
from include.evaluation.graders.grader import RIGHT, Gradable, Grader, wrong
from include.evaluation.json_values import as_text
from include.evaluation.scores import Grade


def _checked(pattern: str) -> str:
    _check(pattern)
    return pattern


def _check(pattern: str) -> checks.Pattern:
    """Return the check of the same pattern. Raises ValueError if RE2 does not accept it."""
    return checks.Pattern([], pattern, wanted=True)


class Pattern(Grader):
    """
    The answer must contain what a pattern matches.

    :param pattern: in RE2, without lookaround and backreferences; ``^…$`` for the whole answer
    """

    needs_expected = False
    main_option = "pattern"
    types = ("string", "integer", "number", "boolean")
    pattern: Annotated[str, Field(min_length=1), AfterValidator(_checked)]

    def grade_all(self, answers: Gradable) -> list[Grade]:
        """Return 1 for each answer that the pattern matches, else 0."""
        problem = _check(self.pattern).problem
        facts = (problem(as_text(value), None) for value in answers.values)
        return [RIGHT if fact is None else wrong(fact) for fact in facts]
