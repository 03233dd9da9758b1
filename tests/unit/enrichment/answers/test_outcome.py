"""outcome.py: each result line gives one outcome."""

from __future__ import annotations

import json
from typing import Any, get_args

import msgspec
import pytest

from include.enrichment.answers.outcome import (
    OUTCOMES_SCHEMA,
    Outcome,
    OutcomeName,
    decode_line,
    is_paid,
    judge,
    missing_outcome,
    outcomes_batch,
    remedy,
    unreadable,
)
from include.enrichment.answers.schema.output import Output, TextOutput
from include.enrichment.answers.schema.output_schema import OutputSchema
from include.enrichment.cost.prices import TOKEN_RATES

SCHEMA = OutputSchema(
    {
        "type": "object",
        "additionalProperties": False,
        "required": ["label"],
        "properties": {"label": {"type": "string", "enum": ["bug", "billing"], "description": "x"}},
    }
)
GOOD = '{"label":"bug"}'
USAGE = {
    "input_tokens": 41,
    "cache_creation_input_tokens": 30,
    "cache_read_input_tokens": 5200,
    "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20},
    "output_tokens": 9,
    "service_tier": "batch",
    "inference_geo": "not_available",
}


def _judge(result: dict[str, Any], output: Output = SCHEMA) -> Outcome:
    return judge(decode_line(json.dumps({"custom_id": "r-1", "result": result}).encode()), output)


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _succeeded(*content: dict[str, Any], **message: Any) -> dict[str, Any]:
    whole = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-haiku-5-5",
        "content": list(content),
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": USAGE,
    }
    return {"type": "succeeded", "message": whole | message}


def test_a_valid_answer_succeeds_with_its_usage() -> None:
    assert _judge(_succeeded(_text(GOOD))) == Outcome(
        request_id="r-1",
        outcome="succeeded",
        output=GOOD,
        model="claude-haiku-5-5",
        stop_reason="end_turn",
        input_tokens=41,
        cache_write_5m_tokens=10,
        cache_write_1h_tokens=20,
        cache_read_tokens=5200,
        output_tokens=9,
        inference_geo="not_available",
        service_tier="batch",
    )


@pytest.mark.parametrize(
    "content",
    [
        [{"type": "thinking", "thinking": '{"label":"billing"}', "signature": "s"}, _text(GOOD)],
        [{"type": "redacted_thinking", "data": "x"}, _text(GOOD)],
        [_text("Let me see."), {"type": "tool_use", "id": "t", "name": "n", "input": {}}, _text(GOOD)],
        [_text(GOOD) | {"citations": None, "new_member": {"a": [1]}}],
        [{"type": "a_block_of_the_future", "payload": 1}, _text(GOOD)],
    ],
)
def test_the_answer_is_the_last_text_block(content: list[dict[str, Any]]) -> None:
    assert _judge(_succeeded(*content)).output == GOOD


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not JSON: "),
        ("Sure! Here it is.", "not JSON: "),
        (f"```json\n{GOOD}\n```", "not JSON: "),
        ('{"label":"bug"', "not JSON: "),
        ('{"label":"films"}', "violates the schema: $.label: "),
        ("[]", "violates the schema: $: "),
    ],
)
def test_an_answer_that_violates_the_schema_is_invalid_and_kept(text: str, reason: str) -> None:
    outcome = _judge(_succeeded(_text(text)))
    assert (outcome.outcome, outcome.output, outcome.text) == ("invalid", None, text)
    assert (outcome.reason or "").startswith(reason)
    assert outcome.output_tokens == 9


@pytest.mark.parametrize("output", [SCHEMA, TextOutput()], ids=["schema", "text"])
@pytest.mark.parametrize("content", [[], [{"type": "thinking", "thinking": "hm", "signature": "s"}]])
def test_an_answer_without_text_is_invalid(content: list[dict[str, Any]], output: Output) -> None:
    outcome = _judge(_succeeded(*content), output)
    assert (outcome.outcome, outcome.reason) == ("invalid", "no text in the answer")


