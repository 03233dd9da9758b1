"""
Strings that match a simple regular expression, for the properties of a schema that have a ``pattern``.

It covers the subset that structured outputs accept: literals, escapes, classes, groups, alternatives, quantifiers and
anchors at the ends, but no backreferences, lookaround or word boundaries.
"""

from __future__ import annotations

import string
from collections.abc import Callable

from include.emulator.draws import Draws

Maker = Callable[[Draws], str]

_WORD = string.ascii_letters + string.digits + "_"
_PRINTABLE = string.ascii_letters + string.digits + " -_.,"
_CLASSES = {"d": string.digits, "w": _WORD, "s": " "}
_COMPLEMENTS = {"D": string.ascii_letters, "W": " -.,", "S": _WORD}
_CONTROLS = {"n": "\n", "t": "\t", "r": "\r"}
_EXTRA_REPEATS = 3  # beyond the minimum of an open-ended quantifier


class PatternError(ValueError):
    """The expression is malformed or outside the supported subset."""


def compile_pattern(pattern: str) -> Maker:
    """Compile a maker of strings that match ``pattern``. Raises PatternError."""
    reader = _Reader(pattern)
    maker = reader.alternatives()
    if reader.rest():
        raise PatternError(f"unbalanced ')' in pattern {pattern!r}")
    return maker


class _Reader:
    """A recursive descent parser of one expression; each method consumes the element in its name."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._at = 0

    def rest(self) -> str:
        return self._pattern[self._at :]

    def _take(self) -> str:
        if self._at >= len(self._pattern):
            raise PatternError(f"pattern {self._pattern!r} ends too early")
        self._at += 1
        return self._pattern[self._at - 1]

    def _accept(self, token: str) -> bool:
        if self.rest().startswith(token):
            self._at += len(token)
            return True
        return False

    def alternatives(self) -> Maker:
        branches = [self._sequence()]
        while self._accept("|"):
            branches.append(self._sequence())
        if len(branches) == 1:
            return branches[0]
        return lambda draws: draws.pick(branches)(draws)

    def _sequence(self) -> Maker:
        parts: list[Maker] = []
        while self.rest() and self.rest()[0] not in "|)":
            if self._accept("^") or self._accept("$"):
                continue
            parts.append(self._repeated(self._atom()))
        return lambda draws: "".join(part(draws) for part in parts)

    def _atom(self) -> Maker:
        token = self._take()
        if token == "(":
            if self._accept("?") and not self._accept(":"):
                raise PatternError("lookaround and named groups are not supported")
            inner = self.alternatives()
            if not self._accept(")"):
                raise PatternError(f"unbalanced '(' in pattern {self._pattern!r}")
            return inner
        if token in "*+?":
            raise PatternError(f"nothing to repeat in pattern {self._pattern!r}")
        choices = _PRINTABLE if token == "." else self._class() if token == "[" else self._escaped(token)
        return lambda draws: draws.pick(choices)

    def _escaped(self, token: str) -> str:
        """Return the characters that a single token stands for."""
        if token != "\\":
            return token
        escape = self._take()
        if escape.isdigit() and escape != "0":
            raise PatternError("backreferences are not supported")
        if escape in "bB":
            raise PatternError("word boundaries are not supported")
        if escape in "xu":
            digits = "".join(self._take() for _ in range(2 if escape == "x" else 4))
            return chr(int(digits, 16))
        return _CLASSES.get(escape) or _COMPLEMENTS.get(escape) or _CONTROLS.get(escape) or escape

    def _class(self) -> str:
        negated = self._accept("^")
        members = ""
        while not (self.rest().startswith("]") and members):
            member = self._escaped(self._take())
            after = self.rest()
            if len(member) == 1 and after[:1] == "-" and after[1:2] not in ("]", ""):
                self._take()
                last = self._escaped(self._take())
                member = "".join(chr(code) for code in range(ord(member), ord(last) + 1))
            members += member
        self._take()
        choices = "".join(char for char in _PRINTABLE if char not in members) if negated else members
        if not choices:
            raise PatternError(f"a class of pattern {self._pattern!r} leaves no character to choose")
        return choices

    def _repeated(self, atom: Maker) -> Maker:
        low, high = self._bounds()
        if (low, high) == (1, 1):
            return atom
        self._accept("?")  # a lazy quantifier matches the same strings

        def repeat(draws: Draws) -> str:
            return "".join(atom(draws) for _ in range(low + draws.below(high - low + 1)))

        return repeat

    def _bounds(self) -> tuple[int, int]:
        if self._accept("*"):
            return 0, _EXTRA_REPEATS
        if self._accept("+"):
            return 1, 1 + _EXTRA_REPEATS
        if self._accept("?"):
            return 0, 1
        if not self._accept("{"):
            return 1, 1
        text, closed, _ = self.rest().partition("}")
        low, comma, high = text.partition(",")
        if not closed or not low.isdigit() or (high and not high.isdigit()):
            raise PatternError(f"malformed quantifier in pattern {self._pattern!r}")
        self._at += len(text) + 1
        if not comma:
            return int(low), int(low)
        return int(low), int(high) if high else int(low) + _EXTRA_REPEATS
