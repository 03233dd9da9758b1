"""The columns that a pipeline uses, against those that its source has."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

from include.enrichment.errors import nearest
from include.enrichment.requests.template import Template


def unknown_columns(
    columns: Collection[str],
    *,
    prompts: Iterable[Template],
    for_each: Mapping[str, str],
    settings: Iterable[tuple[str, str]],
    checks: Iterable[tuple[str, str]],
) -> Iterator[str]:
    """
    Yield a line for each use of a column that the source does not have, and for each name that hides one.

    :param columns: of the source
    :param for_each: the names of for_each, each with its location, for errors
    :param settings: the columns that settings name, each after its location
    :param checks: the columns and names of for_each that checks use, each after its location
    """
    known = [*columns, *for_each]
    for prompt in prompts:
        uses = [(f"{prompt.file}:{line}", name) for name, line in prompt.columns.items()]
        yield from _unknown(uses, known)
        yield from prompt.shadowed_columns(known)
    for name, location in for_each.items():
        if name in columns:
            yield f"{location}: the query has a column {name!r} too: choose another name"
    yield from _unknown(settings, columns)
    yield from _unknown(checks, known)


def _unknown(uses: Iterable[tuple[str, str]], known: Collection[str]) -> Iterator[str]:
    for location, name in uses:
        if name not in known:
            yield f"{location}: the query has no column {name!r}{nearest(name, known)}"


def prefix_problems(system: Template) -> Iterator[str]:
    """Yield a message for each row column in the system prompt, which must be constant for the prompt cache."""
    for name, line in system.columns.items():
        yield f"{system.file}:{line}: the column {name!r} differs from row to row, so the prompt cannot be cached"
