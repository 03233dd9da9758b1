"""What an answer can have used at most, which follows from its request: for lines that do not say what it was."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from include.enrichment.answers.outcome import Outcome, is_settled

#: What the API may put before a prompt by itself, for a schema or tools: several hundred tokens are documented.
_ADDED_TOKENS = 2_000
#: The longest context window, in tokens. A request that names an image, a document or a tool may fill it.
_WINDOW_TOKENS = 1_000_000
_decode = msgspec.json.Decoder(dict[str, Any]).decode


def is_incomplete(outcome: Outcome) -> bool:
    """Whether the answer was paid for, and its line does not say how much, or for which model."""
    return is_settled(outcome.outcome) and (outcome.upper_bound or not outcome.model)


def with_upper_bound(outcome: Outcome, params: str) -> Outcome:
    """
    An incomplete outcome with what its line lacks: the model that was asked and, where its usage cannot be read, the
    most tokens that the request can have used, each at the highest rate that it can have had.

    A token of text has at least one byte, and no answer is longer than ``max_tokens``. What a server tool's searches
    cost is not in it.

    :param params: of its request, as they were sent
    """
    request = _decode(params)
    outcome = msgspec.structs.replace(outcome, model=outcome.model or request.get("model"))
    if not outcome.upper_bound:
        return outcome
    size = len(params.encode()) + _ADDED_TOKENS
    prompt = size if _is_text(request) else max(size, _WINDOW_TOKENS)
    cached = any("cache_control" in part for part in _objects(request))
    return msgspec.structs.replace(
        outcome,
        input_tokens=0 if cached else prompt,
        cache_write_1h_tokens=prompt if cached else 0,
        output_tokens=request.get("max_tokens", 0),
        inference_geo=outcome.inference_geo or request.get("inference_geo"),
    )


def _is_text(request: dict[str, Any]) -> bool:
    """Whether all that the model reads is text that stands in the request."""
    return not {"tools", "mcp_servers", "container"} & request.keys() and all(
        block.get("type", "text") == "text"
        for message in request.get("messages", [])
        if isinstance(message["content"], list)
        for block in message["content"]
    )


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    """Every object in a value, at any depth."""
    if isinstance(value, dict):
        yield value
    if isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _objects(part)
