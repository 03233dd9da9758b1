"""
The project and the emulator have independent price tables and calculations: both agree to the last digit.
"""

from __future__ import annotations

from decimal import Decimal
from random import Random

import pyarrow as pa
import pytest

from include.emulator.billing.bills import Meter
from include.emulator.engine.models import find
from include.enrichment.cost.prices import BILLED_COLUMNS, TOKEN_RATES, costs_usd, prices

MODELS = sorted(prices().models)
KINDS = tuple(TOKEN_RATES)
PLACES = ["global", "us"]
TIERS = ["batch", "standard"]
Tokens = dict[str, int]
_TEXTS = ("model", "inference_geo", "service_tier")
_SCHEMA = pa.schema([pa.field(name, pa.string() if name in _TEXTS else pa.int64()) for name in BILLED_COLUMNS])


def _costs(*requests: tuple[str, Tokens], place: str = "global", tier: str = "batch") -> Decimal:
    """Return the total cost that this project computes."""
    answers = [{"model": model, "inference_geo": place, "service_tier": tier} | tokens for model, tokens in requests]
    return sum(costs_usd(pa.Table.from_pylist(answers, _SCHEMA)).to_pylist(), Decimal())


def _message(model: str, tokens: Tokens, place: str, tier: str) -> dict[str, object]:
    found = find(model)
    assert found
    written_5m, written_1h = tokens["cache_write_5m_tokens"], tokens["cache_write_1h_tokens"]
    usage = {
        "input_tokens": tokens["input_tokens"],
        "output_tokens": tokens["output_tokens"],
        "cache_read_input_tokens": tokens["cache_read_tokens"],
        "cache_creation_input_tokens": written_5m + written_1h,
        "cache_creation": {"ephemeral_5m_input_tokens": written_5m, "ephemeral_1h_input_tokens": written_1h},
        "inference_geo": place,
        "service_tier": tier,
    }
    return {"model": found.id, "usage": usage}


def _billed(*requests: tuple[str, Tokens], place: str = "global", tier: str = "batch") -> Decimal:
    """Return the total that the emulator bills."""
    meter = Meter()
    for model, tokens in requests:
        meter.count(_message(model, tokens, place, tier))
    usd = meter.charge().usd
    assert usd is not None
    return usd


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tier", TIERS)
def test_each_kind_of_token_costs_as_much_as_the_emulator_bills(model: str, kind: str, tier: str) -> None:
    for count in (1, 999, 100_000, 100_001, 1_000_000):
        tokens = dict.fromkeys(KINDS, 0) | {kind: count}
        assert _costs((model, tokens), tier=tier) == _billed((model, tokens), tier=tier)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("prompt_tokens", [99_999, 100_000, 100_001])
def test_the_rates_for_long_prompts_begin_at_the_same_token(model: str, prompt_tokens: int) -> None:
    quarter = prompt_tokens // 4
    tokens = dict(zip(KINDS, (prompt_tokens - 3 * quarter, quarter, quarter, quarter, 12_345), strict=True))
    assert _costs((model, tokens)) == _billed((model, tokens))


def test_the_bill_of_a_batch_is_the_sum_of_its_requests() -> None:
    draw = Random(6)
    requests = [(draw.choice(MODELS), {kind: round(draw.lognormvariate(8, 3)) for kind in KINDS}) for _ in range(5_000)]
    assert {sum(tokens.values()) > 200_000 for _, tokens in requests} == {True, False}
    assert _costs(*requests) == _billed(*requests)


@pytest.mark.parametrize("model", [model for model in MODELS if (found := find(model)) and found.geo])
def test_the_region_costs_as_much_as_the_emulator_bills(model: str) -> None:
    tokens = dict(zip(KINDS, (1, 22, 333, 4_444, 55_555), strict=True))
    for place in PLACES:
        assert _costs((model, tokens), place=place) == _billed((model, tokens), place=place)
    assert _costs((model, tokens), place="us") > _costs((model, tokens))
