"""Texts that are the same as the source text, or nearly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rapidfuzz import fuzz

from include.enrichment.answers.checks.check import Difference
from include.enrichment.answers.checks.kind import TextKind, text_of


class DiffersFrom(TextKind):
    """
    Each text must differ from one of the row's columns, by more than case and white space.

    The similarity is the share of characters that both have in the same order.
    """

    def __init__(self, fields: Sequence[str], difference: Difference) -> None:
        super().__init__(fields)
        self.columns = [difference.column]
        self._most = difference.at_most

    def facts(self, row: Mapping[str, Any]) -> str | None:
        text = text_of(row, self.columns[0])
        return text and _folded(text)

    def problem(self, text: str, fact: Any) -> str | None:
        if not fact:
            return None
        similarity = fuzz.ratio(_folded(text), fact, score_cutoff=100 * self._most) / 100
        if similarity <= self._most:
            return None
        return f"is {100 * similarity:.0f} % the same as {self.columns[0]}; at most {100 * self._most:.0f} % is allowed"


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())
