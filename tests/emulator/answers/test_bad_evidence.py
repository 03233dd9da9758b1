"""Evidence as faults spoil it."""

from __future__ import annotations

import pytest

from include.emulator.answers.bad_evidence import Evidence, invented_quote, paraphrased_quote, wrong_page
from include.emulator.draws import Draws

GOOD = Evidence("line_items[2].total", 1, "Total due: 12.50 EUR")


@pytest.mark.parametrize("start", range(20))
@pytest.mark.parametrize("page", [1, 5])
def test_a_wrong_page_is_another_one_from_1(start: int, page: int) -> None:
    bad = wrong_page(GOOD._replace(page=page), Draws(start), {page, 4, 7})
    assert bad.page not in (page, 0, 4, 7)
    assert bad._replace(page=page) == GOOD._replace(page=page)


@pytest.mark.parametrize("quote", [GOOD.quote, "x", "12.50"])
def test_a_paraphrase_has_the_words_of_the_quote_in_another_order(quote: str) -> None:
    bad = paraphrased_quote(GOOD._replace(quote=quote), Draws(0), {1})
    assert quote not in bad.quote or len(quote.split()) == 1
    assert bad.quote != quote
    assert quote.split()[-1] in bad.quote


def test_an_invented_quote_has_no_word_of_the_document() -> None:
    assert "12.50" not in invented_quote(GOOD, Draws(0), {1}).quote
    assert invented_quote(GOOD, Draws(0), {1})[:2] == GOOD[:2]
