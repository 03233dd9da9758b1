"""Texts, compared without differences that do not count."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Any, Literal

from pydantic import Field

from include.enrichment.answers.checks.texts.folding import spaced
from include.evaluation.graders.grader import RIGHT, PairGrader, wrong
from include.evaluation.json_values import as_text
from include.evaluation.scores import Grade

#: What two equal texts may differ in. Ligatures, full-width forms and how Unicode composes a letter never count.
Ignored = Literal["case", "space", "punctuation", "accents"]
_PUNCTUATION = re.compile(r"[^\w\s]|_")
_WRONG = wrong("differs")
#: Normalised texts that are kept: those of an evaluation repeat themselves.
_MOST_KEPT = 1_000


class Text(PairGrader):
    """
    The answer must be the expected text.

    :param ignore: what the two may differ in
    """

    types = ("string", "integer", "number", "boolean")
    ignore: list[Ignored] = Field(default=["case", "space"])

    def grade(self, expected: Any, answer: Any) -> Grade:
        """Return 1 for the same text, else 0."""
        one, other = as_text(expected), as_text(answer)
        same = one == other or normalised(one, *self.ignore) == normalised(other, *self.ignore)
        return RIGHT if same else _WRONG


@lru_cache(_MOST_KEPT)
def normalised(text: str, *ignore: Ignored) -> str:
    """Return the text without what is ignored."""
    text = unicodedata.normalize("NFKC", text)
    if "accents" in ignore:
        letters = unicodedata.normalize("NFD", text)
        text = unicodedata.normalize("NFC", "".join(one for one in letters if not unicodedata.combining(one)))
    if "case" in ignore:
        text = unicodedata.normalize("NFKC", text.casefold())
    if "punctuation" in ignore:
        text = _PUNCTUATION.sub(" ", text)
        return spaced(text)
    return spaced(text) if "space" in ignore else text
