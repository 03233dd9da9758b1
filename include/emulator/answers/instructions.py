"""
The simple instructions in a property's ``description`` that good answers follow. docs/emulator.md lists them.

Any other wording is ignored, so that a description without these phrases gives the same answer as none at all.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_WORDS = re.compile(r"\b(\d+) to (\d+) words\b", re.IGNORECASE)
_CHARACTERS = re.compile(r"\bat most (?:(\d+)|`?([a-z]+_\w+)`?) characters\b", re.IGNORECASE)
_ITEMS = re.compile(r"\b(\d+) to (\d+) (?:items|bullet points)\b", re.IGNORECASE)
_LANGUAGE = re.compile(r"\bin the language of the locale\b", re.IGNORECASE)
_PLACEHOLDERS = re.compile(r"\bkeeps every placeholder\b(?: of the (\w+(?: \w+)?))?", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Instructions:
    """
    What a text or a list shall be like.

    :param words: the least and the most words of a text
    :param characters: the most characters of a text, or the name of the request's element that says how many
    :param items: the least and the most items of a list
    :param language: whether the text is in the language of the request's locale
    :param placeholders: whether the text has the placeholders of the request
    :param element: the names that the request's element with these placeholders may have, the likeliest first
    """

    words: tuple[int, int] | None = None
    characters: int | str | None = None
    items: tuple[int, int] | None = None
    language: bool = False
    placeholders: bool = False
    element: tuple[str, ...] = ()


NONE = Instructions()


def read_instructions(description: object) -> Instructions:
    """Return the instructions that a description has, NONE if it has none."""
    text = " ".join(str(description).split())
    characters = _CHARACTERS.search(text)
    placeholders = _PLACEHOLDERS.search(text)
    return Instructions(
        words=_bounds(_WORDS.search(text)),
        characters=(int(characters[1]) if characters[1] else characters[2]) if characters else None,
        items=_bounds(_ITEMS.search(text)),
        language=_LANGUAGE.search(text) is not None,
        placeholders=placeholders is not None,
        element=_element_names((placeholders and placeholders[1]) or ""),
    )


def _bounds(found: re.Match[str] | None) -> tuple[int, int] | None:
    if found is None:
        return None
    least, most = int(found[1]), int(found[2])
    return least, max(least, most)


def _element_names(phrase: str) -> tuple[str, ...]:
    """Return the names for a phrase: ``source text`` may be ``<source_text>``, ``<source-text>`` or ``<source>``."""
    words = phrase.lower().split()
    return tuple(dict.fromkeys(("_".join(words), "-".join(words), *words))) if words else ()
