"""
Reads a pipeline's folder into one checked value.

    pipeline.yaml  extract.sql  system.md  user.md  output.schema.json  context/*.md  examples.jsonl  checks.yaml
    tools.py

``source.files``, ``source.objects``, ``source.table`` and ``source.cases``, which names another file of the folder,
replace extract.sql. Without output.schema.json the answer is text. The last four are optional. A variant may name
other files in place of the prompts, the schema, the context and the examples.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_origin

from include.enrichment.agent.tool_reading import read_tool_file
from include.enrichment.answers.evidence.sent_output import pipeline_output
from include.enrichment.answers.schema import supported_schema
from include.enrichment.errors import SpecError, nearest
from include.enrichment.requests.template import Template
from include.enrichment.spec.cascade.mistakes import escalation_mistakes
from include.enrichment.spec.checks_file import read_checks
from include.enrichment.spec.folder_mistakes import (
    Texts,
    attachment_mistakes,
    field_mistakes,
    find_mistakes,
    prompt_files,
    schema_lines,
    table_mistakes,
    tool_mistakes,
)
from include.enrichment.spec.pipeline import Pipeline
from include.enrichment.spec.settings import Settings
from include.enrichment.spec.source_table import SourceTable
from include.enrichment.spec.sources.case_reading import CaseReading, read_case_file
from include.enrichment.spec.variants.asking import Variant
from include.enrichment.spec.variants.examples import Example, read_examples, shared_text
from include.enrichment.spec.variants.files import (
    CHECKS,
    CONTEXT,
    EXAMPLES,
    FILES,
    SCHEMA,
    SQL,
    YAML,
    PromptFiles,
)
from include.enrichment.spec.variants.settings import VariantSettings, with_current
from include.enrichment.spec.yaml_file import Lines, describe_file_error, describe_problem, line_of, read_model


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
    texts, mistakes = _read_files(folder)
    settings, lines, found = _settings(texts[YAML]) if YAML in texts else (None, {}, [])
    if not mistakes and settings:
        more, mistakes = _read_variant_files(folder, settings, lines)
        texts |= {file: text for file, text in more.items() if file not in texts}
    if not mistakes:
        found += find_mistakes(texts, settings, lines)
        if settings and settings.source.table:
            others = [name for name in _pipelines(folder.parent) if name != folder.name]
            table = SourceTable(settings, folder=folder, others=others)
            found += table_mistakes(texts, table, settings, lines)
        cases = CaseReading()
        if settings and settings.source.cases:
            prompts = {file: texts[file] for file in prompt_files(settings)}
            cases = read_case_file(folder, settings, lines, prompts=prompts)
            found += cases.mistakes
        if settings:
            found += attachment_mistakes(settings, lines)
        # Examples can be checked only against a prompt and a schema without mistakes.
        variants, found = ({}, found) if found or not settings else _variants(texts, settings)
        checks = read_checks(folder)
        tools, wrong = read_tool_file(folder, settings.tools) if settings else ([], [])
        found += [*wrong, *(tool_mistakes(settings, lines) if settings else [])]
        found += [*checks.mistakes, *field_mistakes(checks, texts, settings)]
        found += list(escalation_mistakes(texts, settings, lines)) if settings and not found else []
        if settings and not found:
            own = variants.pop("")
            pipeline = Pipeline(
                name=folder.name,
                settings=settings,
                sql=texts.get(SQL, ""),
                system=own.system,
                user=own.user,
                schema_text=own.schema_text,
                shared=own.shared,
                cases=cases.text,
                lines={".".join(map(str, path)): line for path, line in lines.items()},
                variants=variants,
                checks=checks.checks,
                check_lines=checks.lines,
                tools=tools,
            )
            pipeline.read_checks()
            pipeline.check_best()
            return pipeline
        mistakes = found
    raise SpecError("\n".join(f"{folder.name}/{mistake}" for mistake in dict.fromkeys(mistakes)))


def find_warnings(pipeline: Pipeline) -> Iterator[str]:
    """Yield a line with file, line and fact for each doubtful part of a pipeline without mistakes."""
    for file, text in _schemas(pipeline).items():
        for path, fact in supported_schema.find_warnings(json.loads(text)):
            yield f"{file}:{line_of(schema_lines(text), path)}: {fact}"
    for name, asking in pipeline.askings.items():
        if asking.variant.shared and asking.variant.request.cache == "off":
            auto = replace(asking, variant=asking.variant.with_cache("auto")).caching
            if auto.cache != "off":
                yield (
                    f"{_cache_location(pipeline, name)}: is off, so every request pays the full price for {CONTEXT}/"
                    f" and {EXAMPLES}. `auto` would keep them in the prompt cache: {auto.why}"
                )


def _cache_location(pipeline: Pipeline, variant: str) -> str:
    """Return where the cache of a variant is set."""
    named = pipeline.settings.variants.get(variant)
    return pipeline.location(f"variants.{variant}.cache" if named and named.cache else "request.cache")


def _schemas(pipeline: Pipeline) -> dict[str, str]:
    """Return the text of each schema by the name of its file."""
    found = {asking.file(SCHEMA): asking.variant.schema_text for asking in pipeline.askings.values()}
    return {file: text for file, text in found.items() if text is not None}


def _read_files(folder: Path) -> tuple[dict[str, str], list[str]]:
    """Return the texts of the pipeline's own files, and the mistakes in what is there."""
    texts: dict[str, str] = {}
    context, mistakes = _context(folder, CONTEXT)
    for file in (*FILES, EXAMPLES, *context):
        try:
            texts[file] = (folder / file).read_text(encoding="utf-8-sig")
        except FileNotFoundError:
            if file == SCHEMA:
                mistakes += _misnamed_schemas(folder, texts)
            elif file != EXAMPLES and (file != SQL or _needs_sql(texts)):
                mistakes.append(f"{file}: is missing; a pipeline is {', '.join(FILES)}")
        except (OSError, UnicodeDecodeError) as error:
            mistakes.append(f"{file}: {describe_file_error(error)}")
    return texts, mistakes


