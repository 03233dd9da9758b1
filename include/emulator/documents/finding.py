"""
Values in documents by the labels before them: a ``total`` stands after "Total due:", a date after "Rechnungsdatum".

This is far from what Claude understands, but what it finds does stand in the document, on the line that it names.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cache, cached_property
from itertools import islice
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec

from include.emulator.documents.document import Document, Line
from include.emulator.documents.rows import Row, rows_in

T = TypeVar("T")

_LABELS = Path(__file__).with_name("labels.yaml")
#: The characters of a quote.
MOST_QUOTED = 120
#: Of these names, the last label in the document counts: the total of the last page, not that of the first.
_LAST = frozenset({"total", "due", "gross", "amount"})


class Found(NamedTuple):
    """A value, and the line where it stands."""

    value: object
    line: Line


class Text:
    """All lines of a request's documents."""

    def __init__(self, documents: Sequence[Document]) -> None:
        self.lines = [line for document in documents for line in document.lines]
        #: Whether 3/4/2026 is in March, as where dollars are paid.
        self.month_first = "$" in self.lower

    @cached_property
    def lower(self) -> str:
        """The whole text in lower case."""
        return "\n".join(self._lower)

    @cached_property
    def _lower(self) -> list[str]:
        return [line.text.lower() for line in self.lines]

    def rows(self, most: int) -> list[Row]:
        """Return the first rows of tables."""
        return list(islice(rows_in(self.lines), most))

    def pages_with(self, quote: str) -> set[int]:
        """Return the numbers of the pages that have a line with this quote."""
        return {line.page for line in self.lines if quote in line.text}

    def naming(self, word: str) -> list[Line]:
        """Return the lines that contain a word or a sign, in whatever case."""
        pattern = re.escape(word.lower())
        if re.fullmatch(r"\w+", word):
            pattern = rf"(?<!\w){pattern}(?!\w)"
        search = re.compile(pattern).search
        lines = zip(self.lines, self._lower, strict=True)
        return [_from(line, found.start()) for line, low in lines if (found := search(low))]

    def labelled(self, name: str, read: Callable[[str], T | None]) -> Found | None:
        """
        Return the value of a property by its name: what ``read`` finds after one of its labels.

        It is given the rest of the label's line, or the next line if that has no more.
        """
        for label in labels_of(name):
            pattern = re.compile(rf"(?<!\w){re.escape(label)}(?!\w)")
            found = [Found(value, line) for value, line in self._after(label, pattern, read)]
            if found:
                return found[-1 if _LAST & set(name.split("_")) else 0]
        return None

    def _after(self, label: str, pattern: re.Pattern[str], read: Callable[[str], T | None]) -> list[tuple[T, Line]]:
        found = []
        for index, low in enumerate(self._lower):
            # Lower case may have another length, in Turkish for example: such a line has no labels.
            if label not in low or len(low) != len(self.lines[index].text) or not (match := pattern.search(low)):
                continue
            line, start = self.lines[index], match.start()
            rest = line.text[match.end() :].strip(" :.#\t")
            if not rest and index + 1 < len(self.lines):
                line = self.lines[index + 1]
                rest = line.text
                start = 0
            if (value := read(rest)) is not None:
                found.append((value, _from(line, start)))
        return found


def _from(line: Line, start: int) -> Line:
    """Return the line, but of a long one only what follows from here on, so that it can be quoted."""
    return line if len(line.text) <= MOST_QUOTED else Line(line.page, line.text[start:], line.start + start)


@cache
def labels_of(name: str) -> tuple[str, ...]:
    """Return the labels that a property of this name may have, the likeliest first; at least its own words."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower().replace("-", "_").split("_")
    parts = [words[start:] for start in range(len(words))] + [words[:end] for end in range(len(words) - 1, 0, -1)]
    known = next((labels for part in parts if (labels := _labels().get(" ".join(part)))), [])
    return tuple(dict.fromkeys([" ".join(words), *known]))


@cache
def _labels() -> dict[str, list[str]]:
    return msgspec.yaml.decode(_LABELS.read_bytes(), type=dict[str, list[str]])
