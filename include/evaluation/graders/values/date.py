"""Dates, in the notation of several languages."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Any, Literal

from pydantic import Field

from include.enrichment.answers.evidence.notation import NOTATIONS, Compact, plain_text
from include.evaluation.graders.grader import RIGHT, PairGrader, unscored, wrong
from include.evaluation.scores import Grade

#: A date as Compact has it.
_DATE = re.compile(r"<(\d{4}-\d\d-\d\d)>")
#: Texts whose dates are kept.
_MOST_KEPT = 1_000
_Order = Literal["day first", "month first"]


class Date(PairGrader):
    """
    The answer must be the expected date; of a time only its date in UTC counts. In a text it is the only date, in
    figures or with the name of the month.

    A text such as ``5/12/2026`` may be two dates: it is right if one of them is.

    :param order: of all texts like it; None: it may be either
    :param days: the largest difference
    """

    types = ("string",)
    order: _Order | None = None
    days: int = Field(default=0, ge=0)

    def grade(self, expected: Any, answer: Any) -> Grade:
        """Return 1 for the same date, else 0."""
        wanted, found = self._dates(expected), self._dates(answer)
        if not wanted:
            return unscored(f"the expected value {str(expected)[:100]!r} is not one date")
        if not found:
            return wrong(f"{str(answer)[:100]!r} is not one date")
        off = min(abs((one - other).days) for one in wanted for other in found)
        return RIGHT if off <= self.days else wrong(f"differs by {off:,} {'day' if off == 1 else 'days'}")

    def _dates(self, value: Any) -> frozenset[date]:
        if isinstance(value, datetime):
            return frozenset([(value.astimezone(UTC) if value.tzinfo else value).date()])
        if isinstance(value, date):
            return frozenset([value])
        return dates_in(value, self.order) if isinstance(value, str) else frozenset()


@lru_cache(_MOST_KEPT)
def dates_in(text: str, order: _Order | None = None) -> frozenset[date]:
    """Return the dates that the only date of a text may be; none if it is not the only one."""
    plain = plain_text(text)
    found = [
        _DATE.findall(Compact(plain, notation).text)
        for notation in NOTATIONS
        if notation.dates is not None and order in (None, notation.dates)
    ]
    return frozenset(date.fromisoformat(dates[0]) for dates in found if len(dates) == 1)
