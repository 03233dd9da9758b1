"""prices.py: the cost of one request in a batch, to the last digit."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pytest

from include.enrichment.cost.prices import (
    BILLED_COLUMNS,
    TOKEN_RATES,
    costs_usd,
    format_decimal,
    format_usd,
    prices,
    read_prices,
    sum_costs,
    synchronous_costs_usd,
)
from include.enrichment.errors import SpecError

#: The published prices in US dollars per million tokens in a batch: input, 5m write, 1h write, read, output.
BATCH_PRICES = {
    "claude-fable-5-1": ("5", "6.25", "10", "0.125", "25"),
    "claude-mythos-5-1": ("5", "6.25", "10", "0.125", "25"),
    "claude-fable-5": ("5", "6.25", "10", "0.50", "25"),
    "claude-mythos-5": ("5", "6.25", "10", "0.50", "25"),
    "claude-opus-5-5": ("2", "2.50", "4", "0.10", "10"),
    "claude-opus-5": ("2.50", "3.125", "5", "0.25", "12.50"),
    "claude-opus-4-8": ("2.50", "3.125", "5", "0.25", "12.50"),
    "claude-opus-4-7": ("2.50", "3.125", "5", "0.25", "12.50"),
    "claude-opus-4-6": ("2.50", "3.125", "5", "0.25", "12.50"),
    "claude-opus-4-5": ("2.50", "3.125", "5", "0.25", "12.50"),
    "claude-opus-4-5-20251101": ("2.50", "3.125", "5", "0.25", "12.50"),
    "claude-sonnet-5-5": ("1", "1.25", "2", "0.05", "5"),
    "claude-sonnet-5": ("1", "1.25", "2", "0.10", "5"),
    "claude-sonnet-4-6": ("1.50", "1.875", "3", "0.15", "7.50"),
    "claude-sonnet-4-5": ("1.50", "1.875", "3", "0.15", "7.50"),
    "claude-sonnet-4-5-20250929": ("1.50", "1.875", "3", "0.15", "7.50"),
    "claude-haiku-5-5": ("0.05", "0.0625", "0.10", "0.005", "0.25"),
    "claude-haiku-4-5": ("0.50", "0.625", "1", "0.05", "2.50"),
    "claude-haiku-4-5-20251001": ("0.50", "0.625", "1", "0.05", "2.50"),
}
_NOTHING = dict.fromkeys(TOKEN_RATES, 0)
_TEXTS = ("model", "inference_geo", "service_tier")
_SCHEMA = pa.schema([pa.field(name, pa.string() if name in _TEXTS else pa.int64()) for name in BILLED_COLUMNS])


def _answers(*answers: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist([_NOTHING | answer for answer in answers], _SCHEMA)


def _cost(model: str | None, **used: Any) -> Decimal | None:
    cost: Decimal | None = costs_usd(_answers({"model": model} | used))[0].as_py()
    return cost


@pytest.mark.parametrize(("model", "batch_prices"), BATCH_PRICES.items())
def test_each_kind_of_token_has_the_published_batch_price(model: str, batch_prices: tuple[str, ...]) -> None:
    found = [(_cost(model, **{kind: 10_000}) or Decimal()) * 100 for kind in _NOTHING]
    assert found == [Decimal(price) for price in batch_prices]


def test_every_model_is_checked_against_the_published_prices() -> None:
    assert set(BATCH_PRICES) == set(prices().models)


def test_the_costs_of_all_kinds_of_tokens_add_up_exactly() -> None:
    assert _cost(
        "claude-haiku-5-5",
        input_tokens=41,
        cache_write_5m_tokens=10,
        cache_write_1h_tokens=20,
        cache_read_tokens=5_200,
        output_tokens=9,
    ) == Decimal("0.000032925")


def test_one_token_is_not_rounded_away() -> None:
    assert _cost("claude-haiku-5-5", cache_read_tokens=1) == Decimal("0.000000005")


def test_a_million_requests_add_up_to_a_million_times_one() -> None:
    one = _cost("claude-haiku-5-5", input_tokens=333, output_tokens=7) or Decimal()
    assert sum([one] * 1_000_000, Decimal()) == one * 1_000_000 == Decimal("18.40")


def test_no_tokens_cost_nothing() -> None:
    assert _cost("claude-opus-5-5") == 0


@pytest.mark.parametrize(
    "model",
    [
        "",
        "claude",
        "claude-haiku",
        "claude-haiku-5-5-20261007",
        "claude-haiku-5-6",
        "Claude-Haiku-5-5",
        "claude-fable-5-2",
        "gpt",
        None,
    ],
)
def test_the_cost_of_a_model_without_a_price_is_null(model: str | None) -> None:
    assert _cost(model, input_tokens=1_000) is None
    assert _cost(model, input_tokens=1_000_000) is None


def test_each_answer_has_the_rates_of_its_model_region_and_length() -> None:
    answers = _answers(
        {"model": "claude-haiku-5-5", "cache_write_5m_tokens": 1, "cache_read_tokens": 1},
        {"model": "claude-of-tomorrow", "output_tokens": 1},
        {"model": "claude-opus-4-5", "output_tokens": 32_000},
        {"model": "claude-haiku-5-5", "input_tokens": 100_001},
        {"model": "claude-opus-5-5", "output_tokens": 100, "inference_geo": "us"},
    )
    expected = ["0.0000000675", None, "0.4", "0.02500025", "0.0011"]
    assert costs_usd(answers).to_pylist() == [cost and Decimal(cost) for cost in expected]


def test_groups_of_answers_cost_as_much_as_the_single_answers() -> None:
    draw = Random(6)
    answers = _answers(
        *(
            {
                "model": draw.choice(["claude-haiku-5-5", "claude-opus-5-5"]),
                "inference_geo": draw.choice(["us", "global", None]),
                "service_tier": draw.choice(["batch", "standard", None]),
                "web_searches": draw.choice([None, 0, 3]),
            }
            | {kind: draw.randrange(60_000) for kind in TOKEN_RATES}
            for _ in range(1_000)
        )
    ).append_column("kind", pa.array(["x", "y"] * 500))
    sums = sum_costs(answers, by="kind")
    assert len(sums) == 2 * 3 * 3 * 2 * 2 - 3 * 3 * 2  # Opus has no rates for long prompts
    assert sum(sums["answers"].to_pylist()) == 1_000
    for amounts in (costs_usd, synchronous_costs_usd):
        assert sum(amounts(sums).to_pylist()) == sum(amounts(answers).to_pylist())


def test_no_answers_have_no_costs() -> None:
    assert costs_usd(_answers()).to_pylist() == synchronous_costs_usd(_answers()).to_pylist() == []


@pytest.mark.parametrize(("place", "factor"), [("us", "1.1"), ("global", "1"), ("not_available", "1"), (None, "1")])
def test_the_region_raises_the_price_of_every_token(place: str | None, factor: str) -> None:
    used = dict.fromkeys(TOKEN_RATES, 1_000)
    assert _cost("claude-opus-5-5", **used, inference_geo=place) == Decimal(factor) * (
        _cost("claude-opus-5-5", **used) or Decimal()
    )


def test_a_web_search_has_no_discount() -> None:
    assert _cost("claude-opus-5-5", web_searches=3) == Decimal("0.03")


@pytest.mark.parametrize("model", BATCH_PRICES)
def test_an_answer_of_another_tier_than_batch_costs_twice_as_much_cache_included(model: str) -> None:
    for kind in TOKEN_RATES:
        of_batch, standard = (_cost(model, **{kind: 10_000}, service_tier=tier) for tier in ("batch", "standard"))
        assert of_batch
        assert standard == 2 * of_batch


def test_an_answer_of_an_earlier_version_has_no_tier_and_was_in_a_batch() -> None:
    assert _cost("claude-haiku-5-5", output_tokens=1) == _cost(
        "claude-haiku-5-5", output_tokens=1, service_tier="batch"
    )


def test_a_synchronous_prompt_without_a_cache_is_plain_input_at_twice_the_price() -> None:
    used = {"input_tokens": 100, "cache_write_1h_tokens": 200, "cache_read_tokens": 700, "output_tokens": 10}
    (cost,) = synchronous_costs_usd(_answers({"model": "claude-haiku-4-5"} | used)).to_pylist()
    assert cost == Decimal("0.001") + Decimal("0.00005")


FILE = """
source: https://example.com
as_of: 2026-11-22
batch: 0.5
web_search: 0.01
models:
  claude-new: {input: 0.1, output: 0.7, write_5m: 0.125, write_1h: 0.2, read: 0.01, cache_from: 512}
