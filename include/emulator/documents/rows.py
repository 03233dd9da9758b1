"""
The rows of tables in documents: a quantity, a price and their product on a line, or at least words and two amounts.

A number may be written as ``1 234,00``, so ``21 640,00 13 440,00`` can only be read because 21 times 640 is 13,440.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from include.emulator.documents.document import Line
from include.emulator.documents.values import numbers_in

#: The lines after a table, which have a word and an amount too.
_SUMMARY = re.compile(
    r"total|amount due|balance|\b(?:vat|tax|tva|iva|mwst|ust|iban|bic|net|netto|brutto|page|seite)\b|steuer|summe"
    r"|gesamt|betrag|impon|importe|discount|rabatt|remise",
    re.IGNORECASE,
)
_DECIMALS = re.compile(r"\d[.,]\d")
_WORD = re.compile(r"[^\W\d_]{2,}")
_NUMBER = re.compile(r"-?\d[\d.,'’]*")
_SIGNS = " €$£¥-–|.:"
_ITS_NUMBER = re.compile(r"^\d{1,3}[.)]?\s+(?=\D)")
_MOST_TOKENS = 10


class Row(NamedTuple):
    """A row of a table: its numbers in their order, and its words."""

    line: Line
    words: str
    numbers: tuple[float, ...]


def rows_in(lines: Sequence[Line]) -> Iterator[Row]:
    """Yield the rows of all tables. Where a row begins on the line before its numbers, its words stand there."""
    for index, line in enumerate(lines):
        # Cheap, and nearly all lines of prose end here.
        if not _DECIMALS.search(line.text):
            continue
        if (row := _multiplied(line)) or (row := _simple(line)):
            before = lines[index - 1].text if index else ""
            yield row if row.words else row._replace(words=before)


def _multiplied(line: Line) -> Row | None:
    """Return a row with a quantity, a price and their product, side by side."""
    tokens = [found for found in re.finditer(r"\S+", line.text) if found[0].strip(_SIGNS)]
    bare = [token[0].strip(_SIGNS) for token in tokens]
    numeric = [index for index, text in enumerate(bare) if _NUMBER.fullmatch(text)][-_MOST_TOKENS:]
    for start in numeric:
        for numbers, end in _numbers_from(bare, start, 3):
            quantity, price, amount = numbers
            if amount and abs(quantity * price - amount) < 0.006:
                before, after = line.text[: tokens[start].start()], line.text[tokens[end - 1].end() :]
                words = [part for part in (before, after) if _WORD.search(part)]
                return Row(line, _ITS_NUMBER.sub("", words[0]).strip(_SIGNS) if words else "", numbers)
    return None


def _numbers_from(tokens: list[str], start: int, count: int) -> Iterator[tuple[tuple[float, ...], int]]:
    """Yield each way to read ``count`` numbers from a token on, and the index of the token after them."""
    if not count:
        yield (), start
        return
    for end in range(start + 1, min(start + 4, len(tokens) + 1)):
        first, *rest = tokens[start:end]
        if not _NUMBER.fullmatch(tokens[end - 1]):
            return
        thousands = re.fullmatch(r"-?\d{1,3}", first) and all(re.fullmatch(r"\d{3}", one) for one in rest[:-1])
        if rest and not (thousands and re.fullmatch(r"\d{3}(?:[.,]\d\d)?", rest[-1])):
            continue
        for number in numbers_in("".join([first, *rest]))[:1]:
            for others, last in _numbers_from(tokens, end, count - 1):
                yield (number.value, *others), last


def _simple(line: Line) -> Row | None:
    text = line.text
    if not _WORD.search(text) or _SUMMARY.search(text):
        return None
    bare = _ITS_NUMBER.sub("", text)
    numbers = numbers_in(bare) if len(numbers_in(bare)) > 1 else numbers_in(text)
    if len(numbers) < 2 or not any(number.decimals for number in numbers):
        return None
    starts = [number.start for number in numbers_in(bare) if number.start]
    words = (bare[: starts[0]] if starts else bare).strip(_SIGNS)
    return Row(line, words, tuple(number.value for number in numbers)) if _WORD.search(words) else None
