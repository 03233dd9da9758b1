"""The emulator has a price for each of its models; another test compares its prices with the project's table."""

from __future__ import annotations

from decimal import Decimal

import pytest

from include.emulator.billing.charges import Tokens, price_of
from include.emulator.engine.models import CATALOGUE

CALLABLE = [model.id for model in CATALOGUE if model.lifecycle != "retired"]


@pytest.mark.parametrize("model", CALLABLE)
def test_every_model_that_can_be_called_has_a_price(model: str) -> None:
    assert price_of(model, 1).usd(Tokens(1, 1, 1, 1, 1), "global", "batch") > 0


@pytest.mark.parametrize("model", ["claude-fable-5-2", "claude-mythos-5-2"])
def test_a_cache_write_is_priced_as_a_multiple_of_the_input(model: str) -> None:
    one_kind = [Tokens(*(2_000_000 if kind == place else 0 for kind in range(5))) for place in range(5)]
    assert [price_of(model, 1).usd(tokens, "global", "batch") for tokens in one_kind] == [
        8,
        40,
        10,
        16,
        Decimal("0.20"),
    ]


@pytest.mark.parametrize("tokens", [1, 7, 10**12 + 1])
def test_bills_keep_all_digits(tokens: int) -> None:
    cost = price_of("claude-haiku-5-5", 1).usd(Tokens(0, 0, 0, 0, tokens), "us", "batch")
    assert cost * 10**10 == 55 * tokens


def test_a_batch_costs_half() -> None:
    price, tokens = price_of("claude-haiku-5-5", 1), Tokens(10, 10, 10, 10, 10)
    assert price.usd(tokens, "global", "standard") == 2 * price.usd(tokens, "global", "batch")
