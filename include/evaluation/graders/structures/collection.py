"""Lists of values, with and without an order."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field
from rapidfuzz import fuzz, process
from rapidfuzz.distance import Indel
from scipy.optimize import linear_sum_assignment

from include.evaluation.graders.grader import PairGrader, scored
from include.evaluation.graders.values.text import Ignored, normalised
from include.evaluation.json_values import as_text, parsed
from include.evaluation.scores import Grade

#: Members that a reason names.
_MOST_NAMED = 5
#: With more pairs of members, only equal ones are found.
_MOST_PAIRS = 250_000


class _Member(NamedTuple):
    """
    A member of a list.

    :param key: equal for members that count as the same
    :param shown: for people
    """

    key: Hashable
    shown: str


class _Members(PairGrader):
    """
    A list of values. A text is a list if it is written as one in JSON, or with a separator.

    :param ignore: what two equal texts may differ in
    :param separator: of the members in a text; None: a text that is no JSON list is the only member
    """

    types = ("array", "string")
    ignore: list[Ignored] = Field(default=["case", "space"])
    separator: Annotated[str, Field(min_length=1)] | None = None

    def grade(self, expected: Any, answer: Any) -> Grade:
        """Return how far the members of both are the same, from 0 to 1."""
        return self.compare(self._members(expected), self._members(answer))

    @abstractmethod
    def compare(self, wanted: Sequence[_Member], found: Sequence[_Member]) -> Grade:
        """Return the grade of the members of an answer."""

    def _members(self, value: Any) -> list[_Member]:
        value = parsed(value)
        if isinstance(value, str) and self.separator:
            value = [part.strip() for part in value.split(self.separator) if part.strip()]
        return [_Member(self._key(one), as_text(one)) for one in (value if isinstance(value, list) else [value])]

    def _key(self, value: Any) -> Hashable:
        if isinstance(value, str):
            return normalised(value, *self.ignore)
        if isinstance(value, list):
            return tuple(map(self._key, value))
        if isinstance(value, dict):
            return frozenset((name, self._key(one)) for name, one in value.items())
        # To Python, True equals 1.
        return (value,) if isinstance(value, bool) else value


class Set(_Members):
    """
    The answer must have the expected members, in any order. Repetitions do not count.

    :param score: the share of its members that are expected (precision), the share of the expected ones that it has
        (recall), or their harmonic mean (f1)
    :param fuzzy: the least similarity of two texts that count as the same member, from 0 to 1: the share of characters
        that both have in the same order; None: only equal ones do
    """

    score: Literal["f1", "precision", "recall"] = "f1"
    fuzzy: Annotated[float, Field(gt=0, le=1)] | None = None

    def compare(self, wanted: Sequence[_Member], found: Sequence[_Member]) -> Grade:
        """Return F1, precision or recall; 1 if both are empty."""
        missing, extra = ({one.key: one.shown for one in members} for members in (wanted, found))
        wanted_count, found_count = len(missing), len(extra)
        for key in [key for key in missing if key in extra]:
            del missing[key], extra[key]
        if self.fuzzy is not None:
            for one, other in _alike(missing, extra, self.fuzzy):
                del missing[one], extra[other]
        same = wanted_count - len(missing)
        whole = {"f1": (wanted_count + found_count) / 2, "precision": found_count, "recall": wanted_count}[self.score]
        if not whole:  # nothing was expected, or nothing was answered
            return scored(float(wanted_count == 0), _difference(missing, extra))
        return scored(same / whole, _difference(missing, extra))


class List(_Members):
    """
    The answer must have the expected members in their order. The score is the share of the members of both that are the
    same, in the longest common subsequence.
    """

    def compare(self, wanted: Sequence[_Member], found: Sequence[_Member]) -> Grade:
        """Return the share of common members; 1 if both are empty."""
        numbers: dict[Hashable, int] = {}
        one, other = ([numbers.setdefault(each.key, len(numbers)) for each in members] for members in (wanted, found))
        wanted_keys, found_keys = set(one), set(other)
        missing = {each.key: each.shown for each in wanted if numbers[each.key] not in found_keys}
        extra = {each.key: each.shown for each in found if numbers[each.key] not in wanted_keys}
        detail = _difference(missing, extra) or "the members are in another order, or repeated"
        return scored(Indel.normalized_similarity(one, other), detail)


def _alike(missing: Iterable[Hashable], extra: Iterable[Hashable], least: float) -> list[tuple[str, str]]:
    """Return pairs of similar texts, as many as possible, each text in one of them."""
    wanted = [key for key in missing if isinstance(key, str)]
    found = [key for key in extra if isinstance(key, str)]
    if not wanted or not found or len(wanted) * len(found) > _MOST_PAIRS:
        return []
    similarity = process.cdist(wanted, found, scorer=fuzz.ratio, score_cutoff=100 * least)
    # Any pair counts more than all differences in similarity.
    rows, columns = linear_sum_assignment((similarity > 0) * (101.0 * len(wanted)) + similarity, maximize=True)
    return [(wanted[row], found[column]) for row, column in zip(rows, columns, strict=True) if similarity[row, column]]


def _difference(missing: Mapping[Hashable, str], extra: Mapping[Hashable, str]) -> str:
    sides = (("missing", missing), ("not expected", extra))
    return "; ".join(f"{name}: {_named(list(members.values()))}" for name, members in sides if members)


def _named(members: Sequence[str]) -> str:
    more = f" and {len(members) - _MOST_NAMED:,} more" if len(members) > _MOST_NAMED else ""
    return ", ".join(one[:100] for one in members[:_MOST_NAMED]) + more
