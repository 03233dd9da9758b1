"""The pages of a text document, which may have marks such as ``<page number="3">`` around each of them."""

from __future__ import annotations

import re

_PAGE = re.compile(r'<page number="(\d{1,9})">\n?(.*?)\n?</page>', re.DOTALL)


def split_pages(text: str) -> tuple[tuple[tuple[int, str], ...], tuple[int, ...]]:
    """Return number and text of each page, and where each begins in the text. Without marks, all of it is page 1."""
    found = list(_PAGE.finditer(text))
    if not found:
        return ((1, text),), (0,)
    return tuple((int(page[1]), page[2]) for page in found), tuple(page.start(2) for page in found)
