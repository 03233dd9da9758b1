"""grounding.py: which values have a quote that stands in the documents."""

from __future__ import annotations

from include.enrichment.answers.evidence.grounding import Grounded, ground
from include.enrichment.answers.evidence.page_search import SearchableDocument
from include.enrichment.answers.evidence.quote import Evidence, Quote
from include.enrichment.documents.document import Page

INVOICE = SearchableDocument.of(
    "a.pdf", [Page(number=1, text="Acme Widgets. Chair 2 x 10.00. Table 1 x 30.00. Total 50.00")]
)
DATA = {
    "vendor": "Acme",
    "total": 50,
    "due": None,
    "lines": [{"sku": "Chair", "each": 10}, {"sku": "Table", "each": 30}],
}


def grounded(*quotes: tuple[str, str], page: int = 1, data: object = DATA) -> Grounded:
    return ground(data, [Quote(field, page, quote) for field, quote in quotes], [INVOICE])


def test_a_value_without_a_quote_that_stands_is_ungrounded() -> None:
    found = grounded(("vendor", "Acme Widgets"), ("total", "Total 51.00"), ("lines[0].sku", "chair"))
    assert found.ungrounded == ["total", "lines[0].each", "lines[1].sku", "lines[1].each"]
    assert [each.found for each in found.evidence] == ["exact", None, "normalised"]


def test_the_quote_of_an_object_or_a_list_is_that_of_its_values() -> None:
    found = grounded(("vendor", "Acme"), ("total", "50.00"), ("lines[0]", "Chair 2 x 10.00"))
    assert found.ungrounded == ["lines[1].sku", "lines[1].each"]
    assert grounded(("lines", "Chair 2 x 10.00. Table 1 x 30.00")).ungrounded == ["vendor", "total"]


def test_a_quote_that_stands_and_has_another_number_grounds_no_number() -> None:
    found = grounded(("total", "Table 1 x 30.00"), ("lines[0]", "Chair 2 x 10.00"))
    assert found.ungrounded == ["vendor", "total", "lines[1].sku", "lines[1].each"]
    assert [each.found for each in found.evidence] == ["exact", "exact"]


def test_several_quotes_may_be_given_and_one_is_enough() -> None:
    found = grounded(("total", "51.00"), ("total", "50.00"), data={"total": 50})
    assert found.ungrounded == []
    assert [each.quote for each in found.quotes_of("total")] == ["51.00", "50.00"]


def test_a_path_is_published_as_the_output_has_it() -> None:
    found = grounded(("$.data.lines.1.sku", "Table"), ("nothing", "Acme"))
    assert [each.field for each in found.evidence] == ["lines[1].sku", "nothing"]
    own = grounded(("data.total", "50.00"), data={"data": {"total": 50}})
    assert own.evidence == [Evidence(field="data.total", page=1, quote="50.00", found="exact", document="a.pdf")]


def test_without_documents_nothing_stands() -> None:
    found = ground({"total": 50}, [Quote("total", 1, "50.00")], [])
    assert found.ungrounded == ["total"]
    assert found.evidence[0].found is None
