"""upper_bound.py: the highest possible usage of an answer."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from include.enrichment.answers.outcome import Outcome, outcomes_batch
from include.enrichment.answers.upper_bound import is_incomplete, with_upper_bound
from include.enrichment.batches.usage import billed_usd

ODD = Outcome(request_id="r", outcome="invalid", upper_bound=True)


def params(**changes: Any) -> str:
    """Return a request's params, as sent."""
    request = {"model": "claude-haiku-4-5", "max_tokens": 200, "messages": [{"role": "user", "content": "Hello"}]}
    return json.dumps(request | changes)


def usd(outcome: Outcome) -> Decimal:
    """Return its cost."""
    (cost,) = billed_usd(outcomes_batch([outcome])).to_pylist()
    return Decimal(cost)


@pytest.mark.parametrize(
    ("outcome", "incomplete"),
    [
        (Outcome(request_id="r", outcome="succeeded", model="m"), False),
        (Outcome(request_id="r", outcome="succeeded", model=""), True),
        (Outcome(request_id="r", outcome="invalid"), True),
        (Outcome(request_id="r", outcome="succeeded", model="m", upper_bound=True), True),
        (Outcome(request_id="r", outcome="expired"), False),
        (Outcome(request_id="r", outcome="missing"), False),
    ],
)
def test_a_paid_answer_is_incomplete_without_model_or_usage(outcome: Outcome, incomplete: bool) -> None:
    assert is_incomplete(outcome) is incomplete


def test_the_bound_is_one_token_per_byte_and_max_tokens() -> None:
    found = with_upper_bound(ODD, params())
    assert (found.model, found.output_tokens, found.upper_bound) == ("claude-haiku-4-5", 200, True)
    assert len(params()) < found.input_tokens <= len(params()) + 2_000


@pytest.mark.parametrize("text", ["Ünïcödé 😀", "x" * 200_000], ids=["wide", "long"])
def test_a_longer_text_is_bounded_by_its_bytes(text: str) -> None:
    long = json.dumps({"model": "m", "max_tokens": 1, "system": text, "messages": []}, ensure_ascii=False)
    assert with_upper_bound(ODD, long).input_tokens > len(text.encode())


@pytest.mark.parametrize(
    "changes",
    [
        {"cache_control": {"type": "ephemeral"}},
        {"system": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral", "ttl": "5m"}}]},
        {"system": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral", "ttl": "1h"}}]},
    ],
)
def test_a_prompt_that_may_be_cached_counts_as_written(changes: dict[str, Any]) -> None:
    found = with_upper_bound(ODD, params(**changes))
    assert (found.input_tokens, found.cache_write_1h_tokens > len(params(**changes))) == (0, True)
    assert usd(found) > usd(with_upper_bound(ODD, params()))


def test_a_row_that_mentions_caching_is_not_cached() -> None:
    text = json.dumps({"cache_control": {"ttl": "1h"}})
    assert with_upper_bound(ODD, params(messages=[{"role": "user", "content": text}])).cache_write_1h_tokens == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "url", "url": "u"}}]}]},
        {"messages": [{"role": "user", "content": [{"type": "document", "source": {"type": "file"}}]}]},
        {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
    ],
)
def test_content_other_than_text_may_fill_the_context_window(changes: dict[str, Any]) -> None:
    assert with_upper_bound(ODD, params(**changes)).input_tokens == 1_000_000


def test_a_missing_model_is_the_requested_one() -> None:
    known = Outcome(request_id="r", outcome="succeeded", output="x", model="", input_tokens=7, output_tokens=3)
    assert with_upper_bound(known, params()) == msgspec.structs.replace(known, model="claude-haiku-4-5")


def test_known_values_of_the_line_are_kept() -> None:
    known = msgspec.structs.replace(ODD, model="claude-opus-5-5", inference_geo="us")
    found = with_upper_bound(known, params(inference_geo="global"))
    assert (found.model, found.inference_geo) == ("claude-opus-5-5", "us")
    assert with_upper_bound(ODD, params(inference_geo="us")).inference_geo == "us"
