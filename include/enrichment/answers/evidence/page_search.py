"""Finds the page on which a quote stands, whatever page Claude named."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from include.enrichment.answers.evidence.notation import NOTATIONS, Compact, Notation, plain_text
from include.enrichment.answers.evidence.quote import Found
from include.enrichment.documents.document import Page
from include.enrichment.documents.sending import shows_more

#: A page with fewer letters and digits has no text layer: a scanner may add a line of its own to each page.
_LEAST_LETTERS = 25
#: A quote of at least this many characters is the document's even if it begins within a word.
_LONG = 12
#: What stands for a part that a quote leaves out, and what separates cells and lines. Each part is looked for alone.
_GAP = re.compile(r"\s*(?:\.{3,}|…|\[\s*(?:\.{3}|…)\s*\]|[\n|\t])\s*")
_DIGIT_SEPARATORS = ".,'’"


class SearchablePage:
    """
    A page that quotes are looked for in.

    :param number: from 1, in the whole document
    :param position: from 1, among the pages that are sent
    :param shown: Claude saw the page itself; False: only the text that is searched
    """

    def __init__(self, page: Page, *, position: int, shown: bool) -> None:
        self.number, self.position, self._text = page.number, position, page.text
        self._page, self._shown = page, shown
        self._compact: dict[Notation, Compact] = {}

    @cached_property
    def is_readable(self) -> bool:
        """Whether its text says what Claude saw: not if it is a scan, with or without a text layer, or garbled."""
        if not self._shown:
            return True
        letters = sum(character.isalnum() for character in self._text)
        return letters >= _LEAST_LETTERS and not shows_more(self._page)

    def has_exactly(self, quote: str) -> bool:
        """Return whether a quote stands on the page word for word."""
        place = self._text.find(quote)
        while place >= 0:
            if _is_whole(self._text, place, place + len(quote)):
                return True
            place = self._text.find(quote, place + 1)
        return False

    def has(self, quote: PlainQuote) -> bool:
        """Return whether a quote stands on the page, in any notation."""
        return any(self._has(parts, notation) for parts, notation in quote.readings())

    def _has(self, parts: Sequence[str], notation: Notation) -> bool:
        """Return whether the parts of a quote, read in one notation, stand on the page in this order."""
        compact, end = self._compacted(notation), 0
        for part in parts:
            if (found := compact.find(part, end)) is None:
                return False
            end = found
        return True

    def _compacted(self, notation: Notation) -> Compact:
        if notation not in self._compact:
            self._compact[notation] = Compact(self._plain, notation)
        return self._compact[notation]

    @cached_property
    def _plain(self) -> str:
        return plain_text(self._text)


def _is_whole(text: str, start: int, end: int) -> bool:
    """Return whether a part of a text cuts no number and, if it is short, no word."""
    for outside, edge, beyond in ((start - 1, start, start - 2), (end, end - 1, end + 1)):
        if not 0 <= outside < len(text):
            continue
        if text[edge].isdigit():
            is_separated = text[outside] in _DIGIT_SEPARATORS and 0 <= beyond < len(text) and text[beyond].isdigit()
            if text[outside].isdigit() or is_separated:
                return False
        if end - start < _LONG and text[edge].isalnum() and text[outside].isalnum() and text[edge].isascii():
            return False
    return True


class PlainQuote:
    """A quote in all notations, made once for all pages."""

    def __init__(self, quote: str) -> None:
        self._has_digits = any(character.isdigit() for character in quote)
        plain = [plain_text(part) for part in dict.fromkeys((quote, *_GAP.split(quote)))]
        self._whole, self._parts = plain[0], [part for part in plain[1:] if part]

    def readings(self) -> Iterator[tuple[Sequence[str], Notation]]:
        """
        Yield each reading of the quote with a notation of the page that it may be read in: the whole, then its parts.
        """
        return iter(self._readings)

    @cached_property
    def _readings(self) -> list[tuple[Sequence[str], Notation]]:
        found: dict[tuple[tuple[str, ...], Notation], None] = {}
        # Without a number, all notations read it alike.
        notations = NOTATIONS if self._has_digits else NOTATIONS[:1]
        for texts in ([self._whole], self._parts):
            for of_quote in notations:
                parts = tuple(part for text in texts if (part := Compact(text, of_quote).text))
                if parts:
                    found |= dict.fromkeys((parts, of_page) for of_page in notations)
        return list(found)


@dataclass(frozen=True, kw_only=True)
class SearchableDocument:
    """A document that quotes are looked for in; an image has no pages."""

    name: str
    pages: Sequence[SearchablePage]

    @classmethod
    def of(cls, name: str, pages: Sequence[Page], *, shown: bool = True) -> SearchableDocument:
        """
        Return a document.

        :param pages: those that are sent
        :param shown: the pages themselves are sent; False: only their text
        """
        searchable = [SearchablePage(page, position=number, shown=shown) for number, page in enumerate(pages, 1)]
        return cls(name=name, pages=searchable)

    def named(self, page: int) -> list[SearchablePage]:
        """Return the pages that a number may mean: its own number, or its position among the pages that are sent."""
        return [each for each in self.pages if page in (each.number, each.position)]


@dataclass(frozen=True, kw_only=True)
class Location:
    """
    Where a quote stands. See Evidence.

    :param page: in the whole document
    """

    page: int
    found: Found | None
    document: str | None = None


def locate(quote: str, page: int, documents: Sequence[SearchableDocument]) -> Location:
    """
    Find a quote: on the page that Claude named, else on all others, in each case first word for word.

    :param page: as Claude named it
    :param documents: all that were sent with the request
    """
    quote = quote.strip()
    named = [(document, each) for document in documents for each in document.named(page)]
    if quote:
        plain = PlainQuote(quote)
        if hits := [hit for hit in named if hit[1].has_exactly(quote)]:
            return _located(hits, "exact")
        if hits := [hit for hit in named if hit[1].has(plain)]:
            return _located(hits, "normalised")
        others = [(document, each) for document in documents for each in document.pages]
        hits = [hit for hit in others if hit[1].has_exactly(quote)] or [hit for hit in others if hit[1].has(plain)]
        if hits:
            return _located(hits, "other_page")
    return Location(page=page, found="unchecked" if quote and _is_unreadable(named, documents) else None)


def _located(hits: Sequence[tuple[SearchableDocument, SearchablePage]], found: Found) -> Location:
    document, page = hits[0]
    return Location(page=page.number, found=found if len(hits) == 1 else "ambiguous", document=document.name)


def _is_unreadable(
    named: Sequence[tuple[SearchableDocument, SearchablePage]], documents: Sequence[SearchableDocument]
) -> bool:
    """Return whether a quote that was not found may stand on an image, or on a page that code cannot read."""
    if any(not document.pages for document in documents):
        return True
    if named:
        return any(not each.is_readable for _, each in named)
    return any(not each.is_readable for document in documents for each in document.pages)
