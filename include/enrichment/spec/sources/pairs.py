"""
``source.pairs``: a judge's rows are pairs of answers to the same case, each pair in both orders.

A pair has the columns of its case, which both answers share, and those of each answer with a prefix:

    package  summary  first  second  first_pitch  second_pitch
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from include.enrichment.answers.table import VARIANT

#: The columns that name the two answers, which are key columns of the pipeline.
FIRST, SECOND = "first", "second"
_SIDES = (FIRST, SECOND)

_Text = Annotated[str, Field(min_length=1)]


class PairSettings(BaseModel):
    """
    How answers are paired. Answers to the same case are alike in all key columns of the table but this one.

    :param column: the key column whose values are compared
    :param baseline: the value that is one of each pair; None: each value is compared with each other one
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    column: _Text = VARIANT
    baseline: _Text | None = None

    def of(self, columns: Iterable[str], *, shared: Iterable[str]) -> list[str]:
        """
        Return the columns of the pairs.

        :param columns: those of the table
        :param shared: those of the table that both answers to a case have alike
        """
        return [
            *(name for name in shared if name != self.column),
            *_SIDES,
            *(f"{side}_{name}" for side in _SIDES for name in columns if name != self.column),
        ]

    def stored(self, name: str) -> str:
        """Return the column of the table that a column of the pairs is taken from."""
        return self.column if name in _SIDES else split_side(name)[1]

    def problems(
        self, columns: Collection[str], *, key: Iterable[str], variants: Collection[str] | None
    ) -> Iterator[tuple[tuple[str, ...], str]]:
        """
        Yield what cannot be paired, each fact with its place in pipeline.yaml.

        :param columns: the columns of the table by their names here; empty if unknown
        :param key: source.key
        :param variants: those of the pipeline whose table it is; None if it has none
        """
        missing = [name for name in _SIDES if name not in key]
        if missing:
            yield (
                ("source", "key"),
                f"lacks {' and '.join(map(repr, missing))}: with source.pairs, the key is that of the case, then"
                f" {FIRST!r} and {SECOND!r}, which name the two answers",
            )
        elif len(list(key)) == len(_SIDES):
            yield ("source", "key"), f"lacks the columns of the case: add them before {FIRST!r} and {SECOND!r}"
        for name in columns:
            if name in _SIDES:
                yield ("source", "pairs"), f"the table has a column {name!r}: give it another name with source.rename"
            elif (plain := split_side(name)[1]) != name and plain in columns:
                yield (
                    ("source", "pairs"),
                    f"{name!r} is a column of the table and {plain!r} of an answer: rename one with source.rename",
                )
        if self.column == VARIANT and variants is None:
            yield ("source", "pairs"), f"there are no variants to compare: the pipeline publishes no {VARIANT!r}"


def split_side(name: str) -> tuple[str, str]:
    """Return the side of a column of the pairs and its column of the table; no side if both answers have it alike."""
    for side in _SIDES:
        if name.startswith(f"{side}_"):
            return side, name.removeprefix(f"{side}_")
    return "", name
