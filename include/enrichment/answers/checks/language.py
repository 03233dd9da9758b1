"""The language of a text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from py3langid.langid import MODEL_FILE, LanguageIdentifier

from include.enrichment.answers.checks.kind import TextKind
from include.enrichment.answers.checks.length import count_words
from include.enrichment.errors import SpecError, nearest
from include.enrichment.requests.template import Template

#: A shorter text may be a name, which has no language.
LEAST_WORDS = 5
#: Below this probability, languages are too similar to tell them apart.
_LEAST_PROBABILITY = 0.6
#: Languages that the model tells apart and a pipeline does not, and old or narrower codes, each by the one that counts.
_SAME = {
    **{"nb": "no", "nn": "no", "iw": "he", "in": "id", "fil": "tl", "cmn": "zh"},
    **{"yue": "zh", "wuu": "zh", "ary": "ar", "arz": "ar"},
}


class Language(TextKind):
    """
    The language that each text must have. A text of fewer than LEAST_WORDS words, or of an uncertain language, passes.

    :param tag: a template that makes a tag such as ``de`` or ``pt-BR``, of which only the first part counts
    :param where: file and line, for errors

    Raises ValueError if the tag is the same for all rows and names no known language.
    """

    def __init__(self, fields: Sequence[str], tag: Template, *, where: str) -> None:
        super().__init__(fields)
        self._tag, self._where = tag, where
        self.columns = list(tag.columns)
        self._classify = _identifier().classify
        self._constant = None if self.columns else _primary(tag.render({}))

    def facts(self, row: Mapping[str, Any]) -> str | None:
        if self._constant:
            return None
        tag = self._tag.render(row)
        if not tag.strip():
            raise SpecError(
                f"{self._where}: the language is NULL or empty. Nothing was sent. Give it a default, for example"
                f" {{{{ {self.columns[0]} or 'en' }}}}."
            )
        try:
            return _primary(tag)
        except ValueError as error:
            raise SpecError(f"{self._where}: {error}. Nothing was sent.") from error

    def problem(self, text: str, fact: Any) -> str | None:
        wanted = self._constant or fact
        if count_words(text) < LEAST_WORDS:
            return None
        found, probability = self._classify(text)
        found = _SAME.get(found, found)
        if found == wanted or probability < _LEAST_PROBABILITY:
            return None
        return f"is written in {found!r}, not in {wanted!r}"


@cache
def _identifier() -> LanguageIdentifier:
    """The model, which takes a second to load."""
    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def _primary(tag: str) -> str:
    """Return the language of a tag. Raises ValueError for one that the model does not know."""
    primary = tag.strip().replace("_", "-").partition("-")[0].lower()
    language = _SAME.get(primary, primary)
    if language not in _identifier().labels:
        raise ValueError(f"{tag!r} is not a known language{nearest(primary, _identifier().labels)}")
    return language
