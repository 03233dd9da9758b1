"""Whether a quote can be where a value comes from: a number or date must stand in it, in any notation."""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal
from functools import lru_cache

from include.enrichment.answers.evidence.notation import NOTATIONS, Compact, plain_text

_IN_BRACKETS = re.compile(r"<([\d.-]+)>")
_ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
#: A percentage may have become a share, and thousands, millions or billions may have been written out.
_SCALES = tuple(Decimal(10) ** power for power in (0, -2, 3, 6, 9))


def may_state(quote: str, value: object) -> bool:
    """
    Return whether a quote may state a value.

    A number must be among the numbers of the quote, a date (``2026-11-03``) among its dates. Signs do not count:
    brackets may stand for a minus. A quote without any number, or any date, may say it in words, and other values may
    be put in other words: True.
    """
    numbers, dates = _numbers_and_dates(quote)
    if isinstance(value, int | float) and not isinstance(value, bool):
        wanted = abs(Decimal(repr(value)))
        return not numbers or any(number * scale == wanted for number in numbers for scale in _SCALES)
    if isinstance(value, str) and _ISO_DATE.fullmatch(value):
        return not dates or value in dates
    return True


@lru_cache(maxsize=1_000)  # the quote of a line is that of all values in it
def _numbers_and_dates(quote: str) -> tuple[frozenset[Decimal], frozenset[str]]:
    """The numbers and dates of a quote, in each notation that it may have."""
    plain = plain_text(quote)
    found = {token for notation in NOTATIONS for token in _IN_BRACKETS.findall(Compact(plain, notation).text)}
    dates = frozenset(token for token in found if _is_date(token))
    return frozenset(Decimal(token) for token in found - dates if "-" not in token), dates


def _is_date(token: str) -> bool:
    try:
        return bool(_ISO_DATE.fullmatch(token) and date.fromisoformat(token))
    except ValueError:
        return False
