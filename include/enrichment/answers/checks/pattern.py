"""Patterns. RE2 matches them in linear time, so no pattern can hang a run. It has no lookaround and no references."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import re2

from include.enrichment.answers.checks.kind import TextKind

#: RE2 would also write a pattern's mistake to stderr.
_OPTIONS = re2.Options()
_OPTIONS.log_errors = False


class Pattern(TextKind):
    """
    A pattern that each text must contain, or must not. Raises ValueError if RE2 does not accept it.

    :param wanted: False: the text must not contain it
    """

    def __init__(self, fields: Sequence[str], pattern: str, *, wanted: bool) -> None:
        super().__init__(fields)
        self._pattern, self._wanted = pattern, wanted
        try:
            self._search = re2.compile(pattern, _OPTIONS).search
        except re2.error as error:
            why = error.args[0].decode() if isinstance(error.args[0], bytes) else str(error)
            raise ValueError(f"is not a valid RE2 pattern, without lookaround and backreferences: {why}") from error

    def problem(self, text: str, fact: Any) -> str | None:
        found = self._search(text)
        if self._wanted:
            return None if found else f"does not match {self._pattern!r}"
        return f"contains {found.group()!r}, which matches {self._pattern!r}" if found else None
