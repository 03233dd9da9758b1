"""Texts without what makes no difference to a reader."""

from __future__ import annotations

import unicodedata


def folded(text: str) -> str:
    """Return the text without differences in case, white space and the composition of letters."""
    return as_composed(as_composed(spaced(text)).casefold())


def as_composed(text: str) -> str:
    """Return the text with each letter and its accents as one character, where there is one (NFC)."""
    return unicodedata.normalize("NFC", text)


def spaced(text: str) -> str:
    """Return the text with each run of white space as one space, and none around it."""
    return " ".join(text.split())
