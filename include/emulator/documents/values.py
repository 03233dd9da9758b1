"""Numbers and dates in a line of text, in the usual ways of writing them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

_NUMBER = re.compile(
    r"(?<![\w.,/-])[-−]?(?:\d{1,3}(?:[.,'’\u00a0\u202f]\d{3})+(?:[.,]\d{1,2})?|\d+(?:[.,]\d+)?)(?![\w/-]|[.,]\d|\s?%)"
)
#: French and Polish amounts: 1 234,00
_SPACED_NUMBER = re.compile(r"(?<![\w.,/-])[-−]?\d{1,3}(?: \d{3})+,\d\d(?!\w)")

_MONTHS = {
    "jan": 1, "ene": 1, "gen": 1, "feb": 2, "fév": 2, "fev": 2, "mar": 3, "mär": 3, "mrz": 3, "maa": 3, "apr": 4,
    "avr": 4, "abr": 4, "may": 5, "mai": 5, "mag": 5, "mei": 5, "jun": 6, "juin": 6, "giu": 6, "jul": 7, "juil": 7,
    "lug": 7, "aug": 8, "aoû": 8, "ago": 8, "sep": 9, "set": 9, "oct": 10, "okt": 10, "ott": 10, "out": 10, "nov": 11,
    "dec": 12, "dez": 12, "déc": 12, "dic": 12,
}  # fmt: skip
_MONTH = r"(?P<month>[^\W\d_]{3,10})\.?"
_DATES = (
    re.compile(r"(?<!\d)(?P<y>\d{4})-(?P<m>\d\d)-(?P<d>\d\d)(?!\d)"),
    re.compile(r"(?<![\d.])(?P<d>\d{1,2})\.\s?(?P<m>\d{1,2})\.\s?(?P<y>\d{4})(?!\d)"),
    re.compile(r"(?<![\d/])(?P<first>\d{1,2})/(?P<second>\d{1,2})/(?P<y>\d{4})(?!\d)"),
    re.compile(rf"(?<!\d)(?P<d>\d{{1,2}})(?:\.|st|nd|rd|th|er)?[\s-](?:de )?{_MONTH}[\s-](?:de )?(?P<y>\d{{4}})(?!\d)"),
    re.compile(rf"(?<!\w){_MONTH} (?P<d>\d{{1,2}})(?:st|nd|rd|th)?, ?(?P<y>\d{{4}})(?!\d)"),
)


@dataclass(frozen=True)
class Number:
    """A number, where it begins in its line, and whether it is written with decimals."""

    value: float
    start: int
    decimals: bool


def dates_in(text: str, *, month_first: bool = False) -> list[date]:
    """
    Return the dates of a text, in their order.

    :param month_first: whether 3/4/2026 is in March
    """
    return [day for day, _ in sorted(_dates(text, month_first), key=lambda found: found[1])]


def _dates(text: str, month_first: bool) -> Iterator[tuple[date, tuple[int, int]]]:
    for pattern in _DATES:
        for found in pattern.finditer(text):
            parts = found.groupdict()
            if "first" in parts:
                one, other = int(parts["first"]), int(parts["second"])
                american = one <= 12 and (other > 12 or month_first)
                month, day = (one, other) if american else (other, one)
            elif "month" in parts:
                name = parts["month"].lower()
                month, day = _MONTHS.get(name[:4]) or _MONTHS.get(name[:3], 0), int(parts["d"])
            else:
                month, day = int(parts["m"]), int(parts["d"])
            try:
                yield date(int(parts["y"]), month, day), found.span()
            except ValueError:  # the 31st of February, or a word that is not a month
                continue


def numbers_in(text: str, *, spaced: bool = False) -> list[Number]:
    """
    Return the numbers of a text that stand for themselves, in their order: no dates, percentages or parts of codes.

    :param spaced: whether a space may separate thousands; in a row of a table it rather separates columns
    """
    for _, (start, end) in _dates(text, False):
        text = text[:start] + "_" * (end - start) + text[end:]
    found = list(_SPACED_NUMBER.finditer(text)) if spaced else []
    for match in found:
        text = text[: match.start()] + "_" * len(match[0]) + text[match.end() :]
    found = sorted([*found, *_NUMBER.finditer(text)], key=lambda match: match.start())
    return [_number(match[0], match.start()) for match in found]


def _number(text: str, start: int) -> Number:
    digits = re.sub(r"[^\d.,-]", "", text.replace("−", "-"))
    parts = re.fullmatch(r"(.*)([.,])(\d+)", digits)
    if parts is None:
        return Number(float(digits), start, decimals=False)
    head, separator, tail = parts.groups()
    bare = re.sub("[.,]", "", head)
    # 1.234 and 1,234,567 are thousands; 0.125 and 1.234,567 are not.
    if separator in head or (len(tail) == 3 and bare == head and head.strip("-") != "0"):
        return Number(float(bare + tail), start, decimals=False)
    return Number(float(f"{bare}.{tail}"), start, decimals=True)
