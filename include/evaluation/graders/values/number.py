"""Numbers, also in texts with a currency and separators."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from functools import lru_cache
from typing import Any, Literal

from pydantic import Field

from include.enrichment.answers.checks.numbers import NUMBER, readings
from include.evaluation.graders.grader import RIGHT, PairGrader, unscored, wrong
from include.evaluation.scores import Grade

_DASHES = str.maketrans({"−": "-", "–": "-", "﹣": "-", "－": "-"})
#: A minus before the number and its currency: ``-5``, ``- $5``, ``$ -5``; one within a word or after a digit is none.
_MINUS_BEFORE = re.compile(r"(?:^|(?<=[\s(]))-\s*[^\w\s]*\s*$|[^\w\s]\s*-\s*$")
_MINUS_AFTER = re.compile(r"^\s*[^\w\s-]?\s*-(?!\w)")
_SEPARATORS = {".": re.compile(r"[^\d.]"), ",": re.compile(r"[^\d,]")}
#: Values of a text that are kept: the answers of an evaluation repeat themselves.
_MOST_KEPT = 1_000


class Number(PairGrader):
    """
    The answer must be the expected number. In a text it is the only number, beside a currency, a unit and per cent.

    A text such as ``1.299`` may be written in several notations: it is right if one of them is.

    :param tolerance: the largest absolute difference
    :param relative: the largest difference as a share of the expected value; the larger of the two tolerances counts
    :param decimal: the decimal mark of all texts; None: it may be either
    """

    types = ("number", "integer", "string")
    tolerance: float = Field(default=0, ge=0, allow_inf_nan=False)
    relative: float = Field(default=0, ge=0, allow_inf_nan=False)
    decimal: Literal[".", ","] | None = None

    def grade(self, expected: Any, answer: Any) -> Grade:
        """Return 1 for a number within the tolerance, else 0."""
        if type(expected) in (int, float) and expected == answer and answer is not True:
            return RIGHT
        wanted, found = self._values(expected), self._values(answer)
        if not wanted:
            return unscored(f"the expected value {str(expected)[:100]!r} is not one number")
        if not found:
            return wrong(f"{str(answer)[:100]!r} is not one number")
        off, allowed = min(self._differences(wanted, found), key=lambda pair: pair[0] - pair[1])
        return RIGHT if off <= allowed else wrong(f"differs by {off.normalize():f}")

    def _differences(
        self, wanted: tuple[Decimal, ...], found: tuple[Decimal, ...]
    ) -> Iterator[tuple[Decimal, Decimal]]:
        """Yield each difference with the largest allowed one."""
        tolerance, relative = _exact(self.tolerance), _exact(self.relative)
        for one in wanted:
            for other in found:
                yield abs(one - other), max(tolerance, relative * abs(one))

    def _values(self, value: Any) -> tuple[Decimal, ...]:
        if isinstance(value, str):
            return numbers_in(value, self.decimal)
        if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
            return ()
        number = _exact(value)
        return (number,) if number.is_finite() else ()


@lru_cache(_MOST_KEPT)
def numbers_in(text: str, decimal: str | None = None) -> tuple[Decimal, ...]:
    """Return the values that the only number of a text may have, one for each notation; none if it is not the only."""
    text = text.translate(_DASHES)
    found = list(NUMBER.finditer(text))
    if len(found) != 1:
        return ()
    (number,) = found
    before, after = text[: number.start()], text[number.end() :]
    in_brackets = before.rstrip().endswith("(") and after.lstrip().startswith(")")
    is_negative = in_brackets or _MINUS_BEFORE.search(before) or _MINUS_AFTER.search(after)
    values = map(Decimal, _readings(number[0], decimal))
    return tuple(-value if is_negative else value for value in values)


def _readings(number: str, decimal: str | None) -> list[str]:
    if decimal is not None and "e" not in number.casefold():
        plain = _SEPARATORS[decimal].sub("", number)
        return [plain.replace(decimal, ".")] if plain.count(decimal) <= 1 else []
    found = readings(number)
    # No group of digits begins a number with 0: 0.500 is a half.
    return [one for one in found if "." in one] or found if number.startswith("0") else found


def _exact(value: float | Decimal) -> Decimal:
    """Return a number as the decimal that it is written as."""
    return value if isinstance(value, Decimal) else Decimal(repr(value))
