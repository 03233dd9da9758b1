"""The document workload is as described, and the bills have the expected order, even for few documents."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from include.enrichment.cost.bounds import Usd
from tests.benchmarks.money import ask, figures
from tests.fixtures.emulator import Emulator

DOCUMENTS = 60


@pytest.fixture(scope="module")
def found(emulator_process: Emulator, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """The costs with a warmed cache, without a cache, and with a cold cache."""

    def costs_of(name: str, cache: str, canary_rows: int, **options: Any) -> dict[str, Any]:
        folder: Path = tmp_path_factory.mktemp(name)
        workspace = emulator_process.workspace()
        return ask(workspace, folder, rows=DOCUMENTS, cache=cache, canary_rows=canary_rows, **options)

    return {
        "one_ahead": costs_of("one_ahead", "1h", 0),
        "warmed": costs_of("warmed", "1h", 5),
        "cold": costs_of("cold", "1h", 0, cold=True),
        "off": costs_of("off", "off", 5),
        "synchronous": costs_of("synchronous", "1h", 5, mode="synchronous"),
    }


def test_prompts_and_answers_have_the_described_length(found: dict[str, dict[str, Any]]) -> None:
    assert found["off"]["requests"] == DOCUMENTS
    assert found["off"]["input_tokens_each"] == pytest.approx(6_000 + 2_000 + 350, rel=0.05)
    assert found["off"]["output_tokens_each"] == pytest.approx(150, rel=0.1)


def test_a_warmed_cache_costs_less_than_none_and_none_less_than_a_cold_one(found: dict[str, dict[str, Any]]) -> None:
    assert found["warmed"]["ratio"] < found["off"]["ratio"] < found["cold"]["ratio"]
    assert found["off"]["ratio"] == 0.5


def test_without_a_canary_one_request_warms_the_cache(found: dict[str, dict[str, Any]]) -> None:
    assert found["one_ahead"]["requests"] == DOCUMENTS + 1
    assert found["one_ahead"]["cache_hits"] > 0.85
    assert found["one_ahead"]["ratio"] < found["off"]["ratio"]


def test_nearly_all_requests_read_the_canarys_cache_writes(found: dict[str, dict[str, Any]]) -> None:
    assert found["warmed"]["batches"] == 2
    assert found["warmed"]["cache_hits"] > 0.85
    assert found["cold"]["cache_hits"] < 0.5
    assert found["off"]["cache_hits"] is None


def test_synchronous_requests_with_a_cache_cost_more_than_batches_and_less_than_without_one(
    found: dict[str, dict[str, Any]],
) -> None:
    assert found["synchronous"]["batches"] == 0
    assert found["synchronous"]["cache_hits"] > 0.95
    assert found["warmed"]["ratio"] < found["synchronous"]["ratio"] < 1


def test_synchronous_calls_pay_every_token_of_the_prompt_as_input() -> None:
    bills = {
        "requests": 2,
        "batches": 1,
        "input_tokens": 100_000,
        "cache_read_input_tokens": 600_000,
        "cache_creation_input_tokens": 300_000,
        "output_tokens": 100_000,
        "usd": "1.125",
    }
    expected = Usd(low=Decimal("0.5"), expected=Decimal(1), high=Decimal(2))
    found = figures(bills, model="claude-sonnet-4-6", canary_usd=Decimal("0.1"), expected=expected)
    assert (found["synchronous_usd"], found["ratio"], found["cache_hits"]) == (4.5, 0.25, 600 / 900)
    assert (found["low_usd"], found["expected_usd"], found["high_usd"]) == (0.6, 1.1, 2.1)


def test_the_bill_is_within_the_bounds_of_its_estimate(found: dict[str, dict[str, Any]]) -> None:
    for name in ("warmed", "off"):
        assert found[name]["low_usd"] <= found[name]["billed_usd"] <= found[name]["high_usd"]
