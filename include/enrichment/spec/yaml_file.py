"""Reads a YAML file with the line of each of its nodes, for the errors about them."""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError
from yaml.composer import Composer

from include.enrichment.errors import nearest

#: A node of a YAML document: the keys and positions that lead to it.
NodePath = tuple[str | int, ...]
Lines = dict[NodePath, int]
Model = TypeVar("Model")
#: No real file has more. Aliases within aliases would make a few lines grow without end.
_MOST_NODES = 500_000


_Loader: type[Any] = yaml.SafeLoader
if yaml.__with_libyaml__:

    class _FastLoader(Composer, yaml.CSafeLoader):
        """
        With libyaml's parser, which takes a sixth of the time. yaml.CSafeLoader itself also composes the nodes in C,
        where a document that nests too deep ends the process; here it raises RecursionError.
        """

        def __init__(self, text: str) -> None:
            yaml.CSafeLoader.__init__(self, text)
            Composer.__init__(self)

    _Loader = _FastLoader


class DuplicateKey(yaml.MarkedYAMLError):
    """A mapping has the same key twice."""


def read_yaml(text: str) -> tuple[Any, Lines]:
    """Return the document and the line of each of its nodes. Raises yaml.YAMLError, also for a duplicate key."""
    loader, root = _compose(text)
    lines: Lines = {}

    def visit(node: yaml.Node, path: NodePath) -> None:
        lines.setdefault(path, node.start_mark.line + 1)
        if len(lines) > _MOST_NODES:
            fact = f"has more than {_MOST_NODES:,} values: write out what its aliases (*name) repeat"
            raise yaml.MarkedYAMLError(problem=fact, problem_mark=node.start_mark)
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if not isinstance(key, yaml.ScalarNode):
                    raise yaml.MarkedYAMLError(problem="a key must be a plain name", problem_mark=key.start_mark)
                child = (*path, key.value)
                if child in lines:
                    raise DuplicateKey(problem=f"duplicate key {key.value!r}", problem_mark=key.start_mark)
                lines[child] = key.start_mark.line + 1
                visit(value, child)
        elif isinstance(node, yaml.SequenceNode):
            for number, value in enumerate(node.value):
                visit(value, (*path, number))

    if root is None:
        return None, lines
    visit(root, ())
    return loader.construct_document(root), lines


def _compose(text: str) -> tuple[Any, yaml.Node | None]:
    """Return a loader and the root that it has composed."""
    try:
        loader = _Loader(text)
        return loader, loader.get_single_node()
    except (yaml.YAMLError, ValueError):  # the errors of PyYAML's own parser are those that we describe
        loader = yaml.SafeLoader(text)
        return loader, loader.get_single_node()


def read_model(
    text: str, *, file: str, validate: Callable[[Any], Model], describe: Callable[[Any, Any], str]
) -> tuple[Model | None, Lines, list[str]]:
    """
    Return what the file says unless it has mistakes, the line of each of its nodes, and the mistakes: file, line, fact.

    :param describe: the fact for one of the errors() of pydantic, and the document
    """
    document, lines = None, Lines()
    try:
        document, lines = read_yaml(text)
        return validate(document), lines, []
    except ValidationError as error:
        mistakes = [f"{file}:{line_of(lines, one['loc'])}: {describe(one, document)}" for one in error.errors()]
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: a date such as 2026-13-45
        line, fact = _describe_yaml_error(error)
        mistakes = [f"{file}:{line}: {fact}"]
    return None, lines, mistakes


def error_line(error: Exception) -> int:
    """Return the line of a YAML error, 1 if it names none."""
    mark = getattr(error, "problem_mark", None)
    return mark.line + 1 if mark else 1


def line_of(lines: Lines, path: Iterable[str | int]) -> int:
    """Return the line of the deepest part of ``path`` that the file has."""
    steps = tuple(path)
    while steps and steps not in lines:
        steps = steps[:-1]
    return lines.get(steps, 1)


def describe_problem(setting: str, problem: Any, known: Callable[[], Sequence[str]]) -> str:
    """
    Return what is wrong with a setting, as one line.

    :param setting: its dotted name
    :param problem: one of the errors() of a pydantic ValidationError
    :param known: gives the keys that may stand in the place of an unknown one
    """
    if problem["type"] == "extra_forbidden":
        keys = known()
        return f"{setting}: unknown key{nearest(str(problem['loc'][-1]), keys) or '.'} Known keys: {', '.join(keys)}"
    if problem["type"] == "missing":
        return f"{setting}: is missing"
    return f"{setting}: {problem['msg'].removeprefix('Value error, ')}, got {reprlib.repr(problem['input'])}"


def describe_file_error(error: OSError | UnicodeDecodeError) -> str:
    """Return why a file cannot be read."""
    return f"is not UTF-8: {error}" if isinstance(error, UnicodeDecodeError) else f"cannot be read: {error.strerror}"


def _describe_yaml_error(error: Exception) -> tuple[int, str]:
    """Return the line and the fact. The parser's own message hides the cause of the common mistakes."""
    line = error_line(error)
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem is None:
        return line, f"is not YAML: {str(error).splitlines()[0]}"
    message, here, begun = error.problem, error.problem_mark, error.context_mark
    if message.startswith("expected <block end>") and here and begun:
        return line, (
            f"the indentation is wrong: this line begins in column {here.column + 1}, its block (line {begun.line + 1})"
            f" in column {begun.column + 1}. All lines of a block begin in the same column"
        )
    if message.startswith("expected '<document start>'"):
        return line, "the indentation is wrong: this line begins further left than the first line of the file"
    if message.startswith("mapping values are not allowed"):
        return line, "unexpected colon: indent the line like the one above it, or quote a text that contains a colon"
    if message.startswith(r"found character '\t'"):
        return line, "the line begins with a tab: indent with spaces"
    if message.startswith("could not find expected ':'") and begun:
        return begun.line + 1, "the line has no colon: write `name: value`"
    if message == "found unexpected end of stream" and begun:
        return begun.line + 1, "the quote that begins here is not closed"
    return line, message
