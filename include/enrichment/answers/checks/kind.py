"""What every kind of check can do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from include.enrichment.errors import SpecError
from include.enrichment.requests.conversion import to_prompt_value
from include.enrichment.requests.prompt_values import Null, UnsupportedValue

if TYPE_CHECKING:
    from include.enrichment.answers.evidence.grounding import Grounded


@dataclass(frozen=True, kw_only=True)
class Answers:
    """
    Some answers that fit the output schema.

    :param texts: as the result store has them
    :param values: the same, decoded
    :param grounded: their evidence, if the pipeline asks for any
    """

    texts: Sequence[str]
    values: Sequence[Mapping[str, Any]]
    grounded: Sequence[Grounded] = ()


class Kind(ABC):
    """
    One kind of check with its settings.

    A row is seen once, by facts(), while it is extracted. Its answers are judged later, from those facts.
    """

    #: The row's columns that it needs.
    columns: Sequence[str] = ()

    def facts(self, row: Mapping[str, Any]) -> Any:
        """Return what the check needs to know of a row, as a JSON value. Raises SpecError if a template fails."""
        return None

    def misfit(self, facts: Sequence[Any]) -> tuple[int, str] | None:
        """
        Return the first of some rows that no answer to it could be judged by: its place, and why; None if there is
        none. It costs less for many rows at once.

        :param facts: of each row
        """
        return None

    @abstractmethod
    def problems(self, facts: Sequence[Any], answers: Answers) -> list[str | None]:
        """
        Return what is wrong with each answer, None for those that pass.

        :param facts: of each answer's row
        """


class TextKind(Kind):
    """A check of single texts. An absent or null field passes, because only the schema says what is required."""

    def __init__(self, fields: Sequence[str]) -> None:
        self._paths = {field: field.split(".") for field in fields}

    @abstractmethod
    def problem(self, text: str, fact: Any) -> str | None:
        """Return what is wrong with a text, as the rest of a sentence that begins with the field's name, or None."""

    def problems(self, facts: Sequence[Any], answers: Answers) -> list[str | None]:
        return [self._first(value, fact) for fact, value in zip(facts, answers.values, strict=True)]

    def _first(self, output: Mapping[str, Any], fact: Any) -> str | None:
        for field, path in self._paths.items():
            for text in texts_at(output, path):
                if (problem := self.problem(text, fact)) is not None:
                    return f"{field} {problem}"
        return None


def values_at(value: Any, path: Sequence[str]) -> Iterator[Any]:
    """Yield the values at a path of property names; a list on the way stands for each of its items."""
    if isinstance(value, list) and path:
        for item in value:
            yield from values_at(item, path)
    elif not path:
        yield value
    elif isinstance(value, dict) and path[0] in value:
        yield from values_at(value[path[0]], path[1:])


def texts_at(output: Any, path: Sequence[str]) -> Iterator[str]:
    """Yield the texts at a path: strings and numbers, also those in a list."""
    for value in values_at(output, path):
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, str):
                yield item
            elif isinstance(item, int | float) and not isinstance(item, bool):
                yield repr(item)


def text_of(row: Mapping[str, Any], column: str) -> str | None:
    """Return the text of a row's value, as a prompt would have it; None for NULL. Raises SpecError if it has none."""
    try:
        value = to_prompt_value(row[column])
        return None if isinstance(value, Null) else str(value)
    except UnsupportedValue as error:
        raise SpecError(f"A check uses the column {column!r}: {error}. Nothing was sent.") from error
