"""
What faults do to texts. Each function changes what a text shall be like, and the text is then written like a good one:
it stays within its bounds, in its language and so on, but for the one thing that is wrong with it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from include.emulator.answers.texts import Bounds, Wanted, phrasebook
from include.emulator.draws import Draws

Spoil = Callable[[Wanted, Draws], Wanted]

_INVENTED_DIGITS = 5


def wrong_language(wanted: Wanted, draws: Draws) -> Wanted:
    """Want another language than the one that is asked for, if one is."""
    if wanted.language is None:
        return wanted
    return replace(wanted, language=draws.pick([one for one in phrasebook() if one != wanted.language]))


def lost_placeholder(wanted: Wanted, draws: Draws) -> Wanted:
    """Want one placeholder less, or another in its place, if the text must keep any."""
    if not wanted.kept:
        return wanted
    lost = draws.below(len(wanted.kept))
    instead = [_altered(wanted.kept[lost])] if draws.chance(50) else []
    return replace(wanted, kept=(*wanted.kept[:lost], *instead, *wanted.kept[lost + 1 :]))


def _altered(placeholder: str) -> str:
    """Return what careless translators make of it: ``&lt;b&gt;``, ``% s``, ``{count_}``."""
    if placeholder.startswith("<"):
        return placeholder.replace("<", "&lt;").replace(">", "&gt;")
    if re.match(r"%[^({]", placeholder):
        return f"% {placeholder[1:]}"
    if re.search(r"\w", placeholder):
        return re.sub(r"\w+", lambda name: f"{name[0]}_", placeholder, count=1)
    return placeholder.replace("{", "(").replace("}", ")")


def too_long(wanted: Wanted, draws: Draws) -> Wanted:
    """Want more than the text may have, where it has an upper bound."""
    return replace(wanted, words=_exceeded(wanted.words, draws), characters=_exceeded(wanted.characters, draws))


def _exceeded(bounds: Bounds, draws: Draws) -> Bounds:
    return bounds if bounds.most is None else Bounds(least=bounds.most + 1 + draws.below(bounds.most // 4 + 1))


def duplicate_text(wanted: Wanted, draws: Draws) -> Wanted:
    """Want nothing that tells this request from others; the same draws then give the same text."""
    return replace(wanted, names=())


def with_invented_number(request: str) -> Spoil:
    """Return what adds a number that stands nowhere in the text of a request."""
    digits = re.sub(r"\D", "", request)

    def spoil(wanted: Wanted, draws: Draws) -> Wanted:
        number = str(1 + draws.below(9))
        while len(number) < _INVENTED_DIGITS or number in digits:
            number += str(draws.below(10))
        return replace(wanted, kept=(*wanted.kept, number))

    return spoil


def with_text(text: str) -> Spoil:
    """Return what adds a text."""
    return lambda wanted, draws: replace(wanted, kept=(*wanted.kept, text))
