"""wording.py: the number formats of the report."""

from __future__ import annotations

from decimal import Decimal

import pytest

from include.reporting.wording import count, share, tokens, usd


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (None, "unknown"),
        ("0", "$0.00"),
        ("0.00001", "less than $0.0001"),
        ("0.0123456", "$0.0123"),
        ("1", "$1.00"),
        ("12345.678", "$12,345.68"),
        ("-1.5", "−$1.50"),
        ("-0.00001", "−$0.0001"),
    ],
)
def test_an_amount_has_cents_and_below_a_dollar_more_places(amount: str | None, text: str) -> None:
    assert usd(None if amount is None else Decimal(amount)) == text


def test_an_undefined_share_is_shown_as_none() -> None:
    assert (share(None), share(0.1234)) == ("none", "12.3\u00a0%")


def test_a_count_has_the_singular_or_the_plural() -> None:
    assert [count(number, "batch", "batches") for number in (0, 1, 1_200)] == ["0 batches", "1 batch", "1,200 batches"]
    assert count(1_200) == "1,200"


def test_many_tokens_are_shown_in_millions() -> None:
    assert (tokens(999_999), tokens(2_345_678)) == ("999,999", "2.3 M")
