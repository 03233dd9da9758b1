"""
The parameters of a query as its database reads it: a colon in a comment, a string, a quoted name, a cast or a slice
begins none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from include.enrichment.errors import nearest

PARTITION_PARAMETERS = ("partition_start", "partition_end")


@dataclass(frozen=True, kw_only=True)
class _Syntax:
    """
    The strings, quoted names and comments of a kind of database, besides those that all databases share.

    :param backslash: the quotes within which a backslash escapes the next character: ``'it\\'s'`` is one string
    :param escape_strings: ``E'it\\'s'`` is one string, and continues in quotes on the next line
    :param triple_quotes: ``'''it's'''`` is one string
    :param line_comments: begins a comment that ends with its line; a regular expression
    :param nested_comments: a ``/* */`` may contain another
    :param bracket_names: ``[…]`` is a quoted name, not an array or a slice
    :param double_brackets: ``]]`` within it is a bracket
    """

    backslash: str = ""
    escape_strings: bool = False
    triple_quotes: bool = False
    line_comments: str = "--"
    nested_comments: bool = False
    bracket_names: bool = False
    double_brackets: bool = False

    @cached_property
    def tokens(self) -> re.Pattern[str]:
        """The places where the scan stops. A quote that is not closed extends to the end of the query."""
        skipped = [
            rf"(?:{self.line_comments})[^\r\n]*",
            r"\$(?P<tag>(?:[^\W\d]\w*)?)\$(?:.*?\$(?P=tag)\$|.*)",
            *(rf"{quote * 3}(?:\\.|.)*?(?:{quote * 3}|\Z)" for quote in "'\"" if self.triple_quotes),
            *([r"[eE]'(?:[^'\\]|\\.|''|'[^\S\r\n]*[\r\n]\s*')*'?"] if self.escape_strings else []),
            *([r"\[(?:[^\]]|\]\])*\]?" if self.double_brackets else r"\[[^\]]*\]?"] if self.bracket_names else []),
            *(
                rf"{quote}(?:[^{quote}\\]|\\.|{quote * 2})*{quote}?"
                if quote in self.backslash
                else f"{quote}(?:[^{quote}]|{quote * 2})*{quote}?"
                for quote in "'\"`"
            ),
        ]
        return re.compile(
            rf"(?P<comment>/\*)|(?P<skipped>{'|'.join(skipped)})|\\:|::|(?P<mark>[][();])|(?P<word>\w[\w$]*)"
            r"|(?<![\w$)\]\"'`]):(?P<name>[^\W\d][\w$]*)",
            re.DOTALL,
        )


_POSTGRES = _Syntax(escape_strings=True, nested_comments=True)
_MYSQL = _Syntax(backslash="'\"", line_comments="--|#")
#: By SQLAlchemy dialect. All others are read like Postgres.
_SYNTAXES = {
    "postgresql": _POSTGRES,
    "sqlite": _Syntax(bracket_names=True),
    "mssql": _Syntax(bracket_names=True, double_brackets=True, nested_comments=True),
    "mysql": _MYSQL,
    "mariadb": _MYSQL,
    "bigquery": _Syntax(backslash="'\"`", triple_quotes=True, line_comments="--|#"),
    "snowflake": _Syntax(backslash="'", line_comments="--|//"),
    "databricks": _Syntax(backslash="'\""),
}


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """``:name``, from character ``start`` to ``end`` of the query."""

    name: str
    start: int
    end: int


def parameters(sql: str, dialect: str) -> list[Parameter]:
    """Return the parameters of a query, known or not, as the database of SQLAlchemy's ``dialect`` reads it."""
    return list(_parameters(sql, _SYNTAXES.get(dialect, _POSTGRES)))


def query_problems(sql: str, dialect: str | None = None) -> list[str]:
    """
    Return each reason why no run can send this query, with its line.

    :param dialect: SQLAlchemy's name of the database; None if it is not known yet, which finds only the problems that
        all databases share
    """
    syntaxes = set(_SYNTAXES.values()) if dialect is None else {_SYNTAXES.get(dialect, _POSTGRES)}
    first, *others = [list(_problems(sql, syntax)) for syntax in syntaxes]
    return [problem for problem in first if all(problem in other for other in others)]


def error_line(sql: str, message: str, dialect: str) -> int | None:
    """
    Return the line of the query in which its database found a mistake; None if it does not say.

    Some databases give the line. SQLite gives the word, which is enough if the word occurs on only one line.

    :param message: of the database
    """
    if found := re.search(r"\bline:? ?(\d+)", message, re.IGNORECASE):
        return int(found[1])
    if not (found := re.search(r'near "(.+?)"|no such (?:column|table|function): (?:\w+\.)*(\w+)', message)):
        return None
    word = found[1] or found[2]
    syntax = _SYNTAXES.get(dialect, _POSTGRES)
    lines = {_line(sql, token.start()) for token in _code(sql, syntax) if token[0].casefold() == word.casefold()}
    return lines.pop() if len(lines) == 1 else None


def _problems(sql: str, syntax: _Syntax) -> Iterator[str]:
    found = list(_parameters(sql, syntax))
    unknown = [parameter for parameter in found if parameter.name not in PARTITION_PARAMETERS]
    for name, start in {parameter.name: parameter.start for parameter in reversed(unknown)}.items():
        yield (
            f"extract.sql:{_line(sql, start)}: unknown parameter :{name}{nearest(name, PARTITION_PARAMETERS) or '.'}"
            r" Known: :partition_start and :partition_end. Write a plain colon as \:"
        )
    if len(unknown) == len(found):
        unread = re.search(f":(?:{'|'.join(PARTITION_PARAMETERS)})", sql)
        yield (
            f"extract.sql:{_line(sql, unread.start()) if unread else 1}: uses neither :partition_start nor"
            " :partition_end: every run would read, and pay for, the whole table"
            + (f" ({unread[0]} on this line is in a comment, a string or a name)" if unread else "")
        )
    ended = False
    for token in _code(sql, syntax):
        if ended and token[0] != ";":
            yield f"extract.sql:{_line(sql, token.start())}: a second statement begins here; only one select is allowed"
            return
        ended = ended or token[0] == ";"


def _parameters(sql: str, syntax: _Syntax) -> Iterator[Parameter]:
    opened: list[str] = []
    for token in _code(sql, syntax):
        if token[0] in ("(", "["):
            opened.append(token[0])
        elif token[0] in (")", "]"):
            del opened[-1:]
        # Between brackets, body[1 :n], the end of a slice looks like a parameter.
        elif (name := token["name"]) and (name in PARTITION_PARAMETERS or opened[-1:] != ["["]):
            yield Parameter(name=name, start=token.start(), end=token.end())


def _code(sql: str, syntax: _Syntax) -> Iterator[re.Match[str]]:
    """Yield the words, marks and parameters outside comments, strings and quoted names."""
    position = 0
    while token := syntax.tokens.search(sql, position):
        position = token.end()
        if token["comment"]:
            position = _comment_end(sql, position, nested=syntax.nested_comments)
        elif token["mark"] or token["word"] or token["name"]:
            yield token


def _comment_end(sql: str, position: int, *, nested: bool) -> int:
    depth = 1
    for mark in re.compile(r"/\*|\*/").finditer(sql, position):
        if mark[0] == "*/":
            depth -= 1
        elif nested:
            depth += 1
        if not depth:
            return mark.end()
    return len(sql)


def _line(sql: str, position: int) -> int:
    return sql.count("\n", 0, position) + 1