def _read_variant_files(folder: Path, settings: Settings, lines: Lines) -> tuple[dict[str, str], list[str]]:
    """Return the texts of the files that variants name, and the mistakes in the names."""
    texts: dict[str, str] = {}
    mistakes: list[str] = []
    for name, variant in settings.variants.items():
        for setting, file in variant.named_files:
            path = ("variants", name, setting)
            where = f"{YAML}:{line_of(lines, path)}: {'.'.join(path)}"
            if setting == "schema" and not (folder / SCHEMA).is_file():
                mistakes.append(
                    f"{where}: the answers of the pipeline itself are text, because there is no {SCHEMA}. Text and"
                    f" JSON cannot be in one table: add {SCHEMA}, or remove the setting"
                )
            names = [file]
            if setting == "context":
                names, unread = _context(folder, file)
                mistakes += unread
            try:
                texts |= {one: (folder / one).read_text(encoding="utf-8-sig") for one in names}
            except FileNotFoundError:
                names = []
            except (OSError, UnicodeDecodeError) as error:
                mistakes.append(f"{where}: {file} {describe_file_error(error)}")
            if not names:
                what = "folder with *.md files" if setting == "context" else "file"
                mistakes.append(f"{where}: there is no {what} {file!r}{nearest(file, _names(folder, setting))}")
    return texts, mistakes


def _context(folder: Path, name: str) -> tuple[list[str], list[str]]:
    """Return the files of a context in their order, and the mistakes in what else is there."""
    found = sorted(f"{name}/{path.name}" for path in (folder / name).glob("[!.]*"))
    unread = [f"{file}: is not read: rename it to *.md, or move it" for file in found if not file.endswith(".md")]
    return [file for file in found if file.endswith(".md")], unread


def _names(folder: Path, setting: str) -> list[str]:
    """Return the names of the files in the folder, or of its subfolders for a context."""
    wanted = (path.parent for path in folder.rglob("[!.]*.md")) if setting == "context" else folder.rglob("[!.]*")
    paths = {path for path in wanted if path.is_dir() == (setting == "context")} - {folder}
    return sorted(path.relative_to(folder).as_posix() for path in paths)


def _needs_sql(texts: dict[str, str]) -> bool:
    """Return whether extract.sql is required. A pipeline.yaml with mistakes does not require it."""
    if YAML not in texts:
        return True
    settings, _, _ = _settings(texts[YAML])
    return settings is not None and not settings.source.instead_of_query


def _pipelines(folder: Path) -> list[str]:
    """Return the names of the pipelines in the folder of all pipelines."""
    return sorted(path.parent.name for path in folder.glob(f"*/{YAML}"))


def _misnamed_schemas(folder: Path, texts: Texts) -> Iterator[str]:
    """Yield the files that are probably meant as the schema, without which the answer would be text."""
    settings = _settings(texts[YAML])[0] if YAML in texts else None
    of_variants = {
        file for variant in (settings.variants if settings else {}).values() for _, file in variant.named_files
    }
    names = {path.name for path in folder.iterdir()} - {*FILES, EXAMPLES, CHECKS} - of_variants
    for name in sorted(names):
        if "schema" in name.lower() or nearest(name, [SCHEMA]):
            yield f"{name}: is not a file of a pipeline. Rename it to {SCHEMA}, or move it for an answer that is text"


def _variants(texts: Texts, settings: Settings) -> tuple[dict[str, Variant], list[str]]:
    """Return the variants by name, the pipeline's own under an empty one, and the mistakes in their examples."""
    variants: dict[str, Variant] = {}
    mistakes: list[str] = []
    for name, variant in {"": VariantSettings(), **with_current(settings.variants)}.items():
        files = PromptFiles.of(variant)
        shared, found = _shared(texts, files, evidence=settings.output.evidence)
        mistakes += found
        variants[name] = Variant(
            request=variant.request(settings.request) if name else settings.request,
            system=texts[files.system],
            user=texts[files.user],
            schema_text=texts.get(files.schema),
            shared=shared,
            files=files.replaced,
        )
    return variants, mistakes


def _shared(texts: Texts, files: PromptFiles, *, evidence: bool) -> tuple[str, list[str]]:
    """Return what all requests share after the system prompt, and the mistakes in the examples."""
    examples: list[Example] = []
    mistakes: list[tuple[int, str]] = []
    if files.examples in texts:
        user = Template(texts[files.user], file=files.user)
        output = pipeline_output(texts.get(files.schema), evidence=evidence)
        examples, mistakes = read_examples(texts[files.examples], user=user, output=output)
    shared = shared_text([text for file, text in texts.items() if files.is_context(file)], examples)
    return shared, [f"{files.examples}:{line}: {fact}" for line, fact in mistakes]


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
