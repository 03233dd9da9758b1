"""
Reads a pipeline's folder into one checked value.

    pipeline.yaml  extract.sql  system.md  user.md  output.schema.json  context/*.md  examples.jsonl  checks.yaml

``source.files``, ``source.objects``, ``source.table`` and ``source.cases``, which names another file of the folder,
replace extract.sql. Without output.schema.json the answer is text. The last three are optional.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_origin

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
from include.enrichment.errors import SpecError, nearest
from include.enrichment.requests.row_expression import expression_problems
from include.enrichment.requests.template import Template
from include.enrichment.requests.used_columns import prefix_problems
from include.enrichment.spec.checks_file import ChecksFile, read_checks
from include.enrichment.spec.examples import Example, read_examples, shared_text
from include.enrichment.spec.pipeline import (
    CHECKS,
    CONTEXT,
    EXAMPLES,
    FILES,
    SCHEMA,
    SQL,
    SYSTEM,
    USER,
    YAML,
    Pipeline,
)
from include.enrichment.spec.query import query_problems
from include.enrichment.spec.settings import Settings
from include.enrichment.spec.source_table import SourceTable
from include.enrichment.spec.sources.case_reading import CaseReading, read_case_file
from include.enrichment.spec.yaml_file import (
    DuplicateKey,
    Lines,
    NodePath,
    describe_file_error,
    describe_problem,
    error_line,
    line_of,
    read_model,
    read_yaml,
)


def load_pipeline(folder: Path) -> Pipeline:
    """
    Read and check the pipeline in ``folder``, which gives it its name.

    Raises SpecError with one line per mistake in any of its files: file, line, fact, and the closest valid name of a
    wrong one.
    """
    if not folder.is_dir():
        others = _pipelines(folder.parent)
        raise SpecError(
            f"There is no pipeline {folder.name!r} in {folder.parent}{nearest(folder.name, others) or '.'} There are:"
            f" {', '.join(others) or 'none'}."
        )
    texts: dict[str, str] = {}
    context = sorted(f"{CONTEXT}/{path.name}" for path in (folder / CONTEXT).glob("[!.]*"))
    mistakes = [
        f"{folder.name}/{file}: is not read: rename it to *.md, or move it"
        for file in context
        if not file.endswith(".md")
    ]
    for file in (*FILES, EXAMPLES, *(file for file in context if file.endswith(".md"))):
        try:
            texts[file] = (folder / file).read_text(encoding="utf-8-sig")
        except FileNotFoundError:
            if file == SCHEMA:
                mistakes += [f"{folder.name}/{mistake}" for mistake in _misnamed_schemas(folder)]
            elif file != EXAMPLES and (file != SQL or _needs_sql(texts)):
                mistakes.append(f"{folder.name}/{file}: is missing; a pipeline is {', '.join(FILES)}")
        except (OSError, UnicodeDecodeError) as error:
            mistakes.append(f"{folder.name}/{file}: {describe_file_error(error)}")
    if not mistakes:
        settings, lines, found = _settings(texts[YAML])
        found += _mistakes(texts, settings, lines)
        if settings and settings.source.table:
            found += _table_mistakes(folder, texts, settings, lines)
        cases = CaseReading()
        if settings and settings.source.cases:
            cases = read_case_file(folder, settings, lines, prompts={file: texts[file] for file in (SYSTEM, USER)})
            found += cases.mistakes
        if settings:
            found += _attachment_mistakes(settings, lines)
        # Examples can be checked only against a prompt and a schema without mistakes.
        evidence = settings is not None and settings.output.evidence
        shared, found = ("", found) if found else _shared(texts, evidence=evidence)
        checks = read_checks(folder)
        found += [*checks.mistakes, *_field_mistakes(checks, texts.get(SCHEMA), settings)]
        mistakes = [f"{folder.name}/{mistake}" for mistake in found]
        if settings and not mistakes:
            pipeline = Pipeline(
                name=folder.name,
                settings=settings,
                sql=texts.get(SQL, ""),
                system=texts[SYSTEM],
                user=texts[USER],
                schema_text=texts.get(SCHEMA),
                shared=shared,
                cases=cases.text,
                lines={".".join(map(str, path)): line for path, line in lines.items()},
                checks=checks.checks,
                check_lines=checks.lines,
            )
            pipeline.read_checks()
            pipeline.check_best()
            return pipeline
    raise SpecError("\n".join(mistakes))


def find_warnings(pipeline: Pipeline) -> Iterator[str]:
    """Yield a line with file, line and fact for each doubtful part of a pipeline without mistakes."""
    if (text := pipeline.schema_text) is not None:
        for path, fact in supported_schema.find_warnings(json.loads(text)):
            yield f"{pipeline.name}/{SCHEMA}:{line_of(_schema_lines(text), path)}: {fact}"
    if pipeline.shared and pipeline.settings.request.cache == "off":
        auto = pipeline.with_cache("auto").caching
        if auto.cache != "off":
            yield (
                f"{pipeline.location('request.cache')}: is off, so every request pays the full price for {CONTEXT}/ and"
                f" {EXAMPLES}. `auto` would keep them in the prompt cache: {auto.why}"
            )


def _needs_sql(texts: dict[str, str]) -> bool:
    """Return whether extract.sql is required. A pipeline.yaml with mistakes does not require it."""
    if YAML not in texts:
        return True
    settings, _, _ = _settings(texts[YAML])
    return settings is not None and not settings.source.instead_of_query


def _pipelines(folder: Path) -> list[str]:
    """Return the names of the pipelines in the folder of all pipelines."""
    return sorted(path.parent.name for path in folder.glob(f"*/{YAML}"))


def _misnamed_schemas(folder: Path) -> Iterator[str]:
    """Yield the files that are probably meant as the schema, without which the answer would be text."""
    names = {path.name for path in folder.iterdir()} - {*FILES, EXAMPLES, CHECKS}
    for name in sorted(names):
        if "schema" in name.lower() or nearest(name, [SCHEMA]):
            yield f"{name}: is not a file of a pipeline. Rename it to {SCHEMA}, or move it for an answer that is text"


def _shared(texts: dict[str, str], *, evidence: bool) -> tuple[str, list[str]]:
    """Return what all requests share after the system prompt, and the mistakes in the examples."""
    examples: list[Example] = []
    mistakes: list[tuple[int, str]] = []
    if EXAMPLES in texts:
        user, output = Template(texts[USER], file=USER), pipeline_output(texts.get(SCHEMA), evidence=evidence)
        examples, mistakes = read_examples(texts[EXAMPLES], user=user, output=output)
    shared = shared_text([text for file, text in texts.items() if _is_context(file)], examples)
    return shared, [f"{EXAMPLES}:{line}: {fact}" for line, fact in mistakes]


def _is_context(file: str) -> bool:
    return file.startswith(f"{CONTEXT}/")


def _settings(text: str) -> tuple[Settings | None, Lines, list[str]]:
    """Return the settings unless there are mistakes, the lines of all nodes, and the mistakes."""
    return read_model(text, file=YAML, validate=Settings.model_validate, describe=_describe)


def _describe(problem: Any, _: object) -> str:
    path = [str(step) for step in problem["loc"]]
    if not path:
        return f"must be a mapping of {', '.join(Settings.model_fields)}"
    return describe_problem(".".join(path), problem, lambda: _keys_at(path[:-1]))


def _keys_at(path: Sequence[str]) -> list[str]:
    model: Any = Settings
    for step in path:
        # A mapping has names of the user's own, and then the settings of each.
        annotation = get_args(model)[1] if get_origin(model) is dict else model.model_fields[step].annotation
        kinds = () if get_origin(annotation) is dict else get_args(annotation)
        model = next((kind for kind in kinds if kind is not NoneType), annotation)
    return [field.alias or name for name, field in model.model_fields.items()]


def _mistakes(texts: dict[str, str], settings: Settings | None, lines: Lines) -> Iterator[str]:
    """Yield the mistakes of all files, except those in the settings themselves."""
    used: set[str] | None = set()
    for file in (SYSTEM, USER):
        try:
            template = Template(texts[file], file=file)
        except SpecError as error:
            yield str(error)
            used = None
            continue
        if used is not None:
            used |= template.columns.keys()
        if file == SYSTEM and settings and settings.request.cache in ("5m", "1h"):
            for problem in prefix_problems(template):
                yield f"{problem}: move it to {USER}, or set request.cache: off instead of {settings.request.cache}"
    if not texts[USER].strip():
        yield f"{USER}:1: is empty: write what Claude is to do with a row"
    for file in filter(_is_context, texts):
        if not texts[file].strip():
            yield f"{file}:1: is empty: write what all requests share, or delete the file"
    if settings and (kind := settings.source.instead_of_query):
        if SQL in texts:
            yield f"{SQL}:1: is not used, because source.{kind} replaces it: delete one of the two"
    elif SQL in texts:
        yield from query_problems(texts[SQL])
    if settings and settings.source.where:
        yield from _expression_mistakes(("source", "where"), settings.source.where, lines)
    if settings and settings.keep:
        yield from _expression_mistakes(("keep", "best"), settings.keep.best, lines)
        if fact := settings.keep.among_problem(list(settings.key_types)):
            yield f"{YAML}:{line_of(lines, ('keep', 'among'))}: keep.among: {fact}"
    if settings:
        key, carry, for_each = (list(names) for names in _columns(settings))
        rename = settings.source.rename
        yield from _column_mistakes(("source", "rename"), list(rename), rename_problems(rename), lines)
        remedy = {"remedy": RENAME_COLUMN} if settings.source.table or settings.source.files else {}
        yield from _column_mistakes(("source", "key"), key, key_problems(key, **remedy), lines)
        yield from _column_mistakes(("for_each",), for_each, for_each_problems(for_each, key), lines)
        carried = carry_problems(carry, [*key, *for_each], **remedy)
        yield from _column_mistakes(("source", "carry"), carry, carried, lines)
        if used is not None:
            yield from _column_mistakes(("for_each",), for_each, _unused(for_each, used), lines)
    if SCHEMA in texts:
        yield from _schema_mistakes(texts[SCHEMA], settings)


def _expression_mistakes(setting: Sequence[str], text: str, lines: Lines) -> Iterator[str]:
    # Only a block (`where: |`) keeps its line ends, and begins below its name.
    first = line_of(lines, setting) + ("\n" in text)
    for line, fact in expression_problems(text):
        yield f"{YAML}:{first + line - 1}: {'.'.join(setting)}: {fact}"


def _table_mistakes(folder: Path, texts: dict[str, str], settings: Settings, lines: Lines) -> Iterator[str]:
    """Yield the mistakes in ``source.table``, and each name that is no column of the table."""
    others = [name for name in _pipelines(folder.parent) if name != folder.name]
    table = SourceTable(settings, folder=folder, others=others)
    for path, fact in table.problems():
        yield f"{YAML}:{line_of(lines, path)}: {'.'.join(path[:2])}: {fact}"
    for file in (SYSTEM, USER):
        with suppress(SpecError):  # _mistakes() reports it
            yield from (f"{file}:{line}: {fact}" for line, fact in table.prompt_problems(texts[file]))


def _attachment_mistakes(settings: Settings, lines: Lines) -> Iterator[str]:
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


def _columns(settings: Settings | None) -> tuple[Iterable[str], Iterable[str], Iterable[str]]:
    """Return the names of key, carried columns and for_each."""
    if settings is None:
        return (), (), ()
    return settings.source.key, settings.source.carry, settings.for_each


def _unused(for_each: Iterable[str], used: Collection[str]) -> Iterator[tuple[str, str]]:
    for name in for_each:
        if name not in used:
            yield name, f"{name!r} changes no request: write {{{{ {name} }}}} in {USER}, or remove it"


def _column_mistakes(
    setting: NodePath, names: list[str], problems: Iterable[tuple[str, str]], lines: Lines
) -> Iterator[str]:
    for name, fact in problems:
        # The last step of the path is the name in a mapping, the position in a list.
        path: NodePath = (*setting, name)
        line = line_of(lines, path if path in lines else (*setting, names.index(name)))
        yield f"{YAML}:{line}: {'.'.join(map(str, setting))}: {fact}"


def _schema_mistakes(text: str, settings: Settings | None) -> Iterator[str]:
    try:
        schema = json.loads(text)
    except (ValueError, RecursionError) as error:
        yield f"{SCHEMA}:{getattr(error, 'lineno', 1)}: {getattr(error, 'msg', error)}"
        return
    try:
        lines = _schema_lines(text)
    except DuplicateKey as error:
        yield f"{SCHEMA}:{error_line(error)}: {error.problem}"
        return
    problems = list(supported_schema.find_problems(schema))
    for path, fact in problems:
        yield f"{SCHEMA}:{line_of(lines, path)}: {fact}"
    fields = [] if problems else OutputSchema(schema).fields
    key, carry, for_each = _columns(settings)
    for name, fact in output_problems(fields, [*key, *for_each], carry):
        place = next((path for path in lines if path[-2:] == ("properties", name)), ())
        yield f"{SCHEMA}:{line_of(lines, place)}: {fact}"


def _field_mistakes(checks: ChecksFile, schema_text: str | None, settings: Settings | None) -> Iterator[str]:
    """Yield the checks of fields that the output does not have; none if the schema has mistakes."""
    if checks.checks and not (schema_text is not None and any(_schema_mistakes(schema_text, None))):
        evidence = settings is not None and settings.output.evidence
        yield from checks.field_mistakes(pipeline_output(schema_text, evidence=evidence))
        if settings and not evidence:
            yield from checks.evidence_mistakes()


def _schema_lines(text: str) -> Lines:
    """Return the line of each part of the schema. Raises DuplicateKey."""
    try:
        return read_yaml(text.replace("\t", " "))[1]  # JSON is YAML, except for tabs between its tokens
    except DuplicateKey:
        raise
    except (yaml.YAMLError, ValueError):  # and except for a few odd characters: mistakes are then reported on line 1
        return {}
