"""
A pipeline's folder becomes one checked value. Beside glance.py and prices.py, this is the only file of this room that
reads files, and it reads that folder alone.

    pipeline.yaml  extract.sql  system.md  user.md  output.schema.json

There is no extract.sql where ``source.files`` says what is read.
"""

from __future__ import annotations

import json
import reprlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from include.enrichment.answers.schema import supported_schema
from include.enrichment.answers.schema.column_names import key_problems, output_problems
from include.enrichment.answers.schema.output_schema import OutputSchema
from include.enrichment.errors import SpecError, nearest
from include.enrichment.requests.template import Template
from include.enrichment.spec.pipeline import FILES, SCHEMA, SQL, SYSTEM, USER, YAML, Pipeline, broken_prefix
from include.enrichment.spec.query import query_problems
from include.enrichment.spec.settings import Settings


def load_pipeline(folder: Path) -> Pipeline:
    """
    Read and check the pipeline in ``folder``; its name is the folder's.

    Raises SpecError with one line for every mistake found in any of its files: file, line, fact, and the nearest valid
    name where a name is wrong.
    """
    if not folder.is_dir():
        others = sorted(path.parent.name for path in folder.parent.glob(f"*/{YAML}"))
        raise SpecError(
            f"There is no pipeline {folder.name!r} in {folder.parent}{nearest(folder.name, others) or '.'} There are:"
            f" {', '.join(others) or 'none'}."
        )
    texts: dict[str, str] = {}
    mistakes: list[str] = []
    for file in FILES:
        try:
            texts[file] = (folder / file).read_text(encoding="utf-8-sig")
        except FileNotFoundError:
            if file != SQL or _wants_sql(texts):
                mistakes.append(f"{folder.name}/{file}: is missing; a pipeline is {', '.join(FILES)}")
        except OSError as error:
            mistakes.append(f"{folder.name}/{file}: cannot be read: {error.strerror}")
        except UnicodeDecodeError as error:
            mistakes.append(f"{folder.name}/{file}: is not UTF-8: {error}")
    if not mistakes:
        settings, found = _settings(texts[YAML])
        mistakes = [f"{folder.name}/{mistake}" for mistake in [*found, *_mistakes(texts, settings)]]
        if settings and not mistakes:
            return Pipeline(
                name=folder.name,
                settings=settings,
                sql=texts.get(SQL, ""),
                system=texts[SYSTEM],
                user=texts[USER],
                schema_text=texts[SCHEMA],
                lines={".".join(map(str, path)): line for path, line in _yaml_lines(texts[YAML])[1].items()},
            )
    raise SpecError("\n".join(mistakes))


def find_warnings(pipeline: Pipeline) -> Iterator[str]:
    """What may be wrong with a pipeline that has no mistakes: one line each, with file, line and fact."""
    text = pipeline.schema_text
    for path, fact in supported_schema.find_warnings(json.loads(text)):
        yield f"{pipeline.name}/{SCHEMA}:{_line(_schema_lines(text), path)}: {fact}"


def _wants_sql(texts: dict[str, str]) -> bool:
    """Whether there has to be an extract.sql. A pipeline.yaml with mistakes does not say."""
    if YAML not in texts:
        return True
    settings, _ = _settings(texts[YAML])
    return settings is not None and settings.source.files is None


def _settings(text: str) -> tuple[Settings | None, list[str]]:
    try:
        data, lines = _yaml_lines(text)
        return Settings.model_validate(data), []
    except ValidationError as error:
        return None, [f"{YAML}:{_line(lines, problem['loc'])}: {_spell(problem)}" for problem in error.errors()]
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: a date such as 2026-13-45
        line, fact = _not_yaml(error)
        return None, [f"{YAML}:{line}: {fact}"]


def _not_yaml(error: Exception) -> tuple[int, str]:
    """The line of the mistake, and the fact. The parser's own words do not name the cause of the usual ones."""
    line = _error_line(error)
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem is None:
        return line, f"is not YAML: {str(error).splitlines()[0]}"
    said, here, begun = error.problem, error.problem_mark, error.context_mark
    if said.startswith("expected <block end>") and here and begun:
        return line, (
            f"the indentation is wrong: this line begins in column {here.column + 1}, its block (line {begun.line + 1})"
            f" in column {begun.column + 1}. All lines of a block begin in the same column"
        )
    if said.startswith("expected '<document start>'"):
        return line, "the indentation is wrong: this line begins further left than the first line of the file"
    if said.startswith("mapping values are not allowed"):
        return line, "unexpected colon: indent the line like the one above it, or put a text that has a colon in quotes"
    if said.startswith(r"found character '\t'"):
        return line, "the line begins with a tab: indent with spaces"
    if said.startswith("could not find expected ':'") and begun:
        return begun.line + 1, "the line has no colon: write `name: value`"
    if said == "found unexpected end of stream" and begun:
        return begun.line + 1, "the quote that begins here is not closed"
    return line, said


