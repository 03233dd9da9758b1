"""graders/evidence.py: the pages on which values stand."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from include.enrichment.answers.evidence.quote import EVIDENCE_FIELDS
from include.enrichment.errors import SpecError
from include.evaluation.graders.evidence import Evidence
from include.evaluation.graders.grader import Gradable
from include.evaluation.scores import Grade

_QUOTES = [
    ("total", 3, "exact"),
    ("vendor", 1, "unchecked"),
    ("number", 1, None),
    ("lines[0]", 1, "normalised"),
    ("lines[1].amount", 2, "exact"),
]


def _grade(field: str, expected: Any) -> Grade:
    quotes = [
        {"field": name, "page": page, "quote": "…", "found": found, "document": None} for name, page, found in _QUOTES
    ]
    rows = pa.table({"_evidence": pa.array([quotes], EVIDENCE_FIELDS[0].type)})
    (grade,) = Evidence().grade_all(Gradable(field=field, values=["…"], expected=[expected], rows=rows))
    return grade


@pytest.mark.parametrize(
    ("field", "pages", "score", "detail"),
    [
        ("total", 3, 1, ""),
        ("total", [1, 3], 1, ""),
        ("total", "[1, 3]", 1, ""),
        ("total", [2, 1], 0, "total is on page 1, 2, not 3"),
        ("vendor", 1, 1, ""),
        ("number", 1, 0, "the quote of number is not in the document"),
        ("tax", 1, 0, "tax has no evidence"),
        ("lines", 2, 1, ""),
        ("lines[0].amount", 1, 1, ""),
        ("lines[0].amount", 2, 0, "lines[0].amount is on page 2, not 1"),
        ("lines.amount", 2, 1, ""),
    ],
)
def test_a_value_stands_on_an_expected_page(field: str, pages: Any, score: int, detail: str) -> None:
    grade = _grade(field, pages)
    assert (grade.score, grade.detail) == (score, detail)


_PLACES = [
    {"field": "total", "pages": [3]},
    {"field": "vendor", "pages": [2]},
    {"field": "lines[1].amount", "pages": [2]},
]


def test_all_expected_places_may_be_graded_at_once() -> None:
    grade = _grade("_evidence", _PLACES)
    assert grade.score == pytest.approx(2 / 3)
    assert grade.detail == "vendor is on page 2, not 1"


def test_a_field_is_graded_by_its_own_places() -> None:
    assert _grade("total", _PLACES).score == 1
    assert _grade("vendor", _PLACES).score == 0
    assert _grade("lines", _PLACES).score == 1


@pytest.mark.parametrize(
    "expected", ["unknown", [], [{"field": "total", "pages": []}], [{"field": "tax", "pages": [1]}]]
)
def test_without_an_expected_page_the_answer_is_unscored(expected: Any) -> None:
    assert _grade("total", expected).status == "unscored"


def test_a_table_without_evidence_is_reported() -> None:
    rows = pa.table({"total": [1]})
    with pytest.raises(SpecError, match=r"`evidence` of 'total' needs the column _evidence, which the table lacks"):
        Evidence().grade_all(Gradable(field="total", values=[1], expected=[1], rows=rows))


def test_evidence_is_asked_for_in_the_pipeline() -> None:
    assert list(Evidence().option_problems(["total"])) == ["needs output.evidence: true in pipeline.yaml"]
    assert list(Evidence().option_problems(["total", "_evidence"])) == []
    assert Evidence().field_problem("_evidence", {}) is None
    assert Evidence().field_problem("total", {}) == "the output has no field 'total'. There are: none"


@pytest.mark.parametrize("pages", [["x"], [None], {"a": 1}, [1.5], [True]])
def test_a_place_whose_pages_are_none_is_not_expected(pages: Any) -> None:
    assert _grade("total", {"field": "total", "pages": pages}).status == "unscored"


def test_a_place_may_have_one_page() -> None:
    assert _grade("total", {"field": "total", "pages": 3}).score == 1
