"""Reads the file that ``source.cases`` names, and checks the pipeline's columns against it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from include.enrichment.errors import SpecError, nearest
from include.enrichment.requests.template import Template
from include.enrichment.spec.settings import FromColumn, Settings
from include.enrichment.spec.sources.case_file import read_cases
from include.enrichment.spec.yaml_file import Lines, NodePath, describe_file_error, line_of


@dataclass(frozen=True, kw_only=True)
class CaseReading:
    """
    The file as it was read.

    :param text: empty if it cannot be read
    :param mistakes: file, line, fact
    """

    text: str = ""
    mistakes: list[str] = field(default_factory=list)


def read_case_file(folder: Path, settings: Settings, lines: Lines, *, prompts: Mapping[str, str]) -> CaseReading:
    """
    Return the text of the file, with its mistakes, and with each column that the pipeline uses and the file lacks.

    :param settings: those of the pipeline, with cases
    :param lines: of pipeline.yaml
    :param prompts: the texts of the prompts by file
    """
    file = settings.source.cases or ""
    where = f"pipeline.yaml:{line_of(lines, ('source', 'cases'))}: source.cases"
    try:
        text = (folder / file).read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        found = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.suffix in (".jsonl", ".csv")]
        return CaseReading(mistakes=[f"{where}: there is no file {file!r}{nearest(file, found)}"])
    except (OSError, UnicodeDecodeError) as error:
        return CaseReading(mistakes=[f"{file}: {describe_file_error(error)}"])
    cases = read_cases(text, file=file, types=settings.source.column_types)
    mistakes = [f"{file}:{line}: {fact}" for line, fact in cases.mistakes]
    if not cases.mistakes and cases.columns.keys() >= settings.source.key.keys():
        mistakes += [f"{file}:{line}: {fact}" for line, fact in cases.key_mistakes(list(settings.source.key))]
    if cases.rows:
        mistakes += [
            f"{place}: {file} has no column {name!r}{nearest(name, cases.columns)}"
            for name, place in _places(settings, lines, prompts)
            if name not in cases.columns
        ]
    return CaseReading(text=text, mistakes=mistakes)


def _places(settings: Settings, lines: Lines, prompts: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield each column that the pipeline uses, with its place in the folder."""
    for setting in ("key", "carry"):
        columns: Collection[str] = getattr(settings.source, setting)
        for number, name in enumerate(columns):
            path: NodePath = ("source", setting, name)
            line = line_of(lines, path if path in lines else ("source", setting, number))
            yield name, f"pipeline.yaml:{line}: source.{setting}"
    for name, values in settings.for_each.items():
        if isinstance(values, FromColumn):
            yield values.column, f"pipeline.yaml:{line_of(lines, ('for_each', name))}: for_each.{name}"
    for file, text in prompts.items():
        with suppress(SpecError):  # a prompt with mistakes is reported elsewhere
            for column, line in Template(text, file=file).columns.items():
                if column not in settings.for_each:
                    yield column, f"{file}:{line}"
