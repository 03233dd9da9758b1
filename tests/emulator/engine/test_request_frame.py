"""The error for each way in which the params of a request can be invalid."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest

from include.emulator.api_errors import RequestRejected
from include.emulator.billing.prompt_cache import Cache
from include.emulator.engine.request_frame import Rules
from include.emulator.engine.simulated_answer import Prompt, make_message, read_prompt
from tests.emulator.conftest import image_block, request

NEW, OLD = "2026-10-21", "2023-06-01"
TOOL = {"name": "label", "input_schema": {"type": "object", "properties": {"a": {"type": "string"}}}}
SCHEMA = {"type": "object", "additionalProperties": False, "properties": {"a": {"type": "string"}}}
FORMAT = {"format": {"type": "json_schema", "schema": SCHEMA}}
IMAGE = {"type": "image", "source": {"type": "url", "url": "https://images.invalid/a.png"}}
CITED = {"type": "document", "source": {"type": "text", "data": "x"}, "citations": {"enabled": True}}
MARK = {"type": "ephemeral"}
PREFILL = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "{"}]


def read(params: dict[str, Any], *, version: str = NEW, betas: tuple[str, ...] = (), batch: bool = True) -> Prompt:
    """Parse the prompt as the emulator does."""
    return read_prompt(json.dumps(params).encode(), Rules(version=version, betas=frozenset(betas), batch=batch))


def user(*blocks: dict[str, Any]) -> list[dict[str, Any]]:
    """Return one user turn of these blocks."""
    return [{"role": "user", "content": list(blocks)}]


def marked(count: int, **marker: str) -> list[dict[str, Any]]:
    """Return system blocks, each with a cache marker."""
    return [{"type": "text", "text": f"part {index}", "cache_control": MARK | marker} for index in range(count)]


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "stream": (request(stream=True), '"stream=True" is not supported in the Message Batches API'),
    "speed": (request(speed="fast"), '"speed" is not supported in the Message Batches API'),
    "no model": (request(model=None), "model: Field required"),
    "no max_tokens": (request(max_tokens=None), "max_tokens: Field required"),
    "max_tokens 0": (request(max_tokens=0), "max_tokens: must be greater than or equal to 1"),
    "max_tokens over the limit": (
        request(max_tokens=9_999_999),
        "max_tokens: 9999999 > 64000, which is the maximum allowed number of output tokens for "
        "claude-haiku-4-5-20251001",
    ),
    "max_tokens of another type": (request(max_tokens="9"), "max_tokens: Input should be a valid integer"),
    "no messages": (request(messages=None), "messages: Field required"),
    "empty messages": (request(messages=[]), "messages: at least one message is required"),
    "messages not a list": (request(messages="hi"), "messages: Input should be a valid list"),
    "unknown role": (request(messages=[{"role": "bot", "content": "x"}]), "messages.0.role: Input should be"),
    "empty content": (request(""), "messages.0: user messages must have non-empty content"),
    "no content": (request(messages=[{"role": "user"}]), "messages.0.content: Field required"),
    "extra in a message": (
        request(messages=[{"role": "user", "content": "x", "name": "y"}]),
        "messages.0.name: Extra inputs are not permitted",
    ),
    "blank text block": (request(messages=user({"type": "text", "text": " "})), "must be non-empty"),
    "unknown block": (request(messages=user({"type": "smell"})), "messages.0.content.0: Input tag 'smell'"),
    "unreachable image": (request(messages=user(IMAGE)), "Unable to download the file. Please verify the URL"),
    "unknown field": (request(prompt="x"), "prompt: Extra inputs are not permitted"),
    "temperature": (request(temperature=1), "temperature: Extra inputs are not permitted"),
    "top_p": (request(top_p=1), "top_p: Extra inputs are not permitted"),
    "top_k": (request(top_k=5), "top_k: Extra inputs are not permitted"),
    "unknown tool": (
        request(tools=[TOOL], tool_choice={"type": "tool", "name": "does_not_exist"}),
        "Tool 'does_not_exist' not found in provided tools",
    ),
    "forced tool on 5.5": (
        request(model="claude-opus-5-5", tools=[TOOL], tool_choice={"type": "any"}),
        'tool_choice: type "tool" and "any" are not supported for this model.',
    ),
    "two tools of a name": (request(tools=[TOOL, TOOL]), "tools: Tool names must be unique."),
    "tool without schema": (request(tools=[{"name": "x"}]), "tools.0.custom.input_schema: Field required"),
    "strict tool out of the subset": (
        request(tools=[{**TOOL, "strict": True}]),
        "tools.0.custom.input_schema: For 'object' type",
    ),
    "prefill on 4.6": (
        request(model="claude-opus-4-6", messages=PREFILL),
        "does not support assistant message prefill",
    ),
    "prefill with structured output": (request(messages=PREFILL, output_config=FORMAT), "prefill cannot be combined"),
    "citations with structured output": (request(messages=user(CITED), output_config=FORMAT), "citations cannot be"),
    "schema out of the subset": (
        request(output_config={"format": {"type": "json_schema", "schema": {"type": "object"}}}),
        "output_config.format.schema: For 'object' type",
    ),
    "another output format": (request(output_config={"format": {"type": "xml"}}), "output_config.format.type"),
    "effort on haiku 4.5": (request(output_config={"effort": "low"}), "does not support the effort parameter"),
    "xhigh on 4.6": (
        request(model="claude-sonnet-4-6", output_config={"effort": "xhigh"}),
        "does not support effort level 'xhigh'",
    ),
    "adaptive on 4.5": (request(thinking={"type": "adaptive"}), "adaptive thinking is not supported on this model"),
    "enabled on 4.7": (
        request(model="claude-opus-4-7", thinking={"type": "enabled", "budget_tokens": 2000}, max_tokens=4000),
        '"thinking.type.enabled" is not supported for this model. Use "thinking.type.adaptive"',
    ),
    "disabled on opus 5.5": (request(model="claude-opus-5-5", thinking={"type": "disabled"}), "thinking.type.disabled"),
    "disabled on sonnet 5.5": (request(model="claude-sonnet-5-5", thinking={"type": "disabled"}), "is not supported"),
    "disabled above high": (
        request(model="claude-haiku-5-5", thinking={"type": "disabled"}, output_config={"effort": "max"}),
        "with effort 'max'",
    ),
    "small budget": (request(thinking={"type": "enabled", "budget_tokens": 100}), "greater than or equal to 1024"),
    "budget above max_tokens": (
        request(thinking={"type": "enabled", "budget_tokens": 2000}),
        "`max_tokens` must be greater than `thinking.budget_tokens`.",
    ),
    "thinking with a forced tool": (
        request(model="claude-opus-4-6", thinking={"type": "adaptive"}, tools=[TOOL], tool_choice={"type": "any"}),
        "Thinking may not be enabled when tool_choice forces tool use.",
    ),
    "inference_geo on 4.5": (request(inference_geo="us"), "inference_geo is not supported"),
    "five markers": (request(system=marked(5)), "A maximum of 4 blocks with cache_control may be provided. Found 5."),
    "1h after 5m": (request(system=[*marked(1), *marked(1, ttl="1h")]), "must not come after a ttl='5m'"),
    "another ttl": (request(system=marked(1, ttl="2h")), "system.cache_control: Input should be"),
    "empty system block": (request(system=[{"type": "text", "text": ""}]), "system: text content blocks must be"),
}

ACCEPTED: dict[str, dict[str, Any]] = {
    "stream false": request(stream=False),
    "system text": request(system="Be brief."),
    "four markers": request(system=[*marked(2, ttl="1h"), *marked(2)]),
    "forced tool on 4.5": request(tools=[TOOL], tool_choice={"type": "tool", "name": "label"}),
    "prefill on 4.5": request(messages=PREFILL),
    "thinking with a budget": request(thinking={"type": "enabled", "budget_tokens": 1024}, max_tokens=2000),
    "thinking off on haiku 5.5": request(model="claude-haiku-5-5", thinking={"type": "disabled"}),
    "between_tools on sonnet 5.5": request(model="claude-sonnet-5-5", thinking={"type": "between_tools"}),
    "effort": request(model="claude-opus-5-5", output_config={"effort": "xhigh", **FORMAT}),
    "geo": request(model="claude-opus-4-6", inference_geo="us"),
    "deprecated model": request(model="claude-sonnet-4-5"),
    "image": request(messages=user(image_block())),
    "metadata": request(metadata={"user_id": "u"}, service_tier="auto", stop_sequences=["END"]),
}


@pytest.mark.parametrize(("params", "message"), REFUSED.values(), ids=REFUSED)
def test_an_invalid_request_is_rejected_with_the_apis_message(params: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestRejected) as caught:
        read(params)
    assert caught.value.type == "invalid_request_error"
    assert message in caught.value.message


@pytest.mark.parametrize("params", ACCEPTED.values(), ids=ACCEPTED)
def test_a_valid_request_is_accepted(params: dict[str, Any]) -> None:
    read(params)


@pytest.mark.parametrize("model", ["claude-does-not-exist-9", "claude-opus-4-1"])
def test_an_unknown_or_retired_model_is_not_found(model: str) -> None:
    with pytest.raises(RequestRejected) as caught:
        read(request(model=model))
    assert (caught.value.type, caught.value.message) == ("not_found_error", f"model: {model}")


def test_sampling_is_accepted_under_the_old_version_up_to_4_6() -> None:
    read(request(temperature=0.2, top_p=0.9, top_k=5), version=OLD)
    read(request(model="claude-opus-4-6", temperature=0), version=OLD)
    read(request(model="claude-opus-4-8", temperature=1), version=OLD)
    with pytest.raises(RequestRejected, match="temperature"):
        read(request(model="claude-opus-4-8", temperature=0.2), version=OLD)


def test_the_extended_output_beta_counts_in_batches_only() -> None:
    beta = ("output-300k-2026-03-24",)
    params = request(model="claude-haiku-5-5", max_tokens=300_000)
    assert read(params, betas=beta).frame.max_tokens == 300_000
    for betas, batch in (((), True), (beta, False)):
        with pytest.raises(RequestRejected, match="max_tokens: 300000 > 128000"):
            read(params, betas=betas, batch=batch)


def test_a_synchronous_request_may_ask_for_no_tokens() -> None:
    assert read(request(max_tokens=0), batch=False).frame.max_tokens == 0


@pytest.mark.parametrize(
    ("model", "thinks"),
    [
        ("claude-haiku-4-5", False),
        ("claude-opus-4-6", False),
        ("claude-opus-4-8", False),
        ("claude-sonnet-5", True),
        ("claude-haiku-5-5", True),
        ("claude-opus-5-5", True),
    ],
)
def test_some_models_think_by_default(model: str, thinks: bool) -> None:
    assert read(request(model=model)).frame.thinks is thinks


FORCED = request(
    tools=[{"name": "t", "input_schema": {**SCHEMA, "properties": {"a": {"type": "array", "items": {"enum": ["x"]}}}}}],
    tool_choice={"type": "any"},
)
JUNK: list[Any] = [None, True, 0, -1, 1.5, "", "x", "#/x", "5m", [], [1], {}, {"type": "x"}, {"a": {}}, [[]], [{}]]
EVERYTHING = request(
    model="claude-opus-4-6",
    system=marked(2),
    tools=[TOOL, {"type": "web_search_20250305", "name": "web_search"}, {**TOOL, "name": "s", "input_schema": SCHEMA}],
    tool_choice={"type": "auto"},
    thinking={"type": "enabled", "budget_tokens": 1500},
    max_tokens=4000,
    messages=[*user({"type": "text", "text": "hello", "cache_control": MARK}, CITED), *PREFILL, *user(image_block())],
    metadata={"user_id": "u"},
    inference_geo="us",
    cache_control=MARK,
)
STRUCTURED = request(
    output_config={
        "effort": "low",
        "format": {
            "type": "json_schema",
            "schema": {
                "type": "object",
                "additionalProperties": False,
                "required": ["a", "b"],
                "properties": {
                    "a": {"type": ["string", "null"], "enum": ["p", "q", None]},
                    "b": {"anyOf": [{"type": "integer"}, {"$ref": "#/$defs/d"}]},
                    "c": {"type": "array", "items": {"type": "string", "pattern": "^x{2}$"}, "minItems": 1},
                    "d": {"allOf": [{"type": "string"}, {"const": "k"}], "format": "date"},
                },
                "$defs": {"d": {"type": "object", "properties": {}, "additionalProperties": False}},
            },
        },
    },
    model="claude-opus-4-6",
)


def _spoilt(value: Any, random: Random) -> Any:
    """Replace the value or a part of it by junk."""
    if random.random() < 0.12 or not isinstance(value, (dict, list)) or not value:
        return random.choice(JUNK)
    if isinstance(value, list):
        at = random.randrange(len(value))
        return [*value[:at], _spoilt(value[at], random), *value[at + 1 :]]
    name = random.choice(list(value))
    if random.random() < 0.1:
        return {key: inner for key, inner in value.items() if key != name}
    return {**value, name: _spoilt(value[name], random)}


@pytest.mark.parametrize("whole", [EVERYTHING, STRUCTURED, FORCED], ids=["everything", "structured", "forced"])
def test_any_params_are_answered_or_rejected(whole: dict[str, Any]) -> None:
    random = Random(0)
    outcomes = set()
    for _ in range(5000):
        params = {**whole}
        name = random.choice(list(params))
        params[name] = _spoilt(params[name], random)
        try:
            outcomes.add(make_message(read(params), 1, Cache(frozenset()), "batch")["type"])
        except RequestRejected:
            outcomes.add("rejected")
    assert outcomes == {"message", "rejected"}