@pytest.mark.parametrize("output", [SCHEMA, TextOutput()], ids=["schema", "text"])
@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ({"stop_reason": "max_tokens"}, "cut at max_tokens, after 9 output tokens"),
        ({"stop_reason": "max_tokens", "usage": None}, "cut at max_tokens, after 0 output tokens"),
        ({"stop_reason": "model_context_window_exceeded"}, "cut at the end of the model's context window"),
        ({"stop_reason": "pause_turn"}, "paused in the middle of a server tool's loop"),
        ({"stop_reason": "refusal"}, "refused"),
        ({"stop_reason": "refusal", "stop_details": None}, "refused"),
        ({"stop_reason": "refusal", "stop_details": {"category": "cyber", "explanation": None}}, "refused: cyber"),
        (
            {"stop_reason": "refusal", "stop_details": {"type": "refusal", "category": "bio", "explanation": "No."}},
            "refused: bio: No.",
        ),
    ],
)
def test_an_answer_that_stopped_early_is_invalid_even_if_it_fits(
    message: dict[str, Any], reason: str, output: Output
) -> None:
    outcome = _judge(_succeeded(_text(GOOD), **message), output)
    assert (outcome.outcome, outcome.reason, outcome.text) == ("invalid", reason, GOOD)
    assert outcome.stop_reason == message["stop_reason"]


@pytest.mark.parametrize("stop_reason", ["end_turn", "stop_sequence", "a_reason_of_the_future", None])
def test_for_any_other_stop_reason_the_schema_decides(stop_reason: str | None) -> None:
    assert _judge(_succeeded(_text(GOOD), stop_reason=stop_reason)).outcome == "succeeded"


@pytest.mark.parametrize(
    "usage",
    [
        None,
        {},
        {"input_tokens": 0, "output_tokens": 0, "cache_read_input_tokens": None, "cache_creation": None},
        {"server_tool_use": None},
    ],
)
def test_missing_usage_counts_as_zero(usage: dict[str, Any] | None) -> None:
    outcome = _judge(_succeeded(_text(GOOD), usage=usage))
    assert outcome.outcome == "succeeded"
    assert (outcome.input_tokens, outcome.cache_read_tokens, outcome.output_tokens) == (0, 0, 0)


def test_without_a_schema_all_text_is_the_output() -> None:
    outcome = _judge(_succeeded(_text("Dear "), {"type": "thinking", "thinking": "hm"}, _text("you")), TextOutput())
    assert (outcome.outcome, outcome.output) == ("succeeded", "Dear you")


@pytest.mark.parametrize("text", ["", " ", "\n\t ", "\u2003\u00a0"])
def test_without_a_schema_an_answer_of_only_whitespace_is_invalid(text: str) -> None:
    outcome = _judge(_succeeded(_text(text)), TextOutput())
    assert (outcome.outcome, outcome.output, outcome.text) == ("invalid", None, text)
    assert outcome.reason == "no text in the answer"
    assert outcome.output_tokens == 9


@pytest.mark.parametrize(
    ("error", "reason", "error_type"),
    [
        (
            {"type": "error", "error": {"type": "invalid_request_error", "message": "messages: Field required"}},
            "invalid_request_error: messages: Field required",
            "invalid_request_error",
        ),
        (
            {
                "type": "error",
                "request_id": None,
                "error": {"type": "api_error", "message": "Oops", "details": {"error_visibility": "user_facing"}},
            },
            "api_error: Oops",
            "api_error",
        ),
        (
            {"type": "error", "error": {"type": "overloaded_error", "message": ""}},
            "overloaded_error",
            "overloaded_error",
        ),
        ({"type": "error", "error": {"type": "overloaded_error"}}, "overloaded_error", "overloaded_error"),
        ({"type": "error", "error": {"message": "Oops"}}, "unknown_error: Oops", None),
        ({"type": "error", "error": None}, "unknown_error", None),
        ({"type": "error"}, "unknown_error", None),
        (None, "unknown_error", None),
    ],
)
def test_an_errored_line_has_the_inner_error_as_reason(
    error: dict[str, Any] | None, reason: str, error_type: str | None
) -> None:
    assert _judge({"type": "errored", "error": error}) == Outcome(
        request_id="r-1", outcome="errored", reason=reason, error_type=error_type
    )


@pytest.mark.parametrize(
    ("type", "message", "remedied"),
    [
        ("invalid_request_error", "messages.0.content.0.document: Could not process PDF", "again"),
        ("invalid_request_error", "Could not process image", "again"),
        ("invalid_request_error", "messages.0: The PDF specified was not valid.", None),
        ("not_found_error", "File not found: file_011C", "again"),
        ("not_found_error", "File has expired: file_011C", "again"),
        ("not_found_error", "model: claude-none", None),
        ("invalid_request_error", "File is too large", None),
    ],
)
def test_a_document_that_may_pass_next_time_is_sent_again(type: str, message: str, remedied: str | None) -> None:
    outcome = _judge({"type": "errored", "error": {"type": "error", "error": {"type": type, "message": message}}})
    assert outcome.reason == f"{type}: {message}"
    assert remedy(outcome.outcome, outcome.error_type, outcome.stop_reason) == remedied


