"""Which values of an answer have a quote that stands in the documents, and where it stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from include.enrichment.answers.evidence.field_paths import is_within, plain_path, values_in
from include.enrichment.answers.evidence.page_search import SearchableDocument, locate
from include.enrichment.answers.evidence.quote import Evidence, Quote
from include.enrichment.answers.evidence.stated import may_state


@dataclass(frozen=True, kw_only=True)
class Grounded:
    """
    An answer with the places of its quotes.

    :param evidence: its quotes, located, in their order
    :param ungrounded: the paths of the values without a quote that stands in a document and may state them. A value is
        grounded by a quote of its own, or of the object or list that it is part of
    """

    evidence: Sequence[Evidence]
    ungrounded: Sequence[str]

    def quotes_of(self, path: str) -> list[Evidence]:
        """Return the evidence of a value."""
        return [each for each in self.evidence if is_within(path, each.field)]


def ground(data: Any, quotes: Sequence[Quote], documents: Sequence[SearchableDocument]) -> Grounded:
    """
    Locate the quotes of an answer.

    :param data: the answer without its evidence, decoded
    :param documents: all that were sent with its request
    """
    values = dict(values_in(data))
    evidence = [_located(quote, list(values), documents) for quote in quotes]
    stands = [each for each in evidence if each.stands]
    ungrounded = [
        path
        for path, value in values.items()
        if not any(is_within(path, each.field) and may_state(each.quote, value) for each in stands)
    ]
    return Grounded(evidence=evidence, ungrounded=ungrounded)


def _located(quote: Quote, paths: Sequence[str], documents: Sequence[SearchableDocument]) -> Evidence:
    place = locate(quote.quote, quote.page, documents)
    return Evidence(
        field=_field(quote.field, paths),
        page=place.page,
        quote=quote.quote,
        found=place.found,
        document=place.document,
    )


def _field(field: str, paths: Sequence[str]) -> str:
    """Return the path that Claude means. One that fits as it stands is left: an output may have a property ``data``."""
    return field if any(is_within(path, field) for path in paths) else plain_path(field)
