"""What faults do to the evidence of an answer: the page and the quote that it gives for each of its fields."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import NamedTuple

from include.emulator.draws import Draws

_SWAPPED = {"the": "this", "a": "one", "and": "as well as", "due": "payable", "date": "day", "total": "sum", "no": "nr"}
_INVENTED = (
    "as agreed between the parties in the annex",
    "stated in the covering letter of the supplier",
    "according to the terms printed overleaf",
    "confirmed by telephone with the accounts department",
)


class Evidence(NamedTuple):
    """Where the value of a field stands: the page, and the words there."""

    field: str
    page: int
    quote: str


#: Spoils one piece of evidence, given the pages on which its quote stands.
Misquote = Callable[[Evidence, Draws, Collection[int]], Evidence]


def wrong_page(evidence: Evidence, draws: Draws, stands_on: Collection[int]) -> Evidence:
    """Name a page near the quote's on which it does not stand, perhaps one after the document's end."""
    before = evidence.page - 1
    if before > 0 and before not in stands_on and draws.chance(50):
        return evidence._replace(page=before)
    page = evidence.page + 1 + draws.below(3)
    while page in stands_on:
        page += 1
    return evidence._replace(page=page)


def paraphrased_quote(evidence: Evidence, draws: Draws, stands_on: Collection[int]) -> Evidence:
    """Say the quote in other words: what it says stands in the document, but not so."""
    words = evidence.quote.split()
    swapped = [_SWAPPED.get(word.lower().strip(":."), word) for word in words]
    middle = len(words) // 2
    turned = " ".join([*swapped[middle:], *swapped[:middle]])
    return evidence._replace(quote=f"It says {turned} in that place")


def invented_quote(evidence: Evidence, draws: Draws, stands_on: Collection[int]) -> Evidence:
    """Quote a sentence that stands nowhere in the document."""
    field = re.sub(r"\W+", " ", evidence.field.replace("_", " ")).strip()
    return evidence._replace(quote=f"{field} {draws.pick(_INVENTED)}")
