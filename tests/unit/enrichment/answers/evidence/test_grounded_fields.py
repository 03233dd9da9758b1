"""grounded_fields.py: a value must have a quote that stands in the documents."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from include.enrichment.answers.checks.check import Check
from include.enrichment.answers.evidence.grounded_fields import ungrounded_problem
from include.enrichment.answers.evidence.grounding import Grounded, ground
from include.enrichment.answers.evidence.page_search import SearchableDocument
from include.enrichment.answers.evidence.quote import Quote
from include.enrichment.documents.document import Page

DATA = {"total": 50, "vendor": "Acme", "lines": [{"sku": "Chair"}, {"sku": "Desk"}]}
INVOICE = SearchableDocument.of(
    "a.pdf", [Page(number=1, text="Acme Widgets sells you a Chair, in all 50.00"), Page(number=2, text="")]
)


def grounded(*quotes: tuple[str, int, str], data: Any = DATA) -> Grounded:
    return ground(data, [Quote(*quote) for quote in quotes], [INVOICE])


def problem(fields: list[str], found: Grounded) -> str | None:
    return ungrounded_problem(found, fields)


def test_a_value_whose_quote_stands_passes() -> None:
    found = grounded(("total", 1, "50.00"), ("vendor", 2, "ACME"), ("lines[0]", 1, "Chair"))
    assert problem(["total", "vendor"], found) is None


def test_an_invented_quote_fails_with_the_quote() -> None:
    assert problem(["total"], grounded(("total", 1, "51.00"))) == (
        "the quote for total is on no page of the documents: '51.00'"
    )
    assert len(problem(["total"], grounded(("total", 1, "x" * 500))) or "") < 200


def test_a_quote_of_another_number_fails() -> None:
    assert problem(["total"], grounded(("total", 1, "in all 50.00"), data={"total": 49})) == (
        "the quote for total does not contain the value: 'in all 50.00'"
    )


def test_a_value_without_a_quote_fails() -> None:
    assert problem(["vendor"], grounded(("total", 1, "50.00"))) == "vendor has no quote in evidence"


def test_each_item_of_a_list_needs_a_quote() -> None:
    found = grounded(("lines[0].sku", 1, "Chair"))
    assert problem(["lines"], found) == problem(["lines.sku"], found) == "lines[1].sku has no quote in evidence"


def test_a_field_without_a_value_passes() -> None:
    assert problem(["total", "note"], grounded(data={"total": None, "note": "", "lines": []})) is None


def test_a_quote_on_a_page_without_text_passes_and_is_still_ungrounded() -> None:
    found = grounded(("total", 2, "fifty"), data={"total": 50})
    assert problem(["total"], found) is None
    assert found.ungrounded == ["total"]


def test_it_names_its_fields_itself() -> None:
    assert Check.model_validate({"name": "a", "grounded": ["total"]}).kind == "grounded"
    with pytest.raises(ValidationError, match="grounded names its fields itself: remove field"):
        Check.model_validate({"name": "a", "grounded": ["total"], "field": "total"})
