"""wording.py: how the report writes a number."""

from __future__ import annotations

from decimal import Decimal

import pytest

from include.reporting.wording import count, share, tokens, usd


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (None, "not known"),
        ("0", "$0.00"),
        ("0.00001", "less than $0.0001"),
        ("0.0123456", "$0.0123"),
        ("1", "$1.00"),
        ("12345.678", "$12,345.68"),
        ("-1.5", "−$1.50"),
        ("-0.00001", "−$0.0001"),
    ],
)
def test_an_amount_is_told_to_the_cent_and_below_a_dollar_closer(amount: str | None, text: str) -> None:
    assert usd(None if amount is None else Decimal(amount)) == text


def test_a_share_of_nothing_is_none() -> None:
    assert (share(None), share(0.1234)) == ("none", "12.3\u00a0%")


def test_what_is_counted_is_one_or_several() -> None:
    assert [count(number, "batch", "batches") for number in (0, 1, 1_200)] == ["0 batches", "1 batch", "1,200 batches"]
    assert count(1_200) == "1,200"


def test_many_tokens_are_told_in_millions() -> None:
    assert (tokens(999_999), tokens(2_345_678)) == ("999,999", "2.3 M")
