"""Texts that must be a valid URL, e-mail address, JSON or HTML."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html.parser import HTMLParser
from typing import Any

import jsonschema_rs
import msgspec
from pydantic import HttpUrl, TypeAdapter, ValidationError

from include.enrichment.answers.checks.kind import TextKind

_url = TypeAdapter(HttpUrl)
_email = jsonschema_rs.Draft202012Validator({"format": "idn-email"}, validate_formats=True)
#: Elements without an end tag, and those whose end tag may be left out.
_VOID = frozenset(
    ("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr")
)
_OPTIONAL_END = frozenset(("p", "li", "dt", "dd", "option", "tr", "td", "th", "thead", "tbody", "tfoot"))


class Format(TextKind):
    """
    The format of a text.

    :param name: ``url`` (http or https), ``email``, ``json`` or ``html`` (each end tag closes the element opened last)
    """

    def __init__(self, fields: Sequence[str], name: str) -> None:
        super().__init__(fields)
        self._check = _FORMATS[name]

    def problem(self, text: str, fact: Any) -> str | None:
        return self._check(text)


def _url_problem(text: str) -> str | None:
    try:
        _url.validate_python(text)
    except ValidationError as error:
        return f"is not a URL: {error.errors()[0]['msg']}"
    return "is not a URL: it contains white space" if text.split() != [text] else None


def _email_problem(text: str) -> str | None:
    return None if _email.is_valid(text) else f"is not an e-mail address: {text[:100]!r}"


def _json_problem(text: str) -> str | None:
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError) as error:
        return f"is not JSON: {error}"
    return None


def _html_problem(text: str) -> str | None:
    elements = _Elements()
    try:
        elements.feed(text)
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
        if tag not in _VOID:
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


_FORMATS: dict[str, Callable[[str], str | None]] = {
    "url": _url_problem,
    "email": _email_problem,
    "json": _json_problem,
    "html": _html_problem,
}
