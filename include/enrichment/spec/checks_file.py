"""Reads checks.yaml, and the lists of words that it names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, TypeAdapter

from include.enrichment.answers.checks.check import Bounds, Check, Difference, Uniqueness, WordList
from include.enrichment.answers.schema.kind import Kind
from include.enrichment.answers.schema.output import Output
from include.enrichment.errors import nearest
from include.enrichment.spec.variants.files import CHECKS
from include.enrichment.spec.yaml_file import (
    describe_file_error,
    describe_problem,
    line_of,
    read_model,
)

_file = TypeAdapter(list[Check])
#: The models within a check, by the setting that holds one.
_MODELS: dict[str, type[BaseModel]] = {
    **dict.fromkeys(("characters", "words", "sentences", "items"), Bounds),
    "forbidden": WordList,
    "differs_from": Difference,
    "unique": Uniqueness,
}
#: The types of values that have a text.
_WITH_TEXT = ("string", "number", "integer", None)


@dataclass(frozen=True, kw_only=True)
class ChecksFile:
    """
    The content of checks.yaml.

    :param checks: with the words of their files
    :param lines: the line of each check (``0``), and of each of its settings (``0.pattern``)
    :param mistakes: file, line and fact of each
    """

    checks: list[Check] = field(default_factory=list)
    lines: Mapping[str, int] = field(default_factory=dict)
    mistakes: Sequence[str] = ()

    def evidence_mistakes(self) -> Iterator[str]:
        """Yield the checks that need evidence, for a pipeline that asks for none."""
        for number, check in enumerate(self.checks):
            if check.grounded:
                line = self.lines.get(f"{number}.grounded") or self.lines[str(number)]
                yield f"{CHECKS}:{line}: {check.name}.grounded: needs output.evidence: true in pipeline.yaml"

    def field_mistakes(self, output: Output, *, of: str = "") -> Iterator[str]:
        """
        Yield the checks of fields that the output does not have, or that are of another type.

        :param of: what the output is of, for the facts, if there are several
        """
        for number, check in enumerate(self.checks):
            for name in check.field:
                if fact := _field_problem(check, name.split("."), output.properties, of):
                    line = self.lines.get(f"{number}.field") or self.lines[str(number)]
                    yield f"{CHECKS}:{line}: {check.name}.field: {fact}"
            for name in check.grounded or ():
                if fact := _unknown_field(name.split("."), output.properties, of):
                    line = self.lines.get(f"{number}.grounded") or self.lines[str(number)]
                    yield f"{CHECKS}:{line}: {check.name}.grounded: {fact}"


def read_checks(folder: Path) -> ChecksFile:
    """Read the checks of the pipeline in ``folder``; none if it has no checks.yaml."""
    text, fact = _read(folder / CHECKS)
    if fact:
        return ChecksFile(mistakes=[f"{CHECKS}: {fact}"])
    if text is None:
        return ChecksFile()
    checks, lines, mistakes = read_model(text, file=CHECKS, validate=_file.validate_python, describe=_describe)
    if checks is None:
        return ChecksFile(mistakes=mistakes)
    if not checks:
        return ChecksFile(mistakes=[f"{CHECKS}:1: has no checks: add one, or delete the file"])
    named = [check.name for check in checks]
    mistakes = [
        f"{CHECKS}:{line_of(lines, (number, 'name'))}: another check is also named {name!r}"
        for number, name in enumerate(named)
        if name in named[:number]
    ]
    whole = []
    for number, check in enumerate(checks):
        check, fact = _with_words(check, folder)
        whole.append(check)
        if fact:
            mistakes.append(f"{CHECKS}:{line_of(lines, (number, 'forbidden'))}: {check.name}.forbidden.file: {fact}")
    dotted = {".".join(map(str, path)): line for path, line in lines.items() if 0 < len(path) <= 2}
    return ChecksFile(checks=whole, lines=dotted, mistakes=mistakes)


def _read(path: Path) -> tuple[str | None, str | None]:
    """Return the text of a file, None if there is none, and what prevents reading it."""
    try:
        return path.read_text(encoding="utf-8-sig"), None
    except FileNotFoundError:
        return None, None
    except (OSError, UnicodeDecodeError) as error:
        return None, describe_file_error(error)


def _with_words(check: Check, folder: Path) -> tuple[Check, str | None]:
    """Return the check with the words of its file, and what is wrong with the file."""
    if check.forbidden is None or check.forbidden.file is None:
        return check, None
    name = check.forbidden.file
    text, fact = _read(folder / name)
    if fact:
        return check, f"{name} {fact}"
    if text is None:
        return check, f"there is no {name} in the pipeline's folder"
    found = [word for line in text.splitlines() if (word := line.partition("#")[0].strip())]
    if not found:
        return check, f"{name} lists no words"
    words = check.forbidden.model_copy(update={"words": [*check.forbidden.words, *found]})
    return check.model_copy(update={"forbidden": words}), None


def _describe(problem: Any, data: Any) -> str:
    number, *steps = problem["loc"] or (None,)
    if number is None:
        return "must be a list of checks, each with a name"
    check = data[number]
    name = check.get("name") if isinstance(check, dict) else None
    where = ".".join(map(str, [name or f"check {number + 1}", *steps]))
    if not steps:  # the whole check is too long to repeat
        return f"{where}: {problem['msg'].removeprefix('Value error, ')}"
    return describe_problem(where, problem, lambda: list(_MODELS.get(steps[0], Check).model_fields))


def _unknown_field(path: Sequence[str], properties: Mapping[str, Kind], of: str) -> str | None:
    found = _kind_at(path, properties, of)
    return found if isinstance(found, str) else None


def _kind_at(path: Sequence[str], properties: Mapping[str, Kind], of: str) -> Kind | str:
    """Return the kind of the values at a path, or the fact that the output does not have it."""
    kind = Kind(type="object", properties=properties)
    for step in path:
        while kind.type == "array" and kind.items:
            kind = kind.items
        if step not in kind.properties:
            known = list(kind.properties)
            return f"the output{of} has no {'.'.join(path)!r}{nearest(step, known) or '.'} It has: {', '.join(known)}"
        kind = kind.properties[step]
    return kind


def _field_problem(check: Check, path: Sequence[str], properties: Mapping[str, Kind], of: str) -> str | None:
    kind = _kind_at(path, properties, of)
    if isinstance(kind, str):
        return kind
    if check.kind == "items":
        return None if kind.type in ("array", None) else f"{'.'.join(path)!r}{of} is {kind.type}, not a list"
    while kind.type == "array" and kind.items:
        kind = kind.items
    return None if kind.type in _WITH_TEXT else f"{'.'.join(path)!r}{of} is {kind.type}, which has no text"
