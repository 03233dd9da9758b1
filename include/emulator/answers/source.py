"""The source of an answer's values: the text and the documents of the request, and how a fault spoils the answer."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from types import MappingProxyType
from typing import Any

from include.emulator.answers.bad_evidence import Misquote
from include.emulator.answers.bad_texts import Spoil
from include.emulator.answers.instructions import NONE, Instructions
from include.emulator.answers.placeholders import placeholders
from include.emulator.answers.texts import DEFAULT_LANGUAGE, Bounds, Wanted, count_words, phrasebook, write_text
from include.emulator.documents.document import Document
from include.emulator.documents.finding import Text
from include.emulator.draws import Draws

_QUOTED_CHARACTERS = 600  # answers quote from this many first characters of the request's text
_QUOTED_WORDS = (2, 6)
_FREE_WORDS = 10  # at least, in a text that follows instructions, but none on its length
_TAG_OR_ATTRIBUTE_NAME = re.compile(r"</?[\w:.-]+|[\w:.-]+=")
_NAME = re.compile(r"\b[^\W\d_]{4,}\b")
#: ``locale="de-DE"``, ``Locale: de``, ``<locale>de-DE``; elsewhere only a tag with its country.
_LOCALES = (
    re.compile(r"\blocale\W{1,4}([a-z]{2})\b", re.IGNORECASE),
    re.compile(r"\b([a-z]{2})[-_][A-Z]{2}\b"),
)


def _words(name: Any) -> set[str]:
    """Return the beginnings of a name's words, so that ``file`` is in ``filed``."""
    return {word[:4] for word in re.split(r"[\W_]+", str(name).lower()) if word}


class Source:
    """
    The source of an answer's values.

    :param text: all text of the user's turns
    :param question: the same without the turns after the first answer: a repair's has no complaint. Default: ``text``
    :param wrong_case: whether enums get the wrong case
    :param spoil: makes texts bad; None: they are good
    :param documents: the documents of the request
    :param misquote: makes evidence bad; None: it is good
    :param acts: the tools of the request by name, and whether they were called
    :param tool_inputs: the last inputs that they were called with, by name
    """

    def __init__(
        self,
        text: str,
        *,
        question: str | None = None,
        wrong_case: bool = False,
        spoil: Spoil | None = None,
        documents: Sequence[Document] = (),
        misquote: Misquote | None = None,
        acts: Mapping[str, bool] = MappingProxyType({}),
        tool_inputs: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        self.text = text
        self.wrong_case = wrong_case
        self.documents = documents
        self.misquote = misquote
        self.tool_inputs = tool_inputs
        self._acts = acts
        self._question = text if question is None else question
        self._spoil = spoil

    @cached_property
    def lower(self) -> str:
        """The text in lower case, for comparisons."""
        return self.text.lower()

    @cached_property
    def document_text(self) -> Text:
        """The lines of the documents."""
        return Text(self.documents)

    @cached_property
    def words(self) -> list[str]:
        """The first words of the text; never empty."""
        return re.findall(r"\w+", self.text[:_QUOTED_CHARACTERS]) or ["nothing"]

    @cached_property
    def language(self) -> str | None:
        """The language of the request's locale; None if it names none of the phrasebook."""
        found = (match[1].lower() for locale in _LOCALES for match in locale.finditer(self._question))
        return next((language for language in found if language in phrasebook()), None)

    @cached_property
    def _names(self) -> list[str]:
        """The words that texts in any language quote."""
        return _NAME.findall(_TAG_OR_ATTRIBUTE_NAME.sub(" ", self._question[:_QUOTED_CHARACTERS]))

    def agreeing(self, options: list[Any]) -> list[Any]:
        """Return the enum values that agree with the calls: ``refund_filed`` only if ``file_refund`` was called."""
        if not any(self._acts.values()):
            return options
        of_tool = {name: [one for one in options if _words(name) <= _words(one)] for name in self._acts}
        done = [one for name, called in self._acts.items() if called for one in of_tool[name]]
        undone = [one for name, called in self._acts.items() if not called for one in of_tool[name]]
        return done or [one for one in options if one not in undone] or options

    def _quote(self, draws: Draws, least: int, most: int) -> str:
        """Return some consecutive words of the text, marked as simulated."""
        count = least + draws.below(most - least + 1)
        start = draws.below(max(len(self.words) - count, 0) + 1)
        return f"simulated: {' '.join(self.words[start : start + count])}"

    def write(self, asked: Instructions, draws: Draws, quoted: tuple[int, int] = _QUOTED_WORDS) -> str:
        """
        Return a text that follows the instructions, unless it is spoiled.

        :param quoted: the least and the most words to quote, where nothing is asked and nothing spoiled
        """
        if asked == NONE and self._spoil is None:
            return self._quote(draws, *quoted)
        good = self._wanted(asked, draws)
        wanted = good if self._spoil is None else self._spoil(good, draws)
        if asked == NONE and wanted == good:  # the fault strikes other texts
            return self._quote(draws, *quoted)
        return write_text(wanted, draws)

    def _wanted(self, asked: Instructions, draws: Draws) -> Wanted:
        words, characters = Bounds(), Bounds()
        kept = tuple(placeholders(self._source_text(asked.element))) if asked.placeholders else ()
        most_characters = self._most_characters(asked)
        if most_characters is not None:
            # Without a number of words, the text gets at least four fifths as long as it may be.
            least = 0 if asked.words else most_characters * 4 // 5
            characters = Bounds(least=least, most=most_characters)
        if asked.words is not None:
            least, most = asked.words
            words = Bounds(least=least + draws.below((most - least) // 2 + 1), most=most)
        elif most_characters is None:
            # As many words again as in what is kept, which may be in another language.
            words = Bounds(least=_FREE_WORDS + 2 * sum(map(count_words, kept)))
        return Wanted(
            language=(self.language or DEFAULT_LANGUAGE) if asked.language else None,
            words=words,
            characters=characters,
            names=self._names,
            kept=kept,
        )

    def _most_characters(self, asked: Instructions) -> int | None:
        """Return the most characters of a text, also where an element of the request says how many."""
        if not isinstance(asked.characters, str):
            return asked.characters
        text = (self._element((asked.characters,)) or "").strip()
        return int(text) if text.isdecimal() else None

    def _source_text(self, names: tuple[str, ...]) -> str:
        """Return what the placeholders are taken from: the whole question if it has none of the elements."""
        text = self._element(names)
        return self._question if text is None else text

    def _element(self, names: tuple[str, ...]) -> str | None:
        """Return what the first element of one of these names contains; None if there is none."""
        for name in names:
            found = re.search(rf"<{name}(?:\s[^<>]*)?>(.*?)</{name}>", self._question, re.DOTALL | re.IGNORECASE)
            if found:
                return found[1]
        return None