@pytest.mark.parametrize("name", ["expired", "canceled"])
def test_the_reason_of_an_unprocessed_request_says_not_billed(name: str) -> None:
    outcome = _judge({"type": name})
    assert outcome.outcome == name
    assert (outcome.reason or "").endswith("not billed")
    assert outcome.input_tokens == 0


@pytest.mark.parametrize("result", [{"type": "postponed"}, {"type": ""}])
def test_an_unknown_result_type_is_errored_under_its_name(result: dict[str, Any]) -> None:
    outcome = _judge(result)
    assert outcome.outcome == "errored"
    assert outcome.reason == f"unknown result type {result['type']!r}"
    assert outcome.error_type is None


def test_an_unknown_result_type_with_an_answer_was_paid_for() -> None:
    """Another request would be billed twice."""
    usage = {"input_tokens": 10, "output_tokens": 5}
    message = {"model": "claude-haiku-5-5", "content": [{"type": "text", "text": "Hi"}], "usage": usage}
    outcome = _judge({"type": "postponed", "message": message})
    assert (outcome.outcome, outcome.reason) == ("invalid", "unknown result type 'postponed'")
    assert (outcome.text, outcome.input_tokens, outcome.output_tokens) == ("Hi", 10, 5)
    assert remedy(outcome.outcome, outcome.error_type, outcome.stop_reason) is None


