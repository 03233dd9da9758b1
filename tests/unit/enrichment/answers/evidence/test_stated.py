"""stated.py: a number or date must stand in its quote."""

from __future__ import annotations

import pytest

from include.enrichment.answers.evidence.stated import may_state


@pytest.mark.parametrize(
    ("quote", "value"),
    [
        ("Total $1,234.00", 1234),
        ("Summe 1.234,50 €", 1234.5),
        ("À payer 1 234,50 €", 1234.5),
        ("Total CHF 1'234.50", 1234.5),
        ("Gutschrift (12,00)", -12.0),
        ("VAT 19 %", 0.19),
        ("revenue of 1.2 million", 1_200_000),
        ("Rechnungsdatum 03.11.2026", "2026-11-03"),
        ("due November 3, 2026", "2026-11-03"),
        ("11/3/2026", "2026-11-03"),
        ("twelve hundred dollars", 1200),
        ("due on receipt", "2026-11-03"),
        ("Total 1.00 paid", True),
        ("Invoice 17 of Acme", "INV-17"),
    ],
)
def test_a_quote_may_state_a_value(quote: str, value: object) -> None:
    assert may_state(quote, value)


@pytest.mark.parametrize(
    ("quote", "value"),
    [
        ("T0ta| £2,3A9.A2", 3.0),
        ("Total 50.00", 51),
        ("Total 50.00", 5),
        ("Rechnungsdatum 03.11.2026", "2026-11-04"),
        ("12,34", 1234567),
    ],
)
def test_a_quote_with_other_numbers_or_dates_does_not_state_it(quote: str, value: object) -> None:
    assert not may_state(quote, value)
