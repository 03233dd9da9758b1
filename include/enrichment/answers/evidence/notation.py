"""
Texts without what may differ between a document and a quote from it: white space, case, hyphens at line ends,
ligatures, punctuation, and the notation of numbers and dates.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from datetime import date
from functools import cache
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Notation:
    """
    How a document may write numbers and dates.

    :param decimal: the decimal mark; all other separators are between groups of digits
    :param dates: the order in ``5/12/2026``; None: dates are read as numbers and words
    :param spaced: a space may separate groups of three digits
    """

    decimal: Literal[".", ","]
    dates: Literal["day first", "month first"] | None
    spaced: bool = False


#: The notations of a document. Which one it uses is not known, so a quote is looked for in each.
NOTATIONS = (
    Notation(decimal=".", dates="day first"),
    Notation(decimal=",", dates="day first"),
    Notation(decimal=",", dates="day first", spaced=True),
    Notation(decimal=".", dates="month first"),
    Notation(decimal=".", dates=None),
)

_MONTHS = {
    name: number
    for number, names in enumerate(
        (
            "january jan januar janvier janv enero gennaio januari janeiro",
            "february feb februar février févr fevr febrero febbraio februari fevereiro",
            "march mar märz mär maerz mars marzo maart março",
            "april apr avril avr abril aprile",
            "may mai mayo maggio mei maio",
            "june jun juni juin junio giugno junho",
            "july jul juli juillet juil julio luglio julho",
            "august aug août aout agosto augustus",
            "september sep sept septembre septiembre settembre setembro",
            "october oct oktober okt octobre octubre ottobre outubro",
            "november nov novembre noviembre novembro",
            "december dec dezember dez décembre déc diciembre dicembre dezembro",
        ),
        start=1,
    )
    for name in names.split()
}
_MONTH = "|".join(sorted(_MONTHS, key=len, reverse=True))
#: Scripts without spaces between words: there, a quote may begin and end at each letter.
_UNSPACED = r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_DATES = (
    r"(?P<y1>\d{4})(?:-(?P<m1>\d{1,2})-|/(?P<m1b>\d{1,2})/|\.(?P<m1c>\d{1,2})\.)(?P<d1>\d{1,2})(?!\d)"
    r"|(?P<y2>\d{4})年(?P<m2>\d{1,2})月(?P<d2>\d{1,2})日"
    r"|(?P<one>\d{1,2})(?P<mark>[./-])(?P<two>\d{1,2})(?P=mark)(?P<y3>\d{4}|\d\d)(?![\d])"
    rf"|(?P<d4>\d{{1,2}})(?:st|nd|rd|th|er|\.|º)?\s+(?:of\s+|de\s+)?(?P<m4>{_MONTH})\b\.?,?\s+(?:de\s+)?(?P<y4>\d{{4}})(?!\d)"
    rf"|\b(?P<m5>{_MONTH})\b\.?\s+(?P<d5>\d{{1,2}})(?:st|nd|rd|th)?\s*,?\s+(?P<y5>\d{{4}})(?!\d)"
)
_NUMBER = r"\d+(?:[.,'’]\d+)*"
_SPACED_NUMBER = rf"\d{{1,3}}(?: \d{{3}})+(?![\d])(?:,\d+)?|{_NUMBER}"
_WORD = rf"[{_UNSPACED}]|[^\W\d_{_UNSPACED}]+"


@cache
def _tokens(notation: Notation) -> re.Pattern[str]:
    dates = f"(?<![\\d.,/-])(?:{_DATES})|" if notation.dates else ""
    number = _SPACED_NUMBER if notation.spaced else _NUMBER
    return re.compile(f"{dates}(?P<number>{number})|(?P<word>{_WORD})")


#: Spaces that separate groups of digits and nothing else.
_GROUP_SPACE = re.compile("(?<=\\d)[\u00a0\u2009\u202f](?=\\d{3}(?!\\d))")
_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u2060\ufeff]")
#: ``EUR1,234.00`` and ``1.234,00EUR``: the currency's code is a word of its own.
_CODE_BEFORE = re.compile(r"\b([a-z]{3})(?=\d[\d.,]*[.,]\d\d\b)")
_CODE_AFTER = re.compile(r"(?<=\d[.,]\d\d)(?=[a-z]{3}\b)")


def plain_text(text: str) -> str:
    """Return a text in lower case, with plain letters instead of ligatures and without invisible characters."""
    text = _INVISIBLE.sub("", _GROUP_SPACE.sub("", text))
    text = unicodedata.normalize("NFKC", text).casefold()
    return _CODE_AFTER.sub(" ", _CODE_BEFORE.sub(r"\1 ", text))


class Compact:
    """
    The words, numbers and dates of a text in one notation, without anything between them: a word that is divided at the
    end of a line reads like the undivided one. Numbers and dates are in brackets, so that none is part of another.

    :param plain: a text of plain_text()
    """

    def __init__(self, plain: str, notation: Notation) -> None:
        parts: list[str] = []
        begins = bytearray()
        for found in _tokens(notation).finditer(plain):
            start = found.start()
            token = found["word"] or _number(found["number"], notation) or _date(found, notation)
            # A quote may begin at a token that does not continue a word or number.
            free = start == 0 or not plain[start - 1].isalnum() or bool(_UNSPACED_TOKEN.match(token))
            parts.append(token)
            begins += b"\1" if free else b"\0"
            begins += bytes(len(token) - 1)
        self.text = "".join(parts)
        self._begins = bytes(begins + b"\1")

    def __contains__(self, quote: str) -> bool:
        return self.find(quote, 0) is not None

    def find(self, quote: str, start: int) -> int | None:
        """Return where the text of another Compact ends in this one, from a place on; None if it is not there."""
        place = self.text.find(quote, start)
        while place >= 0:
            end = place + len(quote)
            if self._begins[place] and self._begins[end]:
                return end
            place = self.text.find(quote, place + 1)
        return None


_UNSPACED_TOKEN = re.compile(f"[{_UNSPACED}]")


def _number(digits: str | None, notation: Notation) -> str:
    """Return a number in brackets, without zeros that mean nothing: ``1.234,50`` is <1234.5>."""
    if digits is None:
        return ""
    whole, mark, decimals = digits.rpartition(notation.decimal)
    if not mark or notation.decimal in whole:
        whole, decimals = digits, ""
    whole = "".join(str(unicodedata.digit(one)) for one in whole if one.isdecimal()).lstrip("0") or "0"
    decimals = "".join(str(unicodedata.digit(one)) for one in decimals if one.isdecimal()).rstrip("0")
    return f"<{whole}.{decimals}>" if decimals else f"<{whole}>"


def _date(found: re.Match[str], notation: Notation) -> str:
    """Return a date in brackets. A day that is in no calendar keeps its digits."""
    if found["one"]:
        year = int(found["y3"])
        one, two = int(found["one"]), int(found["two"])
        is_month_first = found["mark"] == "/" and notation.dates == "month first"
        day, month = (two, one) if is_month_first else (one, two)
        if month > 12 >= day:
            day, month = month, day
        year += 2000 if year < 100 else 0
    else:
        year, month_text, day = (
            int(_either(found, "y1", "y2", "y4", "y5")),
            _either(found, "m1", "m1b", "m1c", "m2", "m4", "m5"),
            int(_either(found, "d1", "d2", "d4", "d5")),
        )
        month = _MONTHS[month_text] if month_text in _MONTHS else int(month_text)
    try:
        return f"<{date(year, month, day).isoformat()}>"
    except ValueError:
        return "<" + "".join(one for one in found[0] if one.isalnum()) + ">"


def _either(found: re.Match[str], *groups: str) -> str:
    return next(found[group] for group in groups if found[group])
