"""Equality of JSON, except for ignored paths."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import islice
from typing import Annotated, Any

from pydantic import Field

from include.evaluation.graders.grader import RIGHT, PairGrader, wrong
from include.evaluation.json_values import are_equal, as_text, encode, parsed
from include.evaluation.scores import Grade

#: Differences that a reason names.
_MOST_NAMED = 5
_ABSENT = object()


class Json(PairGrader):
    """
    The answer must be the expected JSON. The order of an object's keys makes no difference.

    :param ignore: paths whose values make no difference: ``meta.id``; in a list, ``lines.id`` is that of each member
    """

    ignore: list[Annotated[str, Field(min_length=1)]] = Field(default=[])

    def grade(self, expected: Any, answer: Any) -> Grade:
        """Return 1 if nothing differs, else 0 with the paths of the first differences."""
        wanted, found = parsed(expected), parsed(answer)
        if encode(wanted) == encode(found):
            return RIGHT
        ignored = {tuple(path.removeprefix("$.").replace("[*]", "").split(".")) for path in self.ignore}
        differences = list(islice(_differences(wanted, found, "", (), ignored), _MOST_NAMED + 1))
        if not differences:
            return RIGHT
        more = ["more"] if len(differences) > _MOST_NAMED else []
        return wrong("; ".join([*differences[:_MOST_NAMED], *more]))


def _differences(
    one: Any, other: Any, shown: str, path: tuple[str, ...], ignored: Collection[tuple[str, ...]]
) -> Iterator[str]:
    """Yield each place where two values differ. A null is not the same as an absent key."""
    if path in ignored:
        return
    if isinstance(one, dict) and isinstance(other, dict):
        for name in dict.fromkeys([*one, *other]):
            inner = f"{shown}.{name}" if shown else name
            values = one.get(name, _ABSENT), other.get(name, _ABSENT)
            yield from _differences(*values, inner, (*path, name), ignored)
    elif isinstance(one, list) and isinstance(other, list):
        if len(one) != len(other):
            yield f"{shown or 'the list'} has {len(other):,} instead of {len(one):,} members"
        for number, (left, right) in enumerate(zip(one, other, strict=False)):
            yield from _differences(left, right, f"{shown}[{number}]", path, ignored)
    elif other is _ABSENT:
        yield f"{shown} is missing"
    elif one is _ABSENT:
        yield f"{shown} is not expected"
    elif not are_equal(one, other):
        yield f"{shown or 'the value'} is {_short(other)} instead of {_short(one)}"


def _short(value: Any) -> str:
    return "null" if value is None else as_text(value)[:60]
