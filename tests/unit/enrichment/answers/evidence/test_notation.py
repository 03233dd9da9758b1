"""notation.py: texts without what may differ between a document and a quote."""

from __future__ import annotations

import pytest

from include.enrichment.answers.evidence.notation import NOTATIONS, Compact, Notation, plain_text

POINT, COMMA, SPACED, MONTH_FIRST, NO_DATES = NOTATIONS


@pytest.mark.parametrize(
    ("notation", "text", "compact"),
    [
        (POINT, "1,234.50 of 1,234", "<1234.5>of<1234>"),
        (COMMA, "1.234,50 of 1.234", "<1234.5>of<1234>"),
        (COMMA, "100 234,00", "<100><234>"),
        (SPACED, "100 234,00", "<100234>"),
        (POINT, "0.50 and 007", "<0.5>and<7>"),
        (POINT, "192.168.1.1", "<19216811>"),
        (POINT, "5/12/2026", "<2026-12-05>"),
        (MONTH_FIRST, "5/12/2026", "<2026-05-12>"),
        (MONTH_FIRST, "13/12/26", "<2026-12-13>"),
        (MONTH_FIRST, "5.12.2026", "<2026-12-05>"),
        (NO_DATES, "2026-12-05", "<2026><12><5>"),
        (POINT, "31.02.2026", "<31022026>"),
        (POINT, "1st of March 2026, Mar. 1, 2026", "<2026-03-01><2026-03-01>"),
        (POINT, "le 1er août 2026", "le<2026-08-01>"),
        (POINT, "pay-\nment\u00ad s", "payments"),
        (POINT, "Straße ﬁn", "strassefin"),
        (POINT, "EUR1,234.00 and 5.00USD", "eur<1234>and<5>usd"),
        (POINT, "1\u202f234 ٣٤", "<1234><34>"),
        (POINT, "— ! …", ""),
    ],
)
def test_texts_are_reduced_to_words_numbers_and_dates(notation: Notation, text: str, compact: str) -> None:
    assert Compact(plain_text(text), notation).text == compact


def test_a_quote_begins_and_ends_where_a_word_does() -> None:
    text = Compact(plain_text("Invoice A4 of Acme"), POINT)
    assert "acme" in text
    assert "ofacme" in text
    assert "oice" not in text
    assert "a" not in text
    assert "a<4>" in text
    assert "<4>" not in text
