"""The rule that the values of some fields must have a quote that stands in the documents."""

from __future__ import annotations

from collections.abc import Sequence

from include.enrichment.answers.evidence.field_paths import is_within, without_positions
from include.enrichment.answers.evidence.grounding import Grounded
from include.enrichment.answers.evidence.quote import Evidence

#: A longer quote is not repeated in full.
_QUOTE_CHARACTERS = 100


def ungrounded_problem(grounded: Grounded, fields: Sequence[str]) -> str | None:
    """
    Return which value of the fields, or of what is within them, has no quote that stands in the documents and may state
    it; None if all have one. A quote that code cannot check passes, as no other answer would be better.

    :param fields: paths of property names; a list on the way stands for each of its items
    """
    for path in grounded.ungrounded:
        if any(is_within(without_positions(path), field) for field in fields):
            quotes = grounded.quotes_of(path)
            if not any(each.found == "unchecked" for each in quotes):
                return _describe(path, [each for each in quotes if each.quote.strip()])
    return None


def _describe(path: str, quotes: Sequence[Evidence]) -> str:
    if not quotes:
        return f"{path} has no quote in evidence"
    told = next((each for each in quotes if each.stands), quotes[0])
    fact = "does not contain the value" if told.stands else "is on no page of the documents"
    quote = told.quote if len(told.quote) <= _QUOTE_CHARACTERS else f"{told.quote[:_QUOTE_CHARACTERS]}…"
    return f"the quote for {path} {fact}: {quote!r}"
