"""
The mistakes of a Markdown text. By the letter of CommonMark every text is Markdown; a mistake is what a reader would
see as stray characters.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from markdown_it import MarkdownIt
from markdown_it.token import Token

from include.enrichment.answers.checks.texts.html import html_problem

#: CommonMark with GitHub's tables. An escaped character stays apart from the text around it.
_parser = MarkdownIt("commonmark").enable("table").disable("text_join")
#: What is left in a text when its counterpart is missing, with what it should have been.
_LEFT_OVER = (
    (re.compile(r"\[[^\[\]\n]*\]\([^\n]{0,60}"), "a link or an image"),
    (re.compile(r"\*\*(?=\S)[^\n]{0,60}|(?<=\S)\*\*"), "bold text"),
    (re.compile(r"`[^\n]{0,60}"), "code"),
    (re.compile(r"\|[ \t]*:?-{3,}[^\n]{0,60}"), "a table, whose line of dashes has as many cells as its header"),
)
_ESCAPED = "\0"


def markdown_problem(text: str) -> str | None:
    """
    Return the first thing that is wrong with a Markdown text, None if nothing is: a block of code that does not end, a
    link without an address, what was to be a link, bold text, code or a table and is not, tags of HTML without their
    counterpart.
    """
    tokens = _parser.parse(text)
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    problems = (problem for token in tokens for problem in _problems(token, lines))
    if problem := next(problems, None):
        return f"is not Markdown: {problem}"
    html = "".join(token.content for token in _flat(tokens) if token.type in ("html_inline", "html_block"))
    if problem := html_problem(html):
        return f"is not Markdown: its HTML {problem}"
    return None


def _problems(token: Token, lines: list[str]) -> Iterator[str]:
    if token.type == "fence" and token.map and not _is_closed(token, lines):
        yield f"the block of code that begins with {lines[token.map[0]].strip()[:100]!r} does not end"
    children = token.children or []
    for child in children:
        if child.type in ("link_open", "image") and not child.attrGet("href" if child.type == "link_open" else "src"):
            yield "a link or an image has no address"
    plain = "".join(_plain(child) for child in children)
    for pattern, what in _LEFT_OVER:
        if found := pattern.search(plain):
            yield f"{found.group()!r} is not {what}"


def _is_closed(token: Token, lines: list[str]) -> bool:
    """Whether the last line of a block of code ends it. Blocks in lists and quotes are indented."""
    if token.map is None or token.map[1] - 1 <= token.map[0]:
        return False
    last = lines[token.map[1] - 1].strip().lstrip("> \t") if token.map[1] <= len(lines) else ""
    return len(last) >= len(token.markup) and set(last) == {token.markup[0]}


def _plain(token: Token) -> str:
    match token.type:
        case "text":
            return token.content
        case "softbreak" | "hardbreak":
            return "\n"
        case _:
            return _ESCAPED


def _flat(tokens: list[Token]) -> Iterator[Token]:
    for token in tokens:
        yield token
        yield from _flat(token.children or [])
