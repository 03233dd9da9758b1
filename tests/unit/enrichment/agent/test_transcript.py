"""Fingerprints, keys and the usage of a transcript."""

from __future__ import annotations

from include.enrichment.agent.transcript import (
    billed_tokens,
    calls_of,
    final_message,
    idempotency_key,
    request_fingerprint,
    stopped_message,
)

USAGE = {
    "input_tokens": 10,
    "output_tokens": 2,
    "cache_creation_input_tokens": 7,
    "cache_creation": {"ephemeral_5m_input_tokens": 4, "ephemeral_1h_input_tokens": 3},
    "cache_read_input_tokens": 5,
    "service_tier": "standard",
}


def test_a_fingerprint_does_not_depend_on_the_order_of_members() -> None:
    assert request_fingerprint(b'{"a":1,"b":[1,2]}') == request_fingerprint(b'{ "b": [1, 2], "a": 1 }')
    assert request_fingerprint(b'{"b":[2,1]}') != request_fingerprint(b'{"b":[1,2]}')


def test_a_key_belongs_to_one_step_of_one_row() -> None:
    assert idempotency_key("row", "002.01") == idempotency_key("row", "002.01")
    assert len({idempotency_key(row, step) for row in ("row", "other") for step in ("002.01", "002.02")}) == 4


def test_the_usage_of_a_row_is_the_sum_of_its_turns_and_lists_each() -> None:
    message = final_message([{"usage": USAGE}, {"usage": {"input_tokens": 1, "output_tokens": 1}}])
    usage = message["usage"]
    assert {name: usage[name] for name in ("input_tokens", "output_tokens", "cache_creation_input_tokens")} == {
        "input_tokens": 11,
        "output_tokens": 3,
        "cache_creation_input_tokens": 7,
    }
    assert usage["cache_creation"] == USAGE["cache_creation"]
    assert [one["cache_read_input_tokens"] for one in usage["iterations"]] == [5, 0]


def test_cache_writes_of_an_unknown_lifetime_have_the_higher_price() -> None:
    assert billed_tokens(USAGE)["cache_write_1h_tokens"] == 3
    assert billed_tokens({"cache_creation_input_tokens": 7})["cache_write_1h_tokens"] == 7


def test_a_stopped_row_has_no_content_and_says_why() -> None:
    message = stopped_message([{"usage": USAGE, "content": [{"type": "text", "text": "x"}]}], "why")
    assert (message["content"], message["stop_reason"], message["stop_details"]) == (
        [],
        "limit",
        {"explanation": "why"},
    )


def test_calls_are_made_only_if_the_answer_stopped_for_them() -> None:
    block = {"type": "tool_use", "name": "look_up"}
    assert calls_of({"stop_reason": "tool_use", "content": [block]}) == [block]
    assert calls_of({"stop_reason": "max_tokens", "content": [block]}) == []
