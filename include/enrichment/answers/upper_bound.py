"""The upper bound of an answer's usage, computed from its request, for lines with unreadable usage."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from include.enrichment.answers.outcome import Outcome, is_paid

#: The API may add tokens to a prompt for a schema or tools; several hundred are documented.
_ADDED_TOKENS = 2_000
#: The longest context window, in tokens. A request that names an image, a document or a tool may fill it.
_WINDOW_TOKENS = 1_000_000
_decode = msgspec.json.Decoder(dict[str, Any]).decode


def is_incomplete(outcome: Outcome) -> bool:
    """Return whether the answer was paid for and its line lacks the usage or the model."""
    return is_paid(outcome.outcome) and (outcome.upper_bound or not outcome.model)


def with_upper_bound(outcome: Outcome, params: str) -> Outcome:
    """
    Complete an outcome with the requested model and, if its usage is unreadable, with the highest possible usage.

    A token of text has at least one byte, and no answer is longer than ``max_tokens``. Every token counts at its
    highest rate. The cost of a server tool's searches is not included.

    :param params: of its request, as sent
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
    """Return whether the request contains only text, and no tools."""
    return not {"tools", "mcp_servers", "container"} & request.keys() and all(
        block.get("type", "text") == "text"
        for message in request.get("messages", [])
        if isinstance(message["content"], list)
        for block in message["content"]
    )


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    """Return every object in a value, at any depth."""
    if isinstance(value, dict):
        yield value
    if isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _objects(part)
