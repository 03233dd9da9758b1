"""
Texts as instructions want them: sentences of the phrasebook in a language, up to a length, with texts that are kept.

Each begins with "simulated" and quotes words of the request, so that the texts of different requests differ.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import msgspec

from include.emulator.draws import Draws

#: The language of a text that is asked for in none, or in one that the phrasebook does not have.
DEFAULT_LANGUAGE = "en"

_MARK = "simulated:"
_PHRASEBOOK = Path(__file__).with_name("phrasebook.yaml")
_QUOTING_PERCENT = 40  # of the sentences after the first, which always quotes
_FEW_CHARACTERS, _MANY_CHARACTERS = 60, 100
_MOST_SENTENCES = 1_000

#: Japanese has no spaces: each character counts as a word there.
_EACH = r"\u3040-\u30ff\u3400-\u9fff"
_WORD = re.compile(rf"[{_EACH}]|[^\W{_EACH}]+(?:['’.,-][^\W{_EACH}]+)*")
#: What a cut must not divide: a word, or a character of Japanese, with what follows it.
_UNIT = re.compile(rf"[{_EACH}][^\w\s]*|[^\s{_EACH}]+\s*|\s+")
_NOT_AT_THE_END = " ,;:.«“„‘「。"


class Phrases(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The phrases of one language."""

    sentence: str
    name: str
    subjects: list[str]
    predicates: list[str]
    endings: list[str]


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """The least and the most of something, both inclusive; no upper bound if ``most`` is None."""

    least: int = 0
    most: int | None = None

    def without(self, taken: int) -> Bounds:
        """Return the bounds of the rest, when ``taken`` is used up."""
        return Bounds(least=self.least - taken, most=None if self.most is None else self.most - taken)

    def allow(self, count: int) -> bool:
        """Return whether the count is not above the upper bound."""
        return self.most is None or count <= self.most


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """
    What one text shall be like.

    :param language: a key of phrasebook(); None if none is asked for
    :param names: words to quote; none is quoted if it is empty
    :param kept: texts that must stand in it, in this order
    """

    language: str | None = None
    words: Bounds = Bounds()
    characters: Bounds = Bounds()
    names: Sequence[str] = ()
    kept: Sequence[str] = ()


@cache
def phrasebook() -> dict[str, Phrases]:
    """Return the phrases of each language, by its two letters."""
    return msgspec.yaml.decode(_PHRASEBOOK.read_bytes(), type=dict[str, Phrases])


def write_text(wanted: Wanted, draws: Draws) -> str:
    """
    Write a text of one or more sentences.

    Where not all bounds can be met, the upper ones are. ``kept`` stands in it even if it exceeds them.
    """
    phrases = phrasebook()[wanted.language or DEFAULT_LANGUAGE]
    tail = "".join(f" {kept}" for kept in wanted.kept)
    words, characters = wanted.words.without(count_words(tail)), wanted.characters.without(len(tail))
    text = _MARK
    for number in range(_MOST_SENTENCES):
        most_quoted = _most_quoted(wanted) if number == 0 or draws.chance(_QUOTING_PERCENT) else 0
        name = _quoted(wanted.names, draws, most_quoted) if most_quoted else None
        text += _sentence(phrases, draws, name, first=number == 0)
        if not (words.allow(count_words(text)) and characters.allow(len(text))):
            return _cut(text, words, characters, phrases.sentence[-1]) + tail
        if count_words(text) >= words.least and len(text) >= characters.least:
            break
    return text + tail


def _most_quoted(wanted: Wanted) -> int:
    """Return the most words that a sentence quotes. In a short text they would hide its language."""
    if not wanted.names or not wanted.characters.allow(_FEW_CHARACTERS):
        return 0
    return 3 if wanted.characters.allow(_MANY_CHARACTERS) else 2


def _quoted(names: Sequence[str], draws: Draws, most: int) -> str:
    """Return a few words that follow each other."""
    count = 1 + draws.below(most)
    start = draws.below(max(len(names) - count, 0) + 1)
    return " ".join(names[start : start + count])


def _sentence(phrases: Phrases, draws: Draws, name: str | None, *, first: bool) -> str:
    spaced = first or phrases.sentence.endswith(".")
    sentence = phrases.sentence.format(
        subject=draws.pick(phrases.subjects),
        name=phrases.name.format(name=name) if name else "",
        predicate=draws.pick(phrases.predicates),
        ending=draws.pick(phrases.endings),
    )
    return f" {sentence}" if spaced else sentence


def _cut(text: str, words: Bounds, characters: Bounds, full_stop: str) -> str:
    """Return as much of the text's beginning as the upper bounds allow, ended by a full stop. The mark always stays."""
    kept = ""
    for unit in _UNIT.findall(text):
        longer = kept + unit
        ended = longer.rstrip(_NOT_AT_THE_END) + full_stop
        if not (words.allow(count_words(ended)) and characters.allow(len(ended))):
            break
        kept = longer
    return (kept.rstrip(_NOT_AT_THE_END) or _MARK.rstrip(":")) + full_stop


def count_words(text: str) -> int:
    """Return the number of words; in Japanese, of characters."""
    return len(_WORD.findall(text))
