"""Numbers of an answer that occur in none of the row's columns: an invented price, size or year."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence, Set
from typing import Any

from include.enrichment.answers.checks.kind import TextKind, text_of

#: Digits, with separators of any language between them. A space separates groups of three only.
NUMBER = re.compile(
    r"(?<![\w.,])\.\d+(?:[eE][+-]?\d+(?!\w))?|\d+(?:[.,'’٫٬\u00a0\u202f]\d+| \d{3}(?!\d))*(?:[eE][+-]?\d+(?!\w))?"
)
_EXPONENT = re.compile(r"(.*)[eE]([+-]?)(\d+)")
#: No number that a text is about has more digits.
_MOST_DIGITS = 400
_SEPARATOR = re.compile(r"\D")


class Numbers(TextKind):
    """
    Each number in the text must occur in one of the row's columns, in the notation of any language.

    :param columns: the row's columns
    """

    def __init__(self, fields: Sequence[str], columns: Sequence[str]) -> None:
        super().__init__(fields)
        self.columns = columns

    def facts(self, row: Mapping[str, Any]) -> list[str]:
        texts = (text_of(row, name) or "" for name in self.columns)
        return sorted({value for text in texts for number in NUMBER.findall(text) for value in _values(number)})

    def problem(self, text: str, fact: Any) -> str | None:
        found = NUMBER.findall(text)
        if not found:
            return None
        known = set(fact)
        invented = [number for number in dict.fromkeys(found) if not _is_known(number, known)]
        return f"contains {', '.join(invented)}, which the row does not have" if invented else None


def _is_known(number: str, known: Set[str]) -> bool:
    parts = _parts(number)
    return not known.isdisjoint(readings(number)) or (bool(parts) and set(parts) <= known)


def _values(number: str) -> list[str]:
    """Return the values that a number of the row stands for, and those of its parts, if it may be several numbers."""
    return [*readings(number), *_parts(number)]


def readings(number: str) -> list[str]:
    """
    Return the values that a number may stand for as a whole: ``1.299`` is 1299 in German and 1.299 in English.

    The last separator may be the decimal one, if it occurs once; all others separate groups of digits. A number with an
    exponent is written out: ``1e-7`` is 0.0000001.
    """
    if exponent := _EXPONENT.fullmatch(number):
        shift = int(f"{exponent[2]}{exponent[3][:4]}")
        return [_shifted(reading, shift) for reading in readings(exponent[1])] if abs(shift) <= _MOST_DIGITS else []
    if number.startswith("."):
        return [_plain("", number[1:])]
    first, *rest = _SEPARATOR.split(number)
    separators = _SEPARATOR.findall(number)
    found = []
    if _are_groups(rest):
        found.append(_plain("".join([first, *rest]), ""))
    if separators and separators[-1] not in separators[:-1] and _are_groups(rest[:-1]):
        found.append(_plain("".join([first, *rest[:-1]]), rest[-1]))
    return found


def _parts(number: str) -> list[str]:
    """
    Return the numbers within a date, a version, a code such as ``10E20``, or a text such as ``3 100 ml bottles``; none
    for one number.
    """
    exponent = _EXPONENT.fullmatch(number)
    several = not exponent[2] if exponent else " " in number or not readings(number)
    return [_plain(part, "") for part in _SEPARATOR.split(number) if part] if several else []


def _are_groups(parts: Sequence[str]) -> bool:
    """Whether digits after separators are groups: ``1,000,000`` or, in India, ``10,00,000``."""
    sizes = {len(part) for part in parts[:-1]}
    return not parts or (len(parts[-1]) == 3 and (sizes <= {3} or sizes <= {2}))


def _shifted(reading: str, shift: int) -> str:
    """Return a number of _plain() times ten to the power of ``shift``."""
    whole, _, decimals = reading.partition(".")
    digits, point = whole + decimals, len(whole) + shift
    if point <= 0:
        return _plain("", "0" * -point + digits)
    digits = digits.ljust(point, "0")
    return _plain(digits[:point], digits[point:])


def _plain(whole: str, decimals: str) -> str:
    """Return the number in ASCII, without zeros that mean nothing: 12.50 is 12.5, and 007 is 7."""
    if not (whole + decimals).isascii():
        whole, decimals = ("".join(str(unicodedata.digit(digit)) for digit in part) for part in (whole, decimals))
    whole, decimals = whole.lstrip("0") or "0", decimals.rstrip("0")
    return f"{whole}.{decimals}" if decimals else whole
