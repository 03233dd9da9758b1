"""The evidence of answers: the pages that state their values."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from statistics import fmean
from typing import Any

from include.enrichment.answers.evidence.field_paths import is_within, plain_path, without_positions
from include.enrichment.answers.evidence.quote import EVIDENCE
from include.enrichment.answers.schema.kind import Kind
from include.enrichment.errors import SpecError
from include.evaluation.graders.grader import RIGHT, Gradable, Grader, scored, unscored, wrong
from include.evaluation.json_values import parsed
from include.evaluation.scores import Grade


class Evidence(Grader):
    """
    The value must be on one of the expected pages, with a quote that the documents contain.

    The expected value is a page, a list of pages, or a list of places: objects with ``field`` and ``pages``. With
    ``field: _evidence`` all places count, and the score is the share of them that the evidence of the answer names;
    else those of the field.
    """

    def field_problem(self, field: str, properties: Mapping[str, Kind]) -> str | None:
        """Return why there is no evidence of a field, or None."""
        return None if field == EVIDENCE else super().field_problem(field, properties)

    def option_problems(self, columns: Collection[str]) -> Iterator[str]:
        """Yield the fact that the table has no evidence."""
        if EVIDENCE not in columns:
            yield "needs output.evidence: true in pipeline.yaml"

    def grade_all(self, answers: Gradable) -> list[Grade]:
        """Return the share of expected places that the evidence names, 0 or 1 for a single value."""
        if EVIDENCE not in answers.rows.column_names:
            raise SpecError(
                f"The grader `evidence` of {answers.field!r} needs the column {EVIDENCE}, which the table lacks."
                " Nothing was evaluated. Set output.evidence: true in pipeline.yaml and run the pipeline again, or"
                " remove the metric."
            )
        field = None if answers.field == EVIDENCE else answers.field
        quotes = answers.rows[EVIDENCE].to_pylist()
        pairs = zip(answers.expected, quotes, strict=True)
        return [_grade(_places(expected, field), found or []) for expected, found in pairs]


def _places(expected: Any, field: str | None) -> list[tuple[str, set[int]]] | None:
    """Return the expected fields with their pages; None if the expected value says nothing of them."""
    value = parsed(expected)
    members = value if isinstance(value, list) else [value]
    if field is not None and members and all(_is_page(one) for one in members):
        return [(field, {int(one) for one in members})]
    if not all(isinstance(one, Mapping) and isinstance(one.get("field"), str) for one in members):
        return None
    places = [(plain_path(one["field"]), _pages(one.get("pages"))) for one in members]
    return [(name, pages) for name, pages in places if pages and (field is None or is_within(name, field))] or None


def _pages(value: Any) -> set[int]:
    """Return the pages of a place, which has one or a list; none if one of them is no page."""
    pages = value if isinstance(value, list) else [value]
    return {int(one) for one in pages} if all(map(_is_page, pages)) else set()


def _is_page(value: Any) -> bool:
    return (isinstance(value, int) and not isinstance(value, bool)) or (isinstance(value, str) and value.isdecimal())


def _grade(places: Sequence[tuple[str, Collection[int]]] | None, quotes: Sequence[Mapping[str, Any]]) -> Grade:
    if places is None:
        return unscored("the expected value names no page")
    facts = [fact for name, pages in places if (fact := _problem(name, pages, quotes))]
    if len(places) == 1:
        return wrong(facts[0]) if facts else RIGHT
    return scored(fmean([1] * (len(places) - len(facts)) + [0] * len(facts)), "; ".join(facts))


def _problem(name: str, pages: Collection[int], quotes: Sequence[Mapping[str, Any]]) -> str | None:
    """Return why the evidence of a value names none of the pages; None if it does."""
    own = [one for one in quotes if _is_about(name, str(one["field"]))]
    if not own:
        return f"{name} has no evidence"
    standing = {one["page"] for one in own if one["found"] is not None}
    if not standing:
        return f"the quote of {name} is not in the document"
    if standing & set(pages):
        return None
    return f"{name} is on page {_listed(pages)}, not {_listed(standing)}"


def _is_about(name: str, field: str) -> bool:
    """Return whether evidence of a field is that of a value; a path without positions stands for any member."""
    own = field if "[" in name else without_positions(field)
    return is_within(own, name) or is_within(name, own)


def _listed(pages: Collection[int]) -> str:
    return ", ".join(map(str, sorted(pages)))
