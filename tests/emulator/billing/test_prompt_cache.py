"""The prompt cache as batches see it: writes, reads and bills."""

from __future__ import annotations

from typing import Any

import pytest
from anthropic import Anthropic

from tests.emulator.conftest import create, ended, image_block, request, results
from tests.fixtures.emulator import Emulator

PREFIX_TOKENS = 5000
PREFIX = "word" * PREFIX_TOKENS


def marked(prefix: str = PREFIX, ttl: str = "1h", **changes: Any) -> dict[str, Any]:
    """Return params with a cacheable system prompt."""
    system = [{"type": "text", "text": prefix, "cache_control": {"type": "ephemeral", "ttl": ttl}}]
    return request(system=system, **changes)


def usages(client: Anthropic, *params: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the usage of each request of a batch."""
    batch = ended(client, create(client, *params).id)
    return [result["message"]["usage"] for result in results(client, batch.id).values()]


def test_without_a_marker_nothing_is_cached(client: Anthropic) -> None:
    (usage,) = usages(client, request(system=PREFIX))
    assert (usage["cache_creation_input_tokens"], usage["cache_read_input_tokens"]) == (0, 0)
    assert usage["input_tokens"] > PREFIX_TOKENS


@pytest.mark.parametrize(("ttl", "other"), [("5m", "1h"), ("1h", "5m")])
def test_the_first_request_writes_the_prefix_at_its_ttl(client: Anthropic, ttl: str, other: str) -> None:
    (usage,) = usages(client, marked(ttl=ttl))
    assert usage["cache_creation_input_tokens"] == PREFIX_TOKENS
    assert usage["cache_creation"][f"ephemeral_{ttl}_input_tokens"] == PREFIX_TOKENS
    assert usage["cache_creation"][f"ephemeral_{other}_input_tokens"] == 0
    assert 0 < usage["input_tokens"] < 100


def test_a_cold_batch_mostly_writes(client: Anthropic) -> None:
    reads = [usage["cache_read_input_tokens"] for usage in usages(client, *[marked()] * 100)]
    assert 10 <= sum(read == PREFIX_TOKENS for read in reads) <= 50
    assert set(reads) == {0, PREFIX_TOKENS}


def test_a_batch_mostly_reads_what_an_earlier_one_wrote(client: Anthropic) -> None:
    usages(client, marked())
    reads = [usage["cache_read_input_tokens"] for usage in usages(client, *[marked("" + PREFIX)] * 100)]
    assert sum(read == PREFIX_TOKENS for read in reads) >= 90


def test_every_token_of_the_prompt_is_billed_once(client: Anthropic) -> None:
    totals = {
        usage["input_tokens"] + usage["cache_creation_input_tokens"] + usage["cache_read_input_tokens"]
        for usage in usages(client, *[marked()] * 50)
    }
    assert len(totals) == 1


@pytest.mark.parametrize(("ttl", "seconds"), [("5m", 300), ("1h", 3600)])
def test_a_cache_entry_expires_after_its_ttl(emulator: Emulator, client: Anthropic, ttl: str, seconds: int) -> None:
    usages(client, marked(ttl=ttl))
    emulator.advance_clock(seconds)
    assert usages(client, marked(ttl=ttl))[0]["cache_read_input_tokens"] == 0


def test_a_read_refreshes_an_entry(emulator: Emulator, client: Anthropic) -> None:
    for _ in range(3):
        usages(client, *[marked(ttl="5m")] * 3)
        emulator.advance_clock(200)
    assert usages(client, *[marked(ttl="5m")] * 5)[0]["cache_read_input_tokens"] == PREFIX_TOKENS


@pytest.mark.parametrize(("passed_seconds", "read"), [(199, PREFIX_TOKENS), (200, 0)])
def test_the_ttl_counts_from_the_start_of_the_batch(
    emulator: Emulator, client: Anthropic, passed_seconds: int, read: int
) -> None:
    emulator.set_faults([{"kind": "duration", "seconds": 100, "times": 1}])
    batch = create(client, marked(ttl="5m"))
    emulator.advance_clock(100)
    ended(client, batch.id)
    emulator.advance_clock(passed_seconds)
    assert usages(client, marked(ttl="5m"))[0]["cache_read_input_tokens"] == read


def test_cache_writes_of_a_batch_are_unreadable_until_it_ends(emulator: Emulator, client: Anthropic) -> None:
    emulator.set_faults([{"kind": "duration", "seconds": 100, "times": 1}])
    first = create(client, marked())
    assert usages(client, marked())[0]["cache_read_input_tokens"] == 0
    emulator.advance_clock(100)
    ended(client, first.id)


def test_concurrent_batches_mostly_read_the_same_entry(emulator: Emulator, client: Anthropic) -> None:
    usages(client, marked())
    emulator.set_faults([{"kind": "duration", "seconds": 600, "times": 1}, {"kind": "duration", "seconds": 1200}])
    both = [create(client, *[marked()] * 20) for _ in range(2)]
    emulator.advance_clock(1200)
    for batch in both:
        of_batch = results(client, ended(client, batch.id).id).values()
        reads = [result["message"]["usage"]["cache_read_input_tokens"] for result in of_batch]
        assert sum(read == PREFIX_TOKENS for read in reads) >= 18


def test_a_marker_reads_a_prefix_of_an_earlier_block_and_writes_the_rest(client: Anthropic) -> None:
    usages(client, marked())
    more = {"type": "text", "text": "more" * 100, "cache_control": {"type": "ephemeral", "ttl": "1h"}}
    (usage,) = usages(client, request(system=[{"type": "text", "text": PREFIX}, more]))
    assert (usage["cache_read_input_tokens"], usage["cache_creation_input_tokens"]) == (PREFIX_TOKENS, 100)


@pytest.mark.parametrize(("blocks_before", "read"), [(20, PREFIX_TOKENS), (21, 0)])
def test_a_marker_looks_back_twenty_blocks(client: Anthropic, blocks_before: int, read: int) -> None:
    usages(client, marked())
    system = [
        {"type": "text", "text": PREFIX},
        *[{"type": "text", "text": "more"}] * (blocks_before - 1),
        {"type": "text", "text": "last", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
    ]
    assert usages(client, request(system=system))[0]["cache_read_input_tokens"] == read


def test_a_marker_finds_only_prefixes_written_at_a_marker(client: Anthropic) -> None:
    later = {"type": "text", "text": "later", "cache_control": {"type": "ephemeral", "ttl": "1h"}}
    usages(client, request(system=[{"type": "text", "text": PREFIX}, later]))
    assert usages(client, marked())[0]["cache_read_input_tokens"] == 0


IMAGE = image_block()


@pytest.mark.parametrize("change", ["tool_choice", "image"])
def test_a_tool_choice_or_an_image_keeps_the_system_prompt_and_loses_the_messages(
    client: Anthropic, change: str
) -> None:
    document = {"type": "text", "text": "doc " * 5000, "cache_control": {"type": "ephemeral", "ttl": "1h"}}
    tools = [{"name": "t", "input_schema": {"type": "object"}}]

    def params(*more: dict[str, Any], **changes: Any) -> dict[str, Any]:
        return marked(tools=tools, messages=[{"role": "user", "content": [document, *more]}], **changes)

    (written,) = usages(client, params())
    (usage,) = usages(client, params(IMAGE) if change == "image" else params(tool_choice={"type": "none"}))
    assert usage["cache_creation_input_tokens"] == 5000
    assert usage["cache_read_input_tokens"] == written["cache_creation_input_tokens"] - 5000


def test_a_synchronous_call_does_not_warm_a_batch(client: Anthropic) -> None:
    first, second = (client.messages.create(**marked()).usage for _ in range(2))
    assert first.cache_creation_input_tokens == PREFIX_TOKENS
    assert second.cache_read_input_tokens == PREFIX_TOKENS
    assert usages(client, marked())[0]["cache_read_input_tokens"] == 0


def test_a_batch_does_not_read_what_another_workspace_wrote(emulator: Emulator, client: Anthropic) -> None:
    usages(client, marked())
    with Anthropic(api_key=emulator.workspace().api_key, base_url=emulator.url, max_retries=0) as other:
        assert usages(other, marked())[0]["cache_read_input_tokens"] == 0


@pytest.mark.parametrize(
    ("model", "tokens", "cached"),
    [
        ("claude-haiku-4-5", 4095, False),
        ("claude-haiku-4-5", 4096, True),
        ("claude-sonnet-4-6", 1023, False),
        ("claude-sonnet-4-6", 1024, True),
        ("claude-haiku-5-5", 511, False),
        ("claude-haiku-5-5", 512, True),
    ],
)
def test_a_prefix_under_the_models_minimum_is_not_cached(
    client: Anthropic, model: str, tokens: int, cached: bool
) -> None:
    (usage,) = usages(client, marked("word" * tokens, model=model))
    assert usage["cache_creation_input_tokens"] == (tokens if cached else 0)


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "claude-sonnet-4-6"},
        {"prefix": PREFIX + "x"},
        {"tools": [{"name": "t", "input_schema": {"type": "object"}}]},
        {
            "output_config": {
                "format": {
                    "type": "json_schema",
                    "schema": {"type": "object", "additionalProperties": False, "properties": {}},
                }
            }
        },
    ],
    ids=["model", "system", "tools", "format"],
)
def test_another_prefix_finds_nothing(client: Anthropic, changes: dict[str, Any]) -> None:
    usages(client, marked())
    assert usages(client, marked(**changes))[0]["cache_read_input_tokens"] == 0


def test_automatic_caching_marks_the_last_block_and_so_writes_each_row(client: Anthropic) -> None:
    params = [request(f"row {index}", system=PREFIX, cache_control={"type": "ephemeral"}) for index in range(3)]
    usages(client, *params)
    others = [request(f"row {index}", system=PREFIX, cache_control={"type": "ephemeral"}) for index in range(3, 6)]
    assert all(usage["cache_read_input_tokens"] == 0 for usage in usages(client, *others))


def test_two_markers_split_what_is_read_from_what_is_written(client: Anthropic) -> None:
    usages(client, marked())
    second = {"type": "text", "text": "more" * 2000, "cache_control": {"type": "ephemeral", "ttl": "5m"}}
    params = marked()
    params["system"].append(second)
    usage = max(usages(client, *[params] * 3), key=lambda one: one["cache_creation"]["ephemeral_5m_input_tokens"])
    assert usage["cache_read_input_tokens"] == PREFIX_TOKENS
    assert usage["cache_creation"] == {"ephemeral_5m_input_tokens": 2000, "ephemeral_1h_input_tokens": 0}
