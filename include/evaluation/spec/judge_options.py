"""The options of a judge, below ``grade`` in evaluation.yaml."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from include.enrichment.spec.sources.pairs import FIRST, SECOND
from include.evaluation.options import read_options

#: What a judge of two answers may say: which one is better, in the order in which it has read them.
TIE = "tie"
VERDICTS = (FIRST, SECOND, TIE)

_Text = Annotated[str, Field(min_length=1)]
_Agreement = Annotated[float, Field(ge=-1, le=1)]


def label_of(value: Any) -> str | None:
    """Return a grade as evaluation.yaml and the table write it: ``3`` for 3 and 3.0, ``true`` for a boolean."""
    if value is None or isinstance(value, list | dict):
        return None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float | Decimal) and math.isfinite(value) and value == int(value):
        return str(int(value))
    return str(value).strip()


class Options(BaseModel):
    """
    The options that every judge has.

    :param field: the column of the judge's output with its grade
    :param human: the carried column of the evaluated pipeline with a human's grade of the same answer, in the judge's
        words; NULL: no human has graded it. By variant if a human has graded the answers of several
    :param least_kappa: the least agreement with the human: below it, the judge is not to be trusted; None: none stated
    :param least_alpha: the least agreement of several judges with each other; None: none stated
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    field: _Text
    human: _Text | dict[str, _Text] | None = None
    least_kappa: _Agreement | None = None
    least_alpha: _Agreement | None = None

    def human_column(self, variant: str) -> str | None:
        """Return the column with the human's grades of a variant's answers; None if there is none."""
        return self.human.get(variant) if isinstance(self.human, dict) else self.human

    @property
    def human_columns(self) -> list[str]:
        """All columns with grades of humans."""
        found = self.human.values() if isinstance(self.human, dict) else [self.human]
        return list(dict.fromkeys(column for column in found if column))


def _labels(points: object) -> object:
    """Return the points with texts as keys: YAML reads ``yes`` as a boolean and ``3`` as a number."""
    if not isinstance(points, dict):
        return points
    return {label_of(grade): value for grade, value in points.items()}


class GradeOptions(Options):
    """
    How a grade becomes a score.

    :param points: the score of each grade; empty: grades are numbers of the scale, or booleans
    :param scale: the worst and the best grade, which score 0 and 1
    """

    field: _Text = "grade"
    points: Annotated[dict[str, Annotated[float, Field(ge=0, le=1)]], BeforeValidator(_labels)] = {}
    scale: Annotated[list[int], Field(min_length=2, max_length=2)] = [1, 5]

    @field_validator("scale")
    @classmethod
    def _ends_differ(cls, scale: list[int]) -> list[int]:
        if scale[0] == scale[1]:
            raise ValueError("must be the worst and the best grade, which differ")
        return scale

    def score(self, grade: Any) -> float | None:
        """Return the score of a grade, from 0 to 1; None if it has none."""
        label = label_of(grade)
        if label is None or self.points:
            return self.points.get(label or "")
        if label in ("true", "false"):
            return float(label == "true")
        try:
            place = (float(label) - self.scale[0]) / (self.scale[1] - self.scale[0])
        except ValueError:
            return None
        return place if 0 <= place <= 1 else None


class VerdictOptions(Options):
    """The options of a judge that compares two answers. Its field is ``first``, ``second`` or ``tie``."""

    field: _Text = "verdict"


def read_grade_options(setting: object) -> GradeOptions:
    """Return the options of a judge that grades single answers; a text is its field. Raises OptionMistakes."""
    return read_options(GradeOptions, _options(setting))


def read_verdict_options(setting: object) -> VerdictOptions:
    """Return the options of a judge that compares two answers; a text is its field. Raises OptionMistakes."""
    return read_options(VerdictOptions, _options(setting))


def _options(setting: object) -> object:
    return {"field": setting} if isinstance(setting, str) else setting or {}
