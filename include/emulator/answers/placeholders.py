"""The placeholders and tags of a text, as they stand there: what a good translation must keep."""

from __future__ import annotations

import re
from collections.abc import Iterator

_START = re.compile(
    r"""
    (?P<whole>
        </?[A-Za-z][^<>]*>                                              # <b>, </b>, <a href="…">, <br/>
      | \{\{[^{}]*\}\}                                                  # {{ name }}
      | [$%]\{\w+\}                                                     # ${name}, %{name}
      | %\(\w+\)[#0\- +]*[\d.]*[A-Za-z]                                 # %(name)s
      | %(?:\d+\$)?[#0\-+]*[\d.]*(?:hh|h|ll|l|z)?[sdifuxXeEgGc@]        # %s, %1$s, %.2f, %@
    )
    | (?P<escaped> %% )
    | (?P<brace> \{(?=\s*(?:[\w.-]+\s*[},:!]|\})) )                     # {count}, {count, plural, …}
    """,
    re.VERBOSE,
)


def placeholders(text: str) -> Iterator[str]:
    """Yield the placeholders and tags of a text in their order. A plural or select is one, with all its texts."""
    place = 0
    while found := _START.search(text, place):
        place = found.end()
        if found["whole"]:
            yield found["whole"]
        elif found["brace"] and (end := _end_of_braces(text, found.start())):
            yield text[found.start() : end]
            place = end


def _end_of_braces(text: str, start: int) -> int | None:
    """Return the place after the brace that closes the one at ``start``; None if it stays open."""
    depth = 0
    for place in range(start, len(text)):
        depth += (text[place] == "{") - (text[place] == "}")
        if depth == 0:
            return place + 1
    return None
