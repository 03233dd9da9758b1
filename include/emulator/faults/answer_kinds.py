"""The kinds that set what answers say, so that models and prompts differ by a known amount."""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterable
from typing import Annotated, Any

import msgspec

from include.emulator import draws
from include.emulator.faults.fault import BatchFault, Share

Name = Annotated[str, msgspec.Meta(min_length=1)]


class AnswerFault(BatchFault, frozen=True, kw_only=True):
    """
    Sets one value of the structured output of some requests of its batch.

    :param field: a property, or the dotted path of one within objects: ``data.total``
    :param model: only requests of this model; null means all
    :param match: only requests whose params contain this text; null means all
    """

    field: Name
    model: str | None = None
    match: str | None = None

    def concerns(self, body: mmap.mmap) -> bool:
        return self.match is None or body.find(self.match.encode()) >= 0

    def strikes(self, params: bytes | memoryview) -> bool:
        """Return whether the request contains the text ``match``."""
        return self.match is None or self.match.encode() in bytes(params)

    def change(self, value: Any, text: str, request_seed: int) -> Any:
        """
        Return the value of the field. The same request always gets the same.

        :param value: the one that the answer has
        :param text: the user's text
        """
        raise NotImplementedError


class Accuracy(AnswerFault, frozen=True, kw_only=True):
    """
    The field is right with the probability ``share``, by a draw from the request.

    :param case: a regular expression with one group, which finds the name of the case in the user's text
    :param truth: the right value of each case by name; other cases are not changed. Without it, the value that the
        answer has is right, and ``wrong`` is required
    :param wrong: the values to draw wrong ones from; empty: those of all cases, of which two must differ
    """

    share: Share = 1.0
    case: str | None = None
    truth: dict[str, Any] | None = None
    wrong: tuple[Any, ...] = ()

    def __post_init__(self) -> None:
        if (self.case is None) != (self.truth is None):
            raise ValueError("set both `case` and `truth`, or neither")
        if self.truth is None and not self.wrong:
            raise ValueError("without `truth`, `wrong` must list values")
        if self.truth is not None and self.share < 1 and not self.wrong and len(_texts(self.truth.values())) < 2:
            raise ValueError("all values in `truth` are the same: list others in `wrong`")
        if self.case is not None:
            _check_pattern("case", self.case)

    def change(self, value: Any, text: str, request_seed: int) -> Any:
        right = value
        if self.truth is not None:
            name = _find(self.case or "", text)
            if name is None or name not in self.truth:
                return value
            right = self.truth[name]
        seeds = ("accuracy", self.field, str(request_seed))
        if draws.fraction(0, *seeds) < self.share:
            return right
        found = self.wrong or tuple((self.truth or {}).values())
        # In a fixed order and once each, so that a wrong value is as likely as any other.
        others = sorted(_texts(found) - _texts([right]))
        return msgspec.json.decode(others[draws.digest(0, "wrong", *seeds) % len(others)]) if others else value


class Preference(AnswerFault, frozen=True, kw_only=True):
    """
    The field, an enum of ``first``, ``second`` and ``tie``, is the verdict of a judge on two answers.

    Both draws follow from the two answers, whatever their order, so the judge has an opinion of each pair.

    :param first: a regular expression with one group, which finds the answer shown first in the user's text
    :param second: the same for the other one. A request without both is not changed
    :param better: a regular expression that finds something in the better answer. If it finds it in both or in
        neither, the verdict is a tie
    :param share: of the pairs with a better answer, those in which the judge prefers it; else it prefers the other
    :param by_position: of all pairs, those in which the judge prefers whatever is shown first
    """

    field: Name = "verdict"
    first: Name
    second: Name
    better: Name
    share: Share = 1.0
    by_position: Share = 0.0

    def __post_init__(self) -> None:
        _check_pattern("first", self.first)
        _check_pattern("second", self.second)
        _check_pattern("better", self.better, groups=None)

    def change(self, value: Any, text: str, request_seed: int) -> Any:
        first, second = _find(self.first, text), _find(self.second, text)
        if first is None or second is None:
            return value
        pair = sorted([first, second])
        if draws.fraction(0, "position", *pair) < self.by_position:
            return "first"
        good = [re.search(self.better, answer) is not None for answer in (first, second)]
        if good[0] == good[1]:
            return "tie"
        return "first" if good[0] == (draws.fraction(0, "preference", *pair) < self.share) else "second"


def _check_pattern(field: str, pattern: str, *, groups: int | None = 1) -> None:
    try:
        found = re.compile(pattern).groups
    except re.error as error:
        raise ValueError(f"`{field}` is not a regular expression: {error}") from error
    if groups is not None and found != groups:
        raise ValueError(f"`{field}` must have one group, as in `<name>(.*?)</name>`; it has {found}")


def _texts(values: Iterable[Any]) -> set[bytes]:
    return {msgspec.json.encode(value) for value in values}


def _find(pattern: str, text: str) -> str | None:
    """Return what the group of the first match contains, without spaces around it."""
    found = re.search(pattern, text, re.DOTALL)
    return found[1].strip() if found and found[1] is not None else None
