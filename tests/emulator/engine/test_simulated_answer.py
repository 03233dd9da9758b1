"""The contents of an answer, besides fitting its schema."""

from __future__ import annotations

import json
from typing import Any

from anthropic import Anthropic

from tests.emulator.conftest import create, ended, request, results


def answer(client: Anthropic, **changes: Any) -> Any:
    """Send a batch of one request, and return the message."""
    batch = ended(client, create(client, request(**changes)).id)
    return results(client, batch.id)["r-0"]["message"]


def test_every_answer_is_marked_as_simulated(client: Anthropic) -> None:
    message = answer(client)
    assert message["id"].startswith("msg_simulated_")
    assert message["content"][0]["text"].startswith("simulated")


def test_an_answer_longer_than_max_tokens_is_cut(client: Anthropic) -> None:
    schema = {
        "type": "object",
        "additionalProperties": False,
        "properties": {name: {"type": "string"} for name in "abcdef"},
        "required": list("abcdef"),
    }
    message = answer(client, max_tokens=10, output_config={"format": {"type": "json_schema", "schema": schema}})
    assert message["stop_reason"] == "max_tokens"
    assert message["usage"]["output_tokens"] == 10
    assert len(message["content"][0]["text"]) == 40


def test_thinking_is_billed_and_comes_first(client: Anthropic) -> None:
    message = answer(client, model="claude-haiku-5-5", max_tokens=1000)
    assert [block["type"] for block in message["content"]] == ["thinking", "text"]
    thinking = message["usage"]["output_tokens_details"]["thinking_tokens"]
    assert 0 < thinking < message["usage"]["output_tokens"]


def test_thinking_can_use_up_everything(client: Anthropic) -> None:
    message = answer(client, model="claude-haiku-5-5", max_tokens=5)
    assert message["stop_reason"] == "max_tokens"
    assert [block["type"] for block in message["content"]] == ["thinking"]


def test_a_forced_tool_is_called(client: Anthropic) -> None:
    tool = {
        "name": "label",
        "input_schema": {
            "type": "object",
            "properties": {"topic": {"enum": ["invoice", "bug"]}},
            "required": ["topic"],
        },
    }
    message = answer(client, tools=[tool], tool_choice={"type": "tool", "name": "label"})
    assert message["stop_reason"] == "tool_use"
    assert message["content"][0]["name"] == "label"
    assert message["content"][0]["input"] == {"topic": "invoice"}


def test_another_seed_gives_other_answers_and_another_custom_id_too(client: Anthropic) -> None:
    batch = ended(client, create(client, request(), request()).id)
    lines = results(client, batch.id)
    assert lines["r-0"]["message"]["id"] != lines["r-1"]["message"]["id"]


def test_a_request_warming_the_cache_gets_no_text(client: Anthropic) -> None:
    message = client.messages.create(**request(max_tokens=0))
    assert message.content == []
    assert (message.stop_reason, message.usage.output_tokens) == ("max_tokens", 0)


def test_non_ascii_text_is_preserved(client: Anthropic) -> None:
    schema = {
        "type": "object",
        "additionalProperties": False,
        "properties": {"a": {"enum": ["größer", "小さい", "🙂"]}},
    }
    config = {"format": {"type": "json_schema", "schema": {**schema, "required": ["a"]}}}
    message = answer(client, text="das ist größer", output_config=config)
    assert json.loads(message["content"][0]["text"]) == {"a": "größer"}


def test_a_repair_is_answered_like_the_request_that_it_repairs(client: Anthropic) -> None:
    schema = {
        "type": "object",
        "additionalProperties": False,
        "properties": {"text": {"type": "string", "description": "keeps every placeholder"}},
        "required": ["text"],
    }
    turns = [
        {"role": "user", "content": "Delete {count} files"},
        {"role": "assistant", "content": '{"text": "Lösche {total} Dateien"}'},
        {"role": "user", "content": "check kept: text has {total} instead of {count}"},
    ]
    message = answer(client, messages=turns, output_config={"format": {"type": "json_schema", "schema": schema}})
    assert json.loads(message["content"][0]["text"])["text"].endswith(". {count}")
