"""One prompt file: sandboxed Jinja over a row's columns."""

from __future__ import annotations

import traceback
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import jinja2
import jinja2.meta
from jinja2 import nodes
from jinja2.visitor import NodeTransformer

from include.enrichment.errors import SpecError
from include.enrichment.requests.conversion import to_prompt_value
from include.enrichment.requests.prompt_values import PROMPT_TYPES, UnsupportedValue
from include.enrichment.requests.sandbox import RUNTIME, Sandbox

_CONSTANTS: dict[object, tuple[str, str]] = {True: ("true", "True"), False: ("false", "False"), None: ("none", "None")}


class Template:
    """
    One prompt file: sandboxed Jinja over a row's columns. Whitespace around the text is stripped.

    The same row gives the same text in every process: there are no random functions (``lipsum``, ``|random``) and no
    clock, and a value without a text is an error. prompt_values.py defines the text of each value.

    :param followed_by: follows each rendered prompt after a blank line. Not a template

    Raises SpecError with the line of a syntax error.
    """

    def __init__(self, text: str, *, file: str, followed_by: str = "") -> None:
        self.file = file
        self._followed_by = followed_by
        source = text.strip()
        self._lines_before = text[: text.find(source)].count("\n")
        environment = self._environment = Sandbox()
        try:
            self._tree = environment.parse(source)
            aliases = _prepare(self._tree, set(environment.globals))
            # Not from_string(), which chains the globals of environment and template: that lookup takes longer than
            # rendering the row.
            self._template = environment.template_class.from_code(
                environment, environment.compile(self._tree), dict(environment.globals)
            )
            self._template.root_render_func.__globals__.update(RUNTIME)
        except jinja2.TemplateSyntaxError as error:
            raise SpecError(f"{file}:{self._lines_before + error.lineno}: {error.message}") from error
        except (SyntaxError, ValueError, RecursionError) as error:  # Jinja leaves these to Python
            raise SpecError(f"{file}:1: cannot be compiled: {error}") from error
        for node in self._tree.find_all((nodes.Extends, nodes.FromImport, nodes.Import, nodes.Include)):
            raise SpecError(f"{file}:{self._line(node)}: a prompt is one file and cannot include another")
        for block in self._tree.find_all(nodes.Block):
            for name in block.find_all(nodes.Name):
                if name.name == "super":
                    raise SpecError(f"{file}:{self._line(name)}: a prompt is one file, so a block has no parent")
        undeclared = jinja2.meta.find_undeclared_variables(self._tree) - set(environment.globals)
        #: The column of each name in the compiled template.
        self._names = {name: aliases.get(name, name) for name in sorted(undeclared)}
        self._keywords = {word: self._lines_before + line for word, line in reversed([*_keywords(self._tree)])}
        self._constant: str | None = None

    @property
    def columns(self) -> dict[str, int]:
        """The columns that the prompt uses, each with the line of its first use."""
        first_lines: dict[str, int] = {}
        for name in self._tree.find_all(nodes.Name):
            if name.name in self._names:
                first_lines.setdefault(self._names[name.name], self._line(name))
        return first_lines

    def shadowed_columns(self, columns: Iterable[str]) -> list[str]:
        """Return a message for each of the columns whose name the prompt uses as a keyword of Jinja."""
        return [
            f"{self.file}:{line}: {word!r} is a Jinja keyword here and hides the column of that name: rename the"
            " column, or avoid the keyword"
            for word, line in self._keywords.items()
            if word in columns
        ]

    def render(self, row: Mapping[str, Any]) -> str:
        """Return the prompt for ``row``. Raises SpecError if the template fails on it."""
        if self._constant is not None:
            return self._constant
        if not self._keywords.keys().isdisjoint(row):
            raise SpecError("\n".join([*self.shadowed_columns(row), "Nothing was sent."]))
        try:
            text = self._template.render(self._values(row))
        except Exception as error:  # an expression can raise anything
            frames = traceback.extract_tb(error.__traceback__)
            line = next((frame.lineno or 1 for frame in reversed(frames) if frame.filename == "<template>"), 1)
            fact = str(error).rstrip(".")
            if not isinstance(error, UnsupportedValue):
                fact = f"{type(error).__name__}: {fact}"
                if "NULL" in fact:
                    fact += ": give NULL a default, as in (column or 0)"
            raise SpecError(
                f"{self.file}:{self._lines_before + line}: cannot be rendered for a row: {fact}. Nothing was sent."
                " Correct the template and clear this task."
            ) from error
        if self._followed_by:
            text = f"{text}\n\n{self._followed_by}" if text.strip() else self._followed_by
        if not self._names:
            self._constant = text
        return text

    def _values(self, row: Mapping[str, Any]) -> dict[str, object]:
        try:
            return {
                name: value if type(value := row[column]) in PROMPT_TYPES else to_prompt_value(value)
                for name, column in self._names.items()
            }
        except KeyError:
            return {
                name: to_prompt_value(row[column]) if column in row else self._environment.undefined(name=column)
                for name, column in self._names.items()
            }

    def _line(self, node: nodes.Node) -> int:
        return self._lines_before + node.lineno


