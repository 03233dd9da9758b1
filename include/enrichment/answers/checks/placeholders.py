"""Placeholders and tags: those of a source text must all be in the answer, unchanged, and no others."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from include.enrichment.answers.checks.kind import TextKind, text_of
from include.enrichment.answers.checks.texts.html import VOID

_TOKEN = re.compile(
    r"""
    (?P<tag>      </?[A-Za-z][\w:.-]*+(?:\s[^<>]*)?> | </?[A-Za-z][\w:.-]*+/> )   # <b>, </b>, <br/>, <a href="…">
    | (?P<double> \{\{[^{}]*\}\} )                             # {{ name }}, {{ name | upper }}
    | (?P<named>  [$%]\{\w+\} | %\(\w+\)[#0\- +]*+\d*+(?:\.\d++)?+[a-zA-Z] )   # ${name}, %{name}, %(name)s
    | (?P<percent> %% )                                        # a percent sign
    | (?P<printf> %(?:\d++\$)?+[#0\-+]*+\d*+(?:\.\d++)?+(?:hh|h|ll|l|z|t|j|L|q)?[sdifuxXoeEgGc@] )  # %s, %1$s, %@
    | (?P<brace>  \{ )                                         # {count}, {count, plural, …}
    """,
    re.VERBOSE,
)
_SIMPLE = re.compile(r"\{\s*+(?:[\w.-]++(?:![rsa])?(?::[^{}]*+)?)?+\s*+\}")
_ICU = re.compile(r"\{\s*+([\w.-]++)\s*+,\s*+(\w++)\s*+(,)?")
#: Arguments of ICU that choose one of several texts.
_CHOICES = ("plural", "selectordinal", "select")
#: No real text nests choices this deeply. What lies deeper is not read.
_MOST_DEPTH = 20
#: Of more placeholders, it does not help to say which one was altered into which.
_MOST_COMPARED = 20
_SELECTOR = re.compile(r"\s*+(?:offset:\d++\s*+)?+(=\d++|[\w-]++)\s*+\{")
_TAG_NAME = re.compile(r"</?([A-Za-z][\w:.-]*)")


class Placeholders(TextKind):
    """
    Each text must have the placeholders and tags of one of the row's columns.

    They are ``{count}``, ``{{ name }}``, ``%s``, ``%(name)s``, ``${name}``, ICU's plural and select, HTML and XML tags.
    Their order is free. A tag counts with its name, and the texts of a plural with their number of forms left out, as
    languages differ in it; the keys of a select must stay.
    """

    def __init__(self, fields: Sequence[str], column: str) -> None:
        super().__init__(fields)
        self.columns = [column]

    def facts(self, row: Mapping[str, Any]) -> dict[str, int] | None:
        text = text_of(row, self.columns[0])
        return None if text is None else dict(Counter(placeholders(text)))

    def problem(self, text: str, fact: Any) -> str | None:
        if fact is None:
            return None
        expected, found = Counter(fact), Counter(placeholders(text))
        missing, extra = sorted((expected - found).elements()), sorted((found - expected).elements())
        facts = []
        for name in missing[:_MOST_COMPARED]:
            if close := difflib.get_close_matches(name, extra[:_MOST_COMPARED], n=1):
                facts.append(f"has {close[0]} instead of {name}")
                missing.remove(name)
                extra.remove(close[0])
        facts += [f"lacks {', '.join(missing)}"] if missing else []
        facts += [f"has {', '.join(extra)}, which {self.columns[0]} does not have"] if extra else []
        return "; ".join(facts) or None


def placeholders(text: str, *, depth: int = 0) -> Iterator[str]:
    """
    Yield the placeholders and tags of a text, each in a form that does not depend on its language.

    :param depth: the number of choices that the text lies in
    """
    place = 0
    while token := _TOKEN.search(text, place):
        place = token.end()
        match token.lastgroup:
            case "tag":
                yield from _tag(token.group(), depth=depth)
            case "brace":
                if simple := _SIMPLE.match(text, token.start()):
                    place = simple.end()
                    yield "".join(simple.group().split())
                elif argument := _ICU.match(text, token.start()):
                    found, place = _argument(text, argument, depth=depth)
                    yield from found
            case "percent":
                continue
            case "printf" if _is_percentage(text, token):
                continue
            case "double":
                yield "".join(token.group().split())
            case _:
                yield token.group()


def _is_percentage(text: str, token: re.Match[str]) -> bool:
    """Whether it is the percent sign of a number and the beginning of a word: ``20%discount``."""
    return text[token.start() - 1 : token.start()].isdigit() and text[token.end() : token.end() + 1].isalpha()


def _tag(tag: str, *, depth: int) -> Iterator[str]:
    """Yield the tag with its name only, then the placeholders in its attributes."""
    if name := _TAG_NAME.match(tag):
        # <br> and <br/> are the same, but <item/> has no end tag and <item> has one.
        ends = "/" if tag.endswith("/>") and name.group(1).lower() not in VOID else ""
        yield f"{name.group().lower()}{ends}>"
        yield from placeholders(tag[name.end() :], depth=depth)


def _argument(text: str, argument: re.Match[str], *, depth: int) -> tuple[list[str], int]:
    """
    Return what an ICU argument contributes, and where it ends. One that does not end counts up to the text's end.

    A placeholder within several texts of a choice counts once.
    """
    name, kind = argument.groups()[:2]
    if kind not in _CHOICES:
        end = _end_of_braces(text, argument.start())
        return ["".join(text[argument.start() : end].split())], end
    place, keys, inner = argument.end(), [], dict[str, None]()
    while depth < _MOST_DEPTH and (selector := _SELECTOR.match(text, place)):
        place = _end_of_braces(text, selector.end() - 1)
        keys.append(selector.group(1))
        inner |= dict.fromkeys(placeholders(text[selector.end() : place - 1], depth=depth + 1))
    shown = f" {'/'.join(sorted(keys))}" if kind == "select" else ""
    return [f"{{{name},{kind}{shown}}}", *inner], _end_of_braces(text, argument.start())


def _end_of_braces(text: str, start: int) -> int:
    """Return the place after the brace that closes the one at ``start``."""
    depth = 0
    for place in range(start, len(text)):
        depth += (text[place] == "{") - (text[place] == "}")
        if depth == 0:
            return place + 1
    return len(text)
