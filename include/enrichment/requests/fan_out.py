"""One row, many requests: the combinations of the values in ``for_each``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import product
from math import prod
from typing import Any

from include.enrichment.errors import WarehouseError

#: More combinations per row are rejected: each of them is a request, which is billed.
MAX_COMBINATIONS = 10_000


class FanOut:
    """
    The values that a row is combined with, by name and in order. Each combination is one request of the row.

    :param fixed: the values that are the same for every row
    :param columns: the other names, each with the column that holds a list of values

    Without any name, each row has one combination, which is empty.
    """

    def __init__(self, names: Sequence[str], *, fixed: Mapping[str, Sequence[Any]], columns: Mapping[str, str]) -> None:
        self._names = list(names)
        self._fixed = fixed
        self._columns = columns
        self._every = None if columns else self._product(fixed)

    def combinations(self, row: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
        """
        Return the combinations for a row, each a value by name; none if a list is NULL or empty.

        Raises WarehouseError if a column does not hold a list, if the list has a NULL or a value twice, or if there are
        more than MAX_COMBINATIONS.
        """
        if self._every is not None:
            return self._every
        listed = {name: _listed(row, column, name) for name, column in self._columns.items()}
        return self._product({**self._fixed, **listed})

    def _product(self, values: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
        if (count := prod(len(values[name]) for name in self._names)) > MAX_COMBINATIONS:
            raise WarehouseError(
                f"for_each gives {count:,} combinations for one row; at most {MAX_COMBINATIONS:,} are allowed."
                " Nothing was sent. Shorten the lists in the source or in for_each."
            )
        return [
            dict(zip(self._names, found, strict=True)) for found in product(*(values[name] for name in self._names))
        ]


def _listed(row: Mapping[str, Any], column: str, name: str) -> Sequence[Any]:
    values = row[column]
    if values is None:
        return ()
    if not isinstance(values, list | tuple):
        raise WarehouseError(
            f"for_each.{name}: the column {column!r} must hold a list, but has a value of type {type(values).__name__}."
            " Nothing was sent. Return an array in extract.sql or the export, or write the values into pipeline.yaml."
        )
    if None in values:
        raise WarehouseError(
            f"for_each.{name}: the list in the column {column!r} contains NULL. Nothing was sent. Remove NULLs from the"
            " lists in extract.sql or the export."
        )
    texts = Counter(map(repr, values))  # a value that is not a valid key may be unhashable; extract() reports it
    if len(texts) < len(values):
        ((text, count),) = texts.most_common(1)
        raise WarehouseError(
            f"for_each.{name}: the list in the column {column!r} contains {text} {count:,} times, but each value makes"
            " one row. Nothing was sent. Remove duplicates from the lists in extract.sql or the export."
        )
    return values


def check_values(values: list[Any]) -> None:
    """Raise ValueError if for_each cannot have these values, which are listed in pipeline.yaml."""
    if not values:
        raise ValueError("must have at least one value")
    if len(kinds := set(map(type, values))) > 1 or not kinds <= {str, int, bool}:
        raise ValueError("must have only strings, only integers or only booleans; quote a value to make it a string")
    if twice := sorted({repr(value) for value in values if values.count(value) > 1}):
        raise ValueError(f"has {', '.join(twice)} twice")
    if kinds == {int} and not all(-(2**63) <= value < 2**63 for value in values):
        raise ValueError("has an integer of more than 64 bits")