def _prepare(tree: nodes.Template, helpers: set[str]) -> dict[str, str]:
    """
    Change the tree so that columns take precedence over Jinja's own names, and methods can only be called.

    ``range``, ``dict`` … remain Jinja's where they are called, because a value cannot be called, and ``self`` in a file
    with blocks. Return the column of each alias.
    """
    names = list(tree.find_all(nodes.Name))
    calls = list(tree.find_all(nodes.Call))
    for call in calls:
        if isinstance(call.node, nodes.Getattr):
            call.node.ctx = "call"
    helped = {id(call.node) for call in calls if isinstance(call.node, nodes.Name) and call.node.name in helpers}
    taken = {name.name for name in names} | helpers
    own = {name.name for name in names if name.ctx == "param"}  # nodes other than Name refer to it
    own |= {
        node.name for node in tree.find_all((nodes.Macro, nodes.NSRef)) if isinstance(node, nodes.Macro | nodes.NSRef)
    }
    hidden = helpers if tree.find(nodes.Block) else helpers | {"self"}
    aliases: dict[str, str] = {}
    for name in names:
        if name.name in hidden - own and id(name) not in helped:
            alias = f"column_{name.name}"
            while alias in taken:
                alias += "_"
            aliases[alias] = name.name
            name.name = alias
    _NullConstants(tree).visit(tree)
    return aliases


#: The number of a filter's leading arguments that it writes as text, where ``none`` means an empty text.
_TEXT_ARGUMENTS = {"join": 1, "replace": 2}


class _NullConstants(NodeTransformer):
    """
    Replaces each ``none`` of the template with NULL, except as an argument of a filter, a test or a method, where it
    means that the argument is omitted.
    """

    def __init__(self, tree: nodes.Template) -> None:
        self._kept = {
            id(argument)
            for node in tree.find_all((nodes.Filter, nodes.Test, nodes.Call))
            if isinstance(node, nodes.Filter | nodes.Test | nodes.Call) and _may_omit_arguments(node)
            for argument in [
                *node.args[_TEXT_ARGUMENTS.get(getattr(node, "name", ""), 0) :],
                *(keyword.value for keyword in node.kwargs),
            ]
        }

    def visit_Const(self, node: nodes.Const) -> nodes.Node:
        if node.value is not None or id(node) in self._kept:
            return node
        return nodes.EnvironmentAttribute("null", lineno=node.lineno, environment=node.environment)


def _may_omit_arguments(node: nodes.Filter | nodes.Test | nodes.Call) -> bool:
    if isinstance(node, nodes.Call):
        return isinstance(node.node, nodes.Getattr) and node.node.attr != "format"
    return node.name not in ("format", "groupby", "map")


def _keywords(tree: nodes.Template) -> Iterator[tuple[str, int]]:
    """Yield the names that the template uses as keywords of Jinja, each with its line."""
    for const in tree.find_all((nodes.Const, nodes.EnvironmentAttribute)):
        value = const.value if isinstance(const, nodes.Const) else None
        if value is None or isinstance(value, bool):
            yield from ((word, const.lineno) for word in _CONSTANTS[value])
    bodies: list[tuple[set[str], list[nodes.Node]]] = [({"loop"}, loop.body) for loop in tree.find_all(nodes.For)]
    for macro in tree.find_all((nodes.Macro, nodes.CallBlock)):
        if isinstance(macro, nodes.Macro | nodes.CallBlock):
            bodies.append(({"caller", "kwargs", "varargs"}, macro.body))
    if tree.find(nodes.Block):
        bodies.append(({"self"}, tree.body))
    for words, body in bodies:
        for name in nodes.Output(body).find_all(nodes.Name):
            if name.name in words:
                yield name.name, name.lineno
