"""
Decides whether a PDF is sent as its pages or as the text in them.

As text, a page takes about 1,600 tokens fewer: those of its picture. That is only right where the picture says nothing
more. In doubt, the pages are sent.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from include.enrichment.documents.document import Inspected, Page
from include.enrichment.documents.options import AttachmentOptions

#: Logos and signatures are smaller. A larger image may be a scan, a chart or a photo.
_IMAGE_SHARE = 0.2
#: A page of prose has a line below its header and one above its footer. The smallest table, three by two cells, has 7.
_RULES = 6
#: A page is a scan if images cover at least this part of it. Its text layer was read by a machine, often with mistakes.
_SCAN_SHARE = 0.5
#: The fewest lines like the rows of a table that make one.
_ROWS = 3
#: At least this many lines are the cells of a table, one by one, if more than half have at most this many characters.
_LINES, _CELL_CHARACTERS = 12, 12
#: A page of prose has about 2,500 characters without blanks, its title page or last page far fewer.
_DENSE_CHARACTERS = 200

#: Left alone: tabs and line ends, and the two characters for a hyphen at the end of a line (pdfium: U+0002, U+FFFE).
_UNREADABLE = re.compile("[\x00\x01\x03-\x08\x0e-\x1f\x7f-\x9f\ue000-\uf8ff\ufffd\U000f0000-\U0010ffff]")
_LEADERS = re.compile(r"[._\-–—·…]{3,}|(?:[._·] ){3,}")
_WORD = re.compile(r"[^\W\d_]+")
_ASCII_WORD = re.compile(r"[A-Za-z]{3,}")
_VOWEL = re.compile(r"[aeiouy]", re.IGNORECASE)
_NUMBER = re.compile(r"[-+−(]?[$€£¥]?\d[\d.,'’]*[)%]?[$€£¥]?")
_DATE = re.compile(r"\d{1,4}[./-]\d{1,2}[./-]\d{1,4}")
_CURRENCY = re.compile(r"[$€£¥]|[A-Z]{3}")
#: Too few words say nothing about the others.
_FEWEST_WORDS = 20
#: German has words of 36 letters in contracts.
_LONG_WORD = 40


@dataclass(frozen=True, kw_only=True)
class Decision:
    """
    How a PDF is sent.

    :param why: for people, after "sent as text: " or "sent as pages: "
    :param problem: why it cannot be sent like this, in words that continue "the document"; None: it can
    """

    send: Literal["pages", "text"]
    why: str
    problem: str | None = None


def wanted_pages(inspected: Inspected, options: AttachmentOptions) -> list[Page]:
    """Return the pages of a PDF that are to be sent; none if it is shorter than the first of them."""
    if options.pages is None:
        return inspected.pages
    first, last = map(int, options.pages.split("-"))
    return inspected.pages[first - 1 : last]


def decide_send(inspected: Inspected, options: AttachmentOptions) -> Decision:
    """
    Decide how a PDF is sent.

    It depends on the wanted pages and the options only, so that a document is always sent in the same way. With
    ``send: auto`` it is sent as text if its text layer says the same as its pages: no page is a scan, a table or
    garbled, and most are full of text.
    """
    pages = wanted_pages(inspected, options)
    if options.kind == "text" or options.send == "text":
        return _as_told(pages, "as: text" if options.kind == "text" else "send: text")
    if options.send == "pages":
        return Decision(send="pages", why="send: pages is set")
    if objections := [f"page {page.number} {fact}" for page in pages if (fact := _objection(page))]:
        return Decision(send="pages", why=objections[0] + _of_several(len(objections), pages, "are like this"))
    sparse = [page for page in pages if _characters(page) < _DENSE_CHARACTERS]
    if 2 * len(sparse) > len(pages) or sparse == pages:
        first = f"page {sparse[0].number} has {_characters(sparse[0])} characters" if sparse else "there are no pages"
        return Decision(send="pages", why=first + _of_several(len(sparse), pages, f"have < {_DENSE_CHARACTERS}"))
    return Decision(send="text", why=f"the text layer says the same as the pages, {_density(pages)}")


def _as_told(pages: Sequence[Page], setting: str) -> Decision:
    without = [page.number for page in pages if not _characters(page)]
    if len(without) == len(pages):
        return Decision(
            send="text",
            why=f"{setting} is set",
            problem=f"has no text on any page ({len(pages):,} looked at), so {setting} would send nothing",
        )
    missing = f"; page {without[0]} has no text{_of_several(len(without), pages, 'have none')}" if without else ""
    return Decision(send="text", why=f"{setting} is set, {_density(pages)}{missing}")


def _of_several(number: int, pages: Sequence[Page], are: str) -> str:
    return f" ({number:,} of {len(pages):,} pages {are})" if len(pages) > 1 else ""


def _density(pages: Sequence[Page]) -> str:
    return f"{sum(map(_characters, pages)) / len(pages):,.0f} characters a page"


def _characters(page: Page) -> int:
    return len("".join(page.text.split()))


def _objection(page: Page) -> str | None:
    """Return what the page shows and its text does not, in words that continue "page 3"; None: nothing."""
    if page.image_share >= _IMAGE_SHARE:
        return f"is covered by images to {page.image_share:.0%}, {_characters(page):,} characters of text"
    if page.rules > _RULES:
        return f"has {page.rules:,} lines of tables or forms"
    return _garbled(page.text) or _tabular(page.text)


def _garbled(text: str) -> str | None:
    text = _LEADERS.sub(" ", text)
    visible = len("".join(text.split()))
    if not visible:
        return None
    if (unreadable := len(_UNREADABLE.findall(text))) * 100 > visible:
        return f"has {unreadable:,} unreadable characters of {visible:,}"
    words = _WORD.findall(text)
    letters = sum(map(len, words))
    if 2 * (letters + sum(map(str.isdigit, text))) < visible:
        return f"has more signs than letters and digits: {letters:,} letters of {visible:,} characters"
    cased = [word for word in words if word.lower() != word.upper()]  # not Chinese, Arabic or Thai
    if len(cased) >= _FEWEST_WORDS and 2 * (single := sum(len(word) == 1 for word in cased)) > len(cased):
        return f"has its letters apart: {single:,} of {len(cased):,} words have one letter"
    if 5 * (joined := sum(len(word) for word in cased if len(word) > _LONG_WORD)) > letters:
        return f"has its words run together: {joined:,} of {letters:,} letters in words of more than {_LONG_WORD}"
    if len(cased) >= _FEWEST_WORDS and 10 * (mixed := sum(map(_is_mixed, cased))) > 3 * len(cased):
        return f"has no readable words: {mixed:,} of {len(cased):,} mix capitals and small letters"
    latin = [word for word in cased if _ASCII_WORD.fullmatch(word)]
    unspoken = [word for word in latin if not _VOWEL.search(word)]
    if len(latin) >= _FEWEST_WORDS and 10 * len(unspoken) > 3 * len(latin):
        return f"has no readable words: {len(unspoken):,} of {len(latin):,} without a vowel, for example {unspoken[0]}"
    return None


def _is_mixed(word: str) -> bool:
    return not (word.isupper() or word[1:].islower() or len(word) == 1)


def _tabular(text: str) -> str | None:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if (rows := sum(map(_is_row, lines))) >= _ROWS:
        return f"has a table: {rows:,} of {len(lines):,} lines end in numbers side by side"
    cells = sum(len(line) <= _CELL_CHARACTERS for line in lines)
    if len(lines) >= _LINES and 2 * cells > len(lines):
        return f"has a table: {cells:,} of {len(lines):,} lines have at most {_CELL_CHARACTERS} characters"
    return None


def _is_row(line: str) -> bool:
    """Whether two numbers stand side by side at its end, or a date at its beginning and a number at its end."""
    words = [word for word in line.split() if not _CURRENCY.fullmatch(word)]
    if len(words) < 2 or not _NUMBER.fullmatch(words[-1]):
        return False
    return bool(_NUMBER.fullmatch(words[-2]) or _DATE.fullmatch(words[0]))


def shows_more(page: Page) -> bool:
    """Return whether a page may show other words than its text has: it is a scan, or garbled."""
    return page.image_share >= _SCAN_SHARE or _garbled(page.text) is not None
