"""Words that a text must not contain, and texts from the row that it must contain."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ahocorasick_rs import AhoCorasick

from include.enrichment.answers.checks.check import WordList
from include.enrichment.answers.checks.kind import TextKind
from include.enrichment.answers.checks.texts.folding import as_composed, folded, spaced
from include.enrichment.requests.template import Template

#: Scripts without spaces between words, or with endings attached to them: every character there is a word's boundary.
_WORD_CHARACTER = re.compile(r"[^\W\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")


class _Finder:
    """
    Finds many texts in one pass over another, however their letters are composed. Runs of white space count as one
    space.

    :param whole_words: a hit must not begin or end within a word
    """

    def __init__(self, wanted: Sequence[str], *, whole_words: bool = True, case_sensitive: bool = False) -> None:
        self._whole_words, self._case_sensitive = whole_words, case_sensitive
        self._wanted = {self._fold(text): text for text in wanted}
        if nothing := [text for text in wanted if not self._fold(text).strip("\0")]:
            raise ValueError(f"{nothing[0]!r} is only white space: give a word")
        self._folded = list(self._wanted)
        self._search = AhoCorasick(self._folded)

    def find(self, text: str) -> Iterator[str]:
        """Yield the wanted texts that occur, as they were given."""
        text = self._fold(text)
        for number, start, end in self._search.find_matches_as_indexes(text, overlapping=True):
            if not self._whole_words or _is_whole(text, start, end):
                yield self._wanted[self._folded[number]]

    def _fold(self, text: str) -> str:
        return as_composed(spaced(text)) if self._case_sensitive else folded(text)


def _is_whole(text: str, start: int, end: int) -> bool:
    """Whether what lies between two places neither begins nor ends within a word."""
    return not (_within_word(text, start) or _within_word(text, end))


def _within_word(text: str, place: int) -> bool:
    return 0 < place < len(text) and all(map(_WORD_CHARACTER.match, text[place - 1 : place + 1]))


class Forbidden(TextKind):
    """Words and phrases that no text may contain."""

    def __init__(self, fields: Sequence[str], words: WordList) -> None:
        """Raises ValueError for a word without characters."""
        super().__init__(fields)
        self._finder = _Finder(words.words, whole_words=words.whole_words, case_sensitive=words.case_sensitive)

    def problem(self, text: str, fact: Any) -> str | None:
        found = dict.fromkeys(self._finder.find(text))
        return f"contains {_listed(found)}" if found else None


class MustContain(TextKind):
    """Texts from the row, as templates make them, that each text must contain. An empty one is not required."""

    def __init__(self, fields: Sequence[str], templates: Sequence[Template]) -> None:
        super().__init__(fields)
        self._templates = templates
        self.columns = list(dict.fromkeys(name for template in templates for name in template.columns))

    def facts(self, row: Mapping[str, Any]) -> list[str]:
        texts = (" ".join(template.render(row).split()) for template in self._templates)
        return [text for text in texts if text]

    def problem(self, text: str, fact: Any) -> str | None:
        text = folded(text)
        missing = [required for required in fact if not _contains(text, folded(required))]
        return f"does not contain {_listed(missing)}" if missing else None


def _contains(text: str, required: str) -> bool:
    """Whether a folded text contains another one as whole words."""
    start = text.find(required)
    while start >= 0 and not _is_whole(text, start, start + len(required)):
        start = text.find(required, start + 1)
    return start >= 0


def _listed(texts: Sequence[str] | Mapping[str, Any]) -> str:
    return ", ".join(map(repr, texts))
