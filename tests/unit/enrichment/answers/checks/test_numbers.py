from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from include.enrichment.answers.checks.numbers import Numbers

ROW = {
    "price": Decimal("1299.50"),
    "size": "500 ml, made since 1987",
    "day": date(2026, 11, 1),
    "weight": 0.25,
    "note": None,
    "version": "2.10.3",
    "tiny": 1e-7,
    "huge": 1e16,
    "population": 10_00_000,
    "code": "10E20",
    "half": ".75 l",
}


def problem(text: str) -> str | None:
    check = Numbers(["text"], list(ROW))
    return check.problem(text, check.facts(ROW))


@pytest.mark.parametrize(
    "text",
    [
        "no number at all",
        "1299.5, 1,299.50, 1.299,50, 1 299,50, 1’299.50 and 1\u202f299,50",
        "since 1987, on 01.11.2026 or 11/1/2026",
        "0,250 kg of 500ml",
        "version 2.10.3 of ٥٠٠ ml",
        "2 500 ml bottles",
        "0.0000001, 1e-7, 1E-07 or 10,000,000,000,000,000",
        "10,00,000 people, 10,00,000.00 rupees and 1,000,000 in all",
        "article 10E20, 10 of 20",
        "0.75 l, .75 l and .250 kg",
    ],
)
def test_a_number_of_the_row_counts_in_any_notation(text: str) -> None:
    assert problem(text) is None


@pytest.mark.parametrize(
    ("text", "invented"),
    [
        ("for 1,299.99 €", "1,299.99"),
        ("since 1978", "1978"),
        ("5000 ml or 50 ml", "5000, 50"),
        ("1.987.500", "1.987.500"),
        ("12.2026", "12.2026"),
        ("25", "25"),
        ("2e-7", "2e-7"),
        (".76 l or 75 l", ".76, 75"),
        ("1,00,0000", "1,00,0000"),
        ("1e999999999", "1e999999999"),
    ],
)
def test_a_number_that_the_row_lacks_is_invented(text: str, invented: str) -> None:
    assert problem(text) == f"contains {invented}, which the row does not have"
