"""Texts that must be a valid URL, e-mail address, JSON, HTML or Markdown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jsonschema_rs
import msgspec
from pydantic import HttpUrl, TypeAdapter, ValidationError

from include.enrichment.answers.checks.kind import TextKind
from include.enrichment.answers.checks.texts.html import html_problem
from include.enrichment.answers.checks.texts.markdown import markdown_problem

_url = TypeAdapter(HttpUrl)
_email = jsonschema_rs.Draft202012Validator({"format": "idn-email"}, validate_formats=True)


class Format(TextKind):
    """
    The format of a text.

    :param name: ``url`` (http or https), ``email``, ``json``, ``html`` or ``markdown``
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


_FORMATS: dict[str, Callable[[str], str | None]] = {
    "url": _url_problem,
    "email": _email_problem,
    "json": _json_problem,
    "html": html_problem,
    "markdown": markdown_problem,
}