def _spell(problem: Any) -> str:
    path = [str(step) for step in problem["loc"]]
    where = ".".join(path)
    if not path:
        return f"must be a mapping of {', '.join(Settings.model_fields)}"
    if problem["type"] == "extra_forbidden":
        known = _keys_at(path[:-1])
        return f"{where}: unknown key{nearest(path[-1], known) or '.'} Known here: {', '.join(known)}"
    if problem["type"] == "missing":
        return f"{where}: is missing"
    return f"{where}: {problem['msg'].removeprefix('Value error, ')}, got {reprlib.repr(problem['input'])}"


def _keys_at(path: Sequence[str]) -> list[str]:
    model: Any = Settings
    for step in path:
        model = model.model_fields[step].annotation
    return list(model.model_fields)


def _mistakes(texts: dict[str, str], settings: Settings | None) -> Iterator[str]:
    for file in (SYSTEM, USER):
        try:
            template = Template(texts[file], file=file)
        except SpecError as error:
            yield str(error)
            continue
        if file == SYSTEM and settings and settings.request.cache in ("5m", "1h"):
            for broken in broken_prefix(template):
                yield f"{broken}: move it to {USER}, or say request.cache: off instead of {settings.request.cache}"
    if not texts[USER].strip():
        yield f"{USER}:1: is empty: it is what Claude is told about a row"
    if settings and settings.source.files:
        if SQL in texts:
            yield f"{SQL}:1: is not used, as source.files says what is read: delete one of the two"
    elif SQL in texts:
        yield from query_problems(texts[SQL])
    if settings:
        yield from _key_mistakes(texts[YAML], list(settings.source.key))
    yield from _schema_mistakes(texts[SCHEMA], settings)


def _key_mistakes(text: str, key: list[str]) -> Iterator[str]:
    _, lines = _yaml_lines(text)
    for name, fact in key_problems(key):
        # A mapping has the name in the path, a list its number.
        path: tuple[str | int, ...] = ("source", "key", name)
        yield f"{YAML}:{_line(lines, path if path in lines else (*path[:-1], key.index(name)))}: source.key: {fact}"


def _schema_mistakes(text: str, settings: Settings | None) -> Iterator[str]:
    try:
        schema = json.loads(text)
    except (ValueError, RecursionError) as error:
        yield f"{SCHEMA}:{getattr(error, 'lineno', 1)}: {getattr(error, 'msg', error)}"
        return
    try:
        lines = _schema_lines(text)
    except _Twice as error:
        yield f"{SCHEMA}:{_error_line(error)}: {error.problem}"
        return
    problems = list(supported_schema.find_problems(schema))
    for path, fact in problems:
        yield f"{SCHEMA}:{_line(lines, path)}: {fact}"
    fields = [] if problems else OutputSchema(schema).fields
    for name, fact in output_problems(fields, list(settings.source.key) if settings else []):
        place = next((path for path in lines if path[-2:] == ("properties", name)), ())
        yield f"{SCHEMA}:{_line(lines, place)}: {fact}"


def _schema_lines(text: str) -> dict[tuple[str | int, ...], int]:
    """The line of each part of the schema. Raises _Twice for a key that stands twice."""
    try:
        return _yaml_lines(text.replace("\t", " "))[1]  # JSON is YAML, but for tabs between its tokens
    except _Twice:
        raise
    except (yaml.YAMLError, ValueError):  # and for a few odd characters: the mistakes are then told without their line
        return {}


class _Twice(yaml.MarkedYAMLError):
    """A key stands twice in one mapping."""


def _yaml_lines(text: str) -> tuple[Any, dict[tuple[str | int, ...], int]]:
    """
    The document and the line of each of its nodes, by path. Raises yaml.YAMLError, also for a key that stands twice.
    """
    root = yaml.compose(text, yaml.SafeLoader)
    lines: dict[tuple[str | int, ...], int] = {}

    def visit(node: yaml.Node, path: tuple[str | int, ...]) -> None:
        lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if not isinstance(key, yaml.ScalarNode):
                    raise yaml.MarkedYAMLError(problem="a key must be a plain name", problem_mark=key.start_mark)
                child = (*path, key.value)
                if child in lines:
                    raise _Twice(problem=f"the key {key.value!r} stands twice", problem_mark=key.start_mark)
                lines[child] = key.start_mark.line + 1
                visit(value, child)
        elif isinstance(node, yaml.SequenceNode):
            for number, value in enumerate(node.value):
                visit(value, (*path, number))

    if root is not None:
        visit(root, ())
    return yaml.safe_load(text), lines


def _error_line(error: Exception) -> int:
    mark = getattr(error, "problem_mark", None)
    return mark.line + 1 if mark else 1


def _line(lines: dict[tuple[str | int, ...], int], path: Iterable[str | int]) -> int:
    """The line of the deepest part of ``path`` that the file has."""
    steps = tuple(path)
    while steps and steps not in lines:
        steps = steps[:-1]
    return lines.get(steps, 1)