def test_a_succeeded_line_without_a_message_was_paid_for() -> None:
    line = b'{"custom_id": "r-1", "result": {"type": "succeeded"}}'
    with pytest.raises(msgspec.DecodeError, match="there is no message") as raised:
        judge(decode_line(line), TextOutput())
    outcome = unreadable(line, raised.value)
    assert outcome is not None
    assert (outcome.outcome, outcome.upper_bound) == ("invalid", True)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{}",
        b"null",
        b'{"custom_id": "r-1"}',
        b'{"custom_id": 5, "result": {"type": "expired"}}',
        b'{"custom_id": "r-1", "result": {}}',
        b'{"custom_id": "r-1", "result": {"type": "expi',
        b'{"custom_id": "r-1", "result": {"type": "expired"}} {"custom_id"',
        b'{"custom_id": "r-1\xff", "result": {"type": "expired"}}',
        b'{"custom_id": "r-1", "result": {"type": "expired", "extra": ' + b"[" * 100_000,
    ],
)
def test_a_truncated_or_garbled_line_is_rejected(line: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode_line(line)


def test_a_line_may_contain_unicode_line_separators() -> None:
    line = json.dumps({"custom_id": "r-1", "result": _succeeded(_text("a\u2028b\u2029c\u0000"))}, ensure_ascii=False)
    assert judge(decode_line(line.encode()), TextOutput()).output == "a\u2028b\u2029c\u0000"


def test_outcomes_are_stored_unchanged() -> None:
    outcomes = [
        _judge(_succeeded(_text(GOOD))),
        _judge(_succeeded(_text("no"))),
        _judge({"type": "expired"}),
        _judge({"type": "errored", "error": None}),
        _judge({"type": "errored", "error": {"type": "error", "error": {"type": "api_error", "message": "Oops"}}}),
        missing_outcome("r-2"),
    ]
    batch = outcomes_batch(outcomes)
    assert batch.schema == OUTCOMES_SCHEMA
    assert [Outcome(**row) for row in batch.to_pylist()] == outcomes


def test_an_error_type_is_stored_with_its_reason() -> None:
    names = OUTCOMES_SCHEMA.names
    assert names[names.index("reason") + 1] == "error_type"


def test_no_outcomes_are_an_empty_typed_batch() -> None:
    batch = outcomes_batch([])
    assert (batch.num_rows, batch.schema) == (0, OUTCOMES_SCHEMA)


def test_an_outcome_has_either_an_output_or_a_reason() -> None:
    results = [
        _succeeded(_text(GOOD)),
        _succeeded(_text("no")),
        _succeeded(),
        _succeeded(_text(GOOD), stop_reason="refusal"),
        {"type": "errored", "error": None},
        {"type": "expired"},
        {"type": "canceled"},
        {"type": "else"},
    ]
    for outcome in map(_judge, results):
        assert (outcome.output is None) is (outcome.reason is not None)
        assert (outcome.outcome == "succeeded") is (outcome.reason is None)


def test_a_request_without_a_line_is_missing_at_no_cost() -> None:
    assert missing_outcome("r-1") == Outcome(
        request_id="r-1", outcome="missing", reason="the API's results hold no line for it"
    )


def test_an_unreadable_line_has_no_stop_reason() -> None:
    outcome = unreadable(b'{"custom_id": "r-1", "result": {"type": "succee', ValueError("cut"))
    assert outcome is not None
    assert (outcome.outcome, outcome.stop_reason, outcome.error_type) == ("invalid", None, None)


class TestRemedy:
    """The action of a retry pass for an outcome."""

    @pytest.mark.parametrize("outcome", ["expired", "canceled", "missing"])
    def test_an_unprocessed_request_is_sent_again(self, outcome: str) -> None:
        assert remedy(outcome, None, None) == "again"

    @pytest.mark.parametrize(
        "error_type",
        ["overloaded_error", "api_error", "timeout_error", "rate_limit_error", "an_error_of_the_future", "", None],
    )
    def test_an_error_is_retried_unless_it_is_permanent(self, error_type: str | None) -> None:
        assert remedy("errored", error_type, None) == "again"

    @pytest.mark.parametrize("error_type", ["invalid_request_error", "not_found_error", "request_too_large"])
    def test_an_error_in_the_request_is_never_retried(self, error_type: str) -> None:
        assert remedy("errored", error_type, None) is None

    @pytest.mark.parametrize("error_type", ["permission_error", "authentication_error", "billing_error"])
    def test_an_error_of_the_key_or_the_account_is_left_to_a_later_run(self, error_type: str) -> None:
        assert remedy("errored", error_type, None) is None
        assert not is_paid("errored")

    @pytest.mark.parametrize("stop_reason", ["end_turn", "stop_sequence", "max_tokens"])
    def test_a_complete_or_cut_answer_is_repaired(self, stop_reason: str) -> None:
        assert remedy("invalid", None, stop_reason) == "repair"

    @pytest.mark.parametrize(
        "stop_reason", ["model_context_window_exceeded", "refusal", "pause_turn", "tool_use", "a_reason_of_the_future"]
    )
    def test_an_answer_that_a_repair_would_not_fix_is_left(self, stop_reason: str) -> None:
        assert remedy("invalid", None, stop_reason) is None

    def test_an_unreadable_answer_cannot_be_repaired(self) -> None:
        assert remedy("invalid", None, None) is None

    @pytest.mark.parametrize("stop_reason", ["end_turn", "max_tokens", None])
    def test_a_succeeded_request_needs_no_retry(self, stop_reason: str | None) -> None:
        assert remedy("succeeded", None, stop_reason) is None


@pytest.mark.parametrize(
    ("outcome", "paid"),
    [
        ("succeeded", True),
        ("invalid", True),
        ("errored", False),
        ("expired", False),
        ("canceled", False),
        ("missing", False),
    ],
)
def test_only_paid_requests_are_settled(outcome: str, paid: bool) -> None:
    assert is_paid(outcome) is paid


def test_no_settled_request_is_sent_again() -> None:
    for outcome in get_args(OutcomeName):
        for error_type in ("api_error", "invalid_request_error", None):
            for stop_reason in ("end_turn", "refusal", None):
                assert not (is_paid(outcome) and remedy(outcome, error_type, stop_reason) == "again")


@pytest.mark.parametrize("kind", ["errored", "expired", "canceled"])
def test_an_unreadable_line_without_an_answer_was_not_paid_for(kind: str) -> None:
    line = f'{{"custom_id": "r-1", "result": {{"type": "{kind}", "error": 7}}}}\n'.encode()
    outcome = unreadable(line, ValueError("x"))
    assert outcome is not None
    assert (outcome.outcome, is_paid(outcome.outcome)) == (kind, False)


class TestUsage:
    """The usage of an answer with a malformed usage object."""

    @pytest.mark.parametrize(
        "usage",
        [
            None,
            [],
            "a few",
            {},
            USAGE | {"input_tokens": None},
            {name: count for name, count in USAGE.items() if name != "output_tokens"},
            USAGE | {"output_tokens": -1},
            USAGE | {"output_tokens": 9.5},
            USAGE | {"output_tokens": "9"},
            USAGE | {"output_tokens": True},
            USAGE | {"input_tokens": 2**62},
            USAGE | {"input_tokens": 2**63},
            USAGE | {"input_tokens": 10**30},
            USAGE | {"cache_read_input_tokens": -1},
            USAGE | {"cache_creation": {"ephemeral_1h_input_tokens": 1e300}},
            USAGE | {"server_tool_use": {"web_search_requests": -7}},
        ],
    )
    def test_an_invalid_count_makes_only_the_usage_unknown(self, usage: Any) -> None:
        outcome = _judge(_succeeded(_text(GOOD), usage=usage))
        assert (outcome.outcome, outcome.output, outcome.upper_bound) == ("succeeded", GOOD, True)
        assert (outcome.input_tokens, outcome.cache_read_tokens, outcome.output_tokens) == (0, 0, 0)

    @pytest.mark.parametrize(
        "usage",
        [
            {"input_tokens": 41, "output_tokens": 9},
            {"input_tokens": 41.0, "output_tokens": 9, "cache_creation": None, "server_tool_use": None},
            {"input_tokens": 41, "output_tokens": 9, "cache_creation": [], "cache_read_input_tokens": None},
        ],
    )
    def test_missing_optional_counts_are_zero(self, usage: dict[str, Any]) -> None:
        outcome = _judge(_succeeded(_text(GOOD), usage=usage))
        assert (outcome.input_tokens, outcome.output_tokens, outcome.upper_bound) == (41, 9, False)
        assert outcome.cache_read_tokens == outcome.cache_write_1h_tokens == outcome.web_searches == 0

    @pytest.mark.parametrize(
        "written", [None, {}, {"ephemeral_5m_input_tokens": 7}, {"ephemeral_1h_input_tokens": None}]
    )
    def test_cache_writes_of_unknown_ttl_have_the_higher_price(self, written: Any) -> None:
        outcome = _judge(_succeeded(_text(GOOD), usage=USAGE | {"cache_creation": written}))
        assert not outcome.upper_bound
        assert outcome.cache_write_5m_tokens + outcome.cache_write_1h_tokens == 30
        assert outcome.cache_write_5m_tokens == (written or {}).get("ephemeral_5m_input_tokens", 0)

    def test_an_unreadable_line_gives_usage_and_text(self) -> None:
        result = _succeeded(_text("a\ud83d"))
        line = json.dumps({"custom_id": "r-1", "result": result}).encode()
        with pytest.raises(msgspec.DecodeError) as caught:
            decode_line(line)
        assert unreadable(line, caught.value) == Outcome(
            request_id="r-1",
            outcome="invalid",
            reason=f"its result line cannot be read: {caught.value}",
            text="a\ufffd",
            **(_used_by(_judge(_succeeded(_text(GOOD)))) | {"model": "claude-haiku-5-5"}),
        )

    @pytest.mark.parametrize("model", [None, 5, "claude-haiku-5-\ufffd", "\ud83d", "claude-haik"])
    def test_a_model_without_a_price_in_an_unreadable_line_is_ignored(self, model: Any) -> None:
        result = _succeeded(_text("\ud83d"), model=model)
        outcome = unreadable(json.dumps({"custom_id": "r-1", "result": result}).encode(), ValueError("x"))
        assert outcome is not None
        assert (outcome.model, outcome.upper_bound, outcome.input_tokens) == (None, False, 41)

    @pytest.mark.parametrize("geo", ["\ud83d", 5, {}])
    def test_an_invalid_region_is_left_out(self, geo: Any) -> None:
        result = _succeeded(_text("\ud83d"), usage=USAGE | {"inference_geo": geo})
        outcome = unreadable(json.dumps({"custom_id": "r-1", "result": result}).encode(), ValueError("x"))
        assert outcome is not None
        assert outcomes_batch([outcome])["inference_geo"].to_pylist() == [None]


def _used_by(outcome: Outcome) -> dict[str, Any]:
    return {name: getattr(outcome, name) for name in (*TOKEN_RATES, "web_searches", "inference_geo", "service_tier")}


def test_a_byte_order_mark_is_ignored() -> None:
    line = json.dumps({"custom_id": "r-1", "result": {"type": "expired"}}).encode()
    assert decode_line(b"\xef\xbb\xbf" + line) == decode_line(line)
