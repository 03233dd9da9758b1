"""What the usage of an answer says about its price, however malformed it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from include.enrichment.cost.prices import prices

#: A hundred times the longest context window: no request uses as many tokens. A higher count is an error, and sums of
#: it could overflow.
MOST_TOKENS = 100_000_000
#: The API's name for all tokens written to the cache.
_WRITTEN = "cache_creation_input_tokens"
_PROMPT = ("input_tokens", _WRITTEN, "cache_read_input_tokens")


def used(usage: Any) -> dict[str, Any]:
    """Return the fields of an outcome that follow from the usage in a line, however malformed."""
    usage = _members(usage)
    written, searched = _members(usage.get("cache_creation")), _members(usage.get("server_tool_use"))
    counts = {
        "input_tokens": usage.get("input_tokens"),
        "cache_write_5m_tokens": written.get("ephemeral_5m_input_tokens") or 0,
        "cache_write_1h_tokens": written.get("ephemeral_1h_input_tokens") or 0,
        "cache_read_tokens": usage.get("cache_read_input_tokens") or 0,
        "output_tokens": usage.get("output_tokens"),
        "web_searches": searched.get("web_search_requests") or 0,
        _WRITTEN: usage.get(_WRITTEN) or 0,
    }
    named = {name: usage.get(name) for name in ("inference_geo", "service_tier")}
    place = {name: text if isinstance(text, str) and text.isascii() else None for name, text in named.items()}
    for name, count in counts.items():
        if type(count) is float and count.is_integer():
            counts[name] = count = int(count)
        if type(count) is not int or not 0 <= count <= MOST_TOKENS:
            return place | {"upper_bound": True}
    # Cache writes of unknown TTL have the higher price.
    unknown = counts.pop(_WRITTEN) - counts["cache_write_5m_tokens"] - counts["cache_write_1h_tokens"]
    counts["cache_write_1h_tokens"] += max(unknown, 0)
    return counts | place


def is_long_prompt(model: str | None, usage: Any) -> bool | None:
    """
    Return whether the calls behind an answer had long prompts, which have rates of their own; None for a single call,
    whose tokens decide.

    An agent's row has one entry in ``usage.iterations`` for each call, all on the same side of the price step.
    """
    calls = _members(usage).get("iterations")
    if not isinstance(calls, list) or len(calls) < 2:
        return None
    counts = [_members(calls[0]).get(name) for name in _PROMPT]
    prompt = sum(count for count in counts if isinstance(count, int))
    return prompt > prices().long_above(model)


def _members(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
