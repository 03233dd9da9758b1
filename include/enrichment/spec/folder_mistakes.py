"""The mistakes in the files of a pipeline's folder, once they are read: each as ``file:line: fact``."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import combinations

import yaml

from include.enrichment.answers.evidence.sent_output import pipeline_output
from include.enrichment.answers.schema import supported_schema
from include.enrichment.answers.schema.column_names import (
    RENAME_COLUMN,
    carry_problems,
    for_each_problems,
    key_problems,
    output_problems,
    rename_problems,
)
from include.enrichment.answers.schema.output_schema import OutputSchema
from include.enrichment.documents import object_columns
from include.enrichment.errors import SpecError
from include.enrichment.requests.row_expression import expression_problems
from include.enrichment.requests.template import Template
from include.enrichment.requests.used_columns import prefix_problems
from include.enrichment.spec.checks_file import ChecksFile
from include.enrichment.spec.query import query_problems
from include.enrichment.spec.settings import Settings
from include.enrichment.spec.source_table import SourceTable
from include.enrichment.spec.variants.files import SCHEMA, SQL, YAML, PromptFiles
from include.enrichment.spec.variants.settings import with_current
from include.enrichment.spec.variants.union_schema import type_conflicts
from include.enrichment.spec.yaml_file import DuplicateKey, Lines, NodePath, error_line, line_of, read_yaml

#: The texts of the files by name, without those that do not exist.
Texts = Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class _Way:
    """
    One way of asking: the pipeline's own, or a variant's.

    :param cache: its ``cache``; None: pipeline.yaml has mistakes
    :param setting: the dotted name of that setting
    """

    files: PromptFiles
    cache: str | None = None
    setting: str = "request.cache"


def _ways(settings: Settings | None) -> dict[str, _Way]:
    """Return the way of each variant by its name; one without a name if there are none."""
    if settings is None:
        return {"": _Way(files=PromptFiles())}
    if not settings.variants:
        return {"": _Way(files=PromptFiles(), cache=settings.request.cache)}
    return {
        name: _Way(
            files=PromptFiles.of(variant),
            cache=variant.request(settings.request).cache,
            setting=f"variants.{name}.cache" if variant.cache else "request.cache",
        )
        for name, variant in with_current(settings.variants).items()
    }


def prompt_files(settings: Settings) -> list[str]:
    """Return the names of the prompts of all variants, each once."""
    found = [way.files for way in _ways(settings).values()]
    return list(dict.fromkeys(file for files in found for file in (files.system, files.user)))


def find_mistakes(texts: Texts, settings: Settings | None, lines: Lines) -> Iterator[str]:
    """Yield the mistakes of all files, except those in the settings themselves."""
    ways = _ways(settings).values()
    for way in ways:
        yield from _prompt_mistakes(texts, way)
    for way in ways:
        yield from _empty_files(texts, way.files)
    if settings and (kind := settings.source.instead_of_query):
        if SQL in texts:
            yield f"{SQL}:1: is not used, because source.{kind} replaces it: delete one of the two"
    elif SQL in texts:
        yield from query_problems(texts[SQL])
    if settings:
        yield from _setting_mistakes(settings, lines)
        for way in ways:
            yield from _unused_names(texts, way.files, settings, lines)
    schemas = list(dict.fromkeys(way.files.schema for way in ways if way.files.schema in texts))
    mistakes = {file: list(_schema_mistakes(texts[file], settings, file=file)) for file in schemas}
    yield from (mistake for found in mistakes.values() for mistake in found)
    if not any(mistakes.values()):
        yield from _schema_conflicts(texts, schemas)


def table_mistakes(texts: Texts, table: SourceTable, settings: Settings, lines: Lines) -> Iterator[str]:
    """Yield the mistakes in ``source.table``, and each name that is no column of the table."""
    for path, fact in table.problems():
        yield f"{YAML}:{line_of(lines, path)}: {'.'.join(path[:2])}: {fact}"
    for file in prompt_files(settings):
        with suppress(SpecError):  # find_mistakes() reports it
            yield from (f"{file}:{line}: {fact}" for line, fact in table.prompt_problems(texts[file]))


def attachment_mistakes(settings: Settings, lines: Lines) -> Iterator[str]:
    """Yield what contradicts the source in ``attachments``, and each name that is no column of ``source.objects``."""
    source, attachments = settings.source, settings.attachments
    if settings.output.evidence and not settings.attached_columns:
        line = line_of(lines, ("output", "evidence"))
        yield f"{YAML}:{line}: output.evidence: needs documents: add attachments, or remove it"
    if attachments:
        for below, fact in attachments.problems(source.instead_of_query, in_folder=source.in_folder):
            path = ("attachments", *below)
            line = line_of(lines, path if path in lines else path[:-1])
            yield f"{YAML}:{line}: {'.'.join(path[:2])}: {fact}"
    if source.objects:
        for setting, problems in (
            ("key", object_columns.key_problems(source.key)),
            ("carry", object_columns.column_problems(source.carry)),
        ):
            yield from _column_mistakes(("source", setting), list(getattr(source, setting)), problems, lines)


def tool_mistakes(settings: Settings, lines: Lines) -> Iterator[str]:
    """Yield the settings that an agent excludes: a row that is asked twice would act twice."""
    if not settings.tools:
        return
    line = line_of(lines, ("tools",))
    if settings.request.mode != "synchronous":
        yield f"{YAML}:{line}: tools: need request.mode: synchronous, because an answer takes several calls of the API"
    for setting, more in (
        ("variants", settings.variants),
        ("samples", settings.samples > 1),
        ("request.escalate", settings.request.escalate),
        ("attachments", settings.attached_columns),
    ):
        if more:
            yield f"{YAML}:{line}: tools: cannot be combined with {setting}: each row is answered once, and acts once"


def field_mistakes(checks: ChecksFile, texts: Texts, settings: Settings | None) -> Iterator[str]:
    """Yield the checks of fields that an output does not have; none of an output whose schema has mistakes."""
    if not checks.checks:
        return
    evidence = settings is not None and settings.output.evidence
    schemas = list(dict.fromkeys(way.files.schema for way in _ways(settings).values()))
    for file in schemas:
        text = texts.get(file)
        if text is not None and not any(_schema_mistakes(text, None, file=file)):
            output = pipeline_output(text, evidence=evidence)
            yield from checks.field_mistakes(output, of="" if file == SCHEMA else f" of {file}")
            if settings and file == schemas[0] and not evidence:
                yield from checks.evidence_mistakes()


def schema_lines(text: str) -> Lines:
    """Return the line of each part of a schema. Raises DuplicateKey."""
    try:
        return read_yaml(text.replace("\t", " "))[1]  # JSON is YAML, except for tabs between its tokens
    except DuplicateKey:
        raise
    except (yaml.YAMLError, ValueError):  # and except for a few odd characters: mistakes are then reported on line 1
        return {}


def _prompt_mistakes(texts: Texts, way: _Way) -> Iterator[str]:
    for file in (way.files.system, way.files.user):
        try:
            template = Template(texts[file], file=file)
        except SpecError as error:
            yield str(error)
            continue
        if file == way.files.system and way.cache in ("5m", "1h"):
            for problem in prefix_problems(template):
                yield f"{problem}: move it to {way.files.user}, or set {way.setting}: off instead of {way.cache}"


def _empty_files(texts: Texts, files: PromptFiles) -> Iterator[str]:
    if not texts[files.user].strip():
        yield f"{files.user}:1: is empty: write what Claude is to do with a row"
    for file in filter(files.is_context, texts):
        if not texts[file].strip():
            yield f"{file}:1: is empty: write what all requests share, or delete the file"


def _setting_mistakes(settings: Settings, lines: Lines) -> Iterator[str]:
    """Yield the expressions and the names of columns that cannot be."""
    if settings.source.where:
        yield from _expression_mistakes(("source", "where"), settings.source.where, lines)
    if settings.keep:
        yield from _expression_mistakes(("keep", "best"), settings.keep.best, lines)
        if fact := settings.keep.among_problem(list(settings.key_types)):
            yield f"{YAML}:{line_of(lines, ('keep', 'among'))}: keep.among: {fact}"
    key, carry, for_each = (list(names) for names in _columns(settings))
    rename = settings.source.rename
    yield from _column_mistakes(("source", "rename"), list(rename), rename_problems(rename), lines)
    remedy = {"remedy": RENAME_COLUMN} if settings.source.table or settings.source.files else {}
    yield from _column_mistakes(("source", "key"), key, key_problems(key, **remedy), lines)
    yield from _column_mistakes(("for_each",), for_each, for_each_problems(for_each, key), lines)
    carried = carry_problems(carry, [*key, *for_each], **remedy)
    yield from _column_mistakes(("source", "carry"), carry, carried, lines)


def _expression_mistakes(setting: Sequence[str], text: str, lines: Lines) -> Iterator[str]:
    # Only a block (`where: |`) keeps its line ends, and begins below its name.
    first = line_of(lines, setting) + ("\n" in text)
    for line, fact in expression_problems(text):
        yield f"{YAML}:{first + line - 1}: {'.'.join(setting)}: {fact}"


def _columns(settings: Settings | None) -> tuple[Iterable[str], Iterable[str], Iterable[str]]:
    """Return the names of key, carried columns and for_each."""
    if settings is None:
        return (), (), ()
    return settings.source.key, settings.source.carry, settings.for_each


def _unused_names(texts: Texts, files: PromptFiles, settings: Settings, lines: Lines) -> Iterator[str]:
    """Yield the names of for_each that the prompts do not use; none if a prompt has mistakes."""
    with suppress(SpecError):
        prompts = [Template(texts[file], file=file) for file in (files.system, files.user)]
        used = {name for prompt in prompts for name in prompt.columns}
        names = list(settings.for_each)
        yield from _column_mistakes(("for_each",), names, _unused(names, used, files.user), lines)


def _unused(for_each: Iterable[str], used: Collection[str], user: str) -> Iterator[tuple[str, str]]:
    for name in for_each:
        if name not in used:
            yield name, f"{name!r} changes no request: write {{{{ {name} }}}} in {user}, or remove it"


def _column_mistakes(
    setting: NodePath, names: list[str], problems: Iterable[tuple[str, str]], lines: Lines
) -> Iterator[str]:
    for name, fact in problems:
        # The last step of the path is the name in a mapping, the position in a list.
        path: NodePath = (*setting, name)
        line = line_of(lines, path if path in lines else (*setting, names.index(name)))
        yield f"{YAML}:{line}: {'.'.join(map(str, setting))}: {fact}"


def _schema_mistakes(text: str, settings: Settings | None, *, file: str) -> Iterator[str]:
    try:
        schema = json.loads(text)
    except (ValueError, RecursionError) as error:
        yield f"{file}:{getattr(error, 'lineno', 1)}: {getattr(error, 'msg', error)}"
        return
    try:
        lines = schema_lines(text)
    except DuplicateKey as error:
        yield f"{file}:{error_line(error)}: {error.problem}"
        return
    problems = list(supported_schema.find_problems(schema))
    for path, fact in problems:
        yield f"{file}:{line_of(lines, path)}: {fact}"
    fields = [] if problems else OutputSchema(schema).fields
    key, carry, for_each = _columns(settings)
    for name, fact in output_problems(fields, [*key, *for_each], carry):
        yield f"{file}:{_property_line(lines, name)}: {fact}"


def _schema_conflicts(texts: Texts, files: Sequence[str]) -> Iterator[str]:
    """Yield the fields that have one type in one schema and another in another."""
    fields = {file: OutputSchema(json.loads(texts[file])).properties for file in files} if len(files) > 1 else {}
    for first, file in combinations(fields, 2):
        for name, fact in type_conflicts(fields[file], fields[first], other_file=first):
            yield f"{file}:{_property_line(schema_lines(texts[file]), name)}: {fact}"


def _property_line(lines: Lines, name: str) -> int:
    return line_of(lines, next((path for path in lines if path[-2:] == ("properties", name)), ()))