"""


class TestFile:
    """A price is added or corrected in one file."""

    def test_a_price_is_read_exactly(self) -> None:
        assert read_prices(FILE, file=Path("prices.yaml")).models["claude-new"].output == Decimal("0.7")

    @pytest.mark.parametrize(
        ("old", "new", "mistake"),
        [
            ("read: 0.01", "raed: 0.01", "prices.yaml: models.claude-new.read: Field required"),
            ("input: 0.1", "input: cheap", "models.claude-new.input: "),
            ("input: 0.1", "input: -1", "models.claude-new.input: "),
            ("input: 0.1", "input: .nan", "models.claude-new.input: "),
            ("input: 0.1", "input: 0.0000001", "claude-new: a token of input_tokens would cost"),
            ("batch: 0.5", "batch: 50", "batch: "),
            ("as_of: 2026-11-22", "as_of: lately", "as_of: "),
            ("input: 0.1", "input: 1e+300", "claude-new: a token of input_tokens would cost"),
            ("input: 0.1", "input: 1e999999999", "prices.yaml: "),
            ("web_search: 0.01", "web_search: 0.00001", "web_search: "),
            ("web_search: 0.01", "web_search: 1000", "web_search: "),
            ("web_search: 0.01", "web_search: 0.01\ninference_geo: {us: 1e300}", "claude-new: a token of "),
            ("cache_from: 512", "cache_from: 512, long_prompt: {above_tokens: -1}", "long_prompt.above_tokens: "),
            ("cache_from: 512}", "cache_from: 512}\n  claude-new: {input: 1}", "the key 'claude-new' occurs twice"),
            ("read: 0.01", "read: 0.01, read: 0.02", "the key 'read' occurs twice"),
            ("models:", "models: {", "cannot be read: "),
            (FILE, "", "prices.yaml: "),
        ],
    )
    def test_a_mistake_is_reported_with_its_place(self, old: str, new: str, mistake: str) -> None:
        with pytest.raises(SpecError) as error:
            read_prices(FILE.replace(old, new), file=Path("prices.yaml"))
        assert mistake in str(error.value)


class TestLongPrompt:
    """Haiku 5.5 has two prices, depending on the length of the prompt."""

    @pytest.mark.parametrize(
        "kind", ["input_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens", "cache_read_tokens"]
    )
    def test_every_kind_of_prompt_token_counts_towards_the_length(self, kind: str) -> None:
        at, above = (_cost("claude-haiku-5-5", **{kind: tokens}) for tokens in (100_000, 100_001))
        assert at is not None
        assert above == at * 5 * 100_001 / 100_000

    def test_the_length_of_a_prompt_is_the_sum_of_its_tokens(self) -> None:
        tokens = {
            "input_tokens": 25_000,
            "cache_write_5m_tokens": 25_000,
            "cache_write_1h_tokens": 25_000,
            "output_tokens": 1_000_000,
        }
        assert _cost("claude-haiku-5-5", **tokens, cache_read_tokens=25_000) == Decimal("0.2554375")
        assert _cost("claude-haiku-5-5", **tokens, cache_read_tokens=25_001) == Decimal("1.277187525")

    def test_output_tokens_do_not_count_towards_the_length(self) -> None:
        assert _cost("claude-haiku-5-5", output_tokens=1_000_000) == Decimal("0.25")

    @pytest.mark.parametrize("model", ["claude-sonnet-5-5", "claude-opus-5-5", "claude-haiku-4-5"])
    def test_other_models_have_one_price_for_any_length(self, model: str) -> None:
        short, long = (_cost(model, input_tokens=tokens) for tokens in (100_000, 900_000))
        assert short is not None
        assert long == short * 9


@pytest.mark.parametrize(
    ("cost", "text"),
    [
        ("0E-12", "0"),
        ("0.000000000005", "0.000000000005"),
        ("0.001002500000", "0.0010025"),
        ("100.000000000000", "100"),
        ("1234567.000000000001", "1234567.000000000001"),
    ],
)
def test_a_formatted_decimal_has_every_digit_and_no_exponent(cost: str, text: str) -> None:
    assert format_decimal(Decimal(cost)) == text


@pytest.mark.parametrize(
    ("cost", "words"),
    [
        (None, "an unknown amount"),
        (Decimal("0E-12"), "$0"),
        (Decimal("0.000000000001"), "less than $0.0001"),
        (Decimal("0.0001"), "$0.0001"),
        (Decimal("1234.56785"), "$1,234.5678"),
    ],
)
def test_an_amount_for_people_has_hundredths_of_a_cent(cost: Decimal | None, words: str) -> None:
    assert format_usd(cost) == words
