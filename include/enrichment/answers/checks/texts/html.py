"""The mistakes of an HTML text."""

from __future__ import annotations

import re
from html.parser import HTMLParser

#: Elements without an end tag, and those whose end tag may be left out.
VOID = frozenset(("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"))
_OPTIONAL_END = frozenset(("p", "li", "dt", "dd", "option", "tr", "td", "th", "thead", "tbody", "tfoot"))
_TAG_BEGINS = re.compile(r"<[A-Za-z/!?]")


def html_problem(text: str) -> str | None:
    """
    Return what is wrong with an HTML text, None if nothing is: each end tag closes the element that was opened last,
    and no tag is cut off.
    """
    elements = _Elements()
    try:
        elements.feed(text)
        if _TAG_BEGINS.match(elements.rawdata):
            return f"is not HTML: it ends within {elements.rawdata[:100]!r}"
        elements.close()
    except AssertionError as error:  # html.parser raises it for a malformed declaration
        return f"is not HTML: {error}"
    return elements.problem or next(
        (f"does not close <{name}>" for name in elements.opened if name not in _OPTIONAL_END), None
    )


class _Elements(HTMLParser):
    """Follows the elements of an HTML text. ``problem`` is its first mistake, ``opened`` what it leaves open."""

    def __init__(self) -> None:
        super().__init__()
        self.opened: list[str] = []
        self.problem: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self.problem is None and any("<" in name for name, _ in attrs):
            self.problem = f"does not end the tag <{tag}"
        if tag not in VOID:
            self.opened.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        return

    def handle_endtag(self, tag: str) -> None:
        while self.opened and self.opened[-1] != tag and self.opened[-1] in _OPTIONAL_END:
            self.opened.pop()
        if self.opened and self.opened[-1] == tag:
            self.opened.pop()
        elif self.problem is None:
            inside = f" within <{self.opened[-1]}>" if self.opened else ""
            self.problem = f"has </{tag}>{inside} without its <{tag}>"
