"""Lengths: characters, words and sentences of a text, items of a list."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import regex

from include.enrichment.answers.checks.check import Bounds
from include.enrichment.answers.checks.kind import Answers, Kind, TextKind, values_at

#: Chinese and Japanese are written without spaces: there each character counts as a word.
_EACH = r"\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_EACH}]|[^\W{_EACH}]+(?:['’.,-][^\W{_EACH}]+)*")
_CHARACTER = regex.compile(r"\X")
_SENTENCE_END = re.compile(r"[.!?…]+[\"'”’»)\]]*(?=\s|$)|[。！？]+")


def count_characters(text: str) -> int:
    """
    Return the number of characters as a reader counts them: a letter with its accents, a syllable with its vowel signs
    and an emoji of several code points are one each (Unicode's extended grapheme clusters).
    """
    return len(text) if text.isascii() else len(_CHARACTER.findall(text))


def count_words(text: str) -> int:
    """Return the number of words. ``state-of-the-art`` and ``1,299.00`` are one word each."""
    return len(_WORD.findall(text))


def count_sentences(text: str) -> int:
    """Return the number of sentences. An abbreviation followed by a space (``e.g. this``) counts as an end."""
    return sum(1 for part in _SENTENCE_END.split(text) if _WORD.search(part))


_COUNTS: dict[str, Callable[[str], int]] = {
    "characters": count_characters,
    "words": count_words,
    "sentences": count_sentences,
}


class Length(TextKind):
    """
    The length of a text.

    :param unit: ``characters``, ``words`` or ``sentences``
    """

    def __init__(self, fields: Sequence[str], bounds: Bounds, *, unit: str) -> None:
        super().__init__(fields)
        self._count, self._unit, self._bounds = _COUNTS[unit], unit, bounds

    def problem(self, text: str, fact: Any) -> str | None:
        return _outside(self._count(text), self._unit, self._bounds)


class Items(Kind):
    """The length of a list."""

    def __init__(self, fields: Sequence[str], bounds: Bounds) -> None:
        self._paths = {field: field.split(".") for field in fields}
        self._bounds = bounds

    def problems(self, facts: Sequence[Any], answers: Answers) -> list[str | None]:
        return [self._problem(output) for output in answers.values]

    def _problem(self, output: Any) -> str | None:
        for field, path in self._paths.items():
            for value in values_at(output, path):
                if isinstance(value, list) and (fact := _outside(len(value), "items", self._bounds)):
                    return f"{field} {fact}"
        return None


def _outside(count: int, unit: str, bounds: Bounds) -> str | None:
    if bounds.max is not None and count > bounds.max:
        return f"has {count:,} {unit}; at most {bounds.max:,} are allowed"
    if bounds.min is not None and count < bounds.min:
        return f"has {count:,} {unit}; at least {bounds.min:,} are required"
    return None
