from __future__ import annotations

import asyncio

import pytest

from claude_batch.connections.claude_connection import open_async_claude, open_claude, open_messages
from include.enrichment.errors import SetupError


@pytest.mark.parametrize(
    ("connection", "fact"),
    [
        (None, "isn't defined"),
        ('{"conn_type": "anthropic"}', "it has no key"),
        (
            '{"conn_type": "anthropic", "extra": {"platform": "foundry", "resource": "r"}, "password": "k"}',
            "'foundry' has no",
        ),
        (
            '{"conn_type": "anthropic", "extra": {"platform": "nonsense"}, "password": "k"}',
            "Unknown Anthropic platform",
        ),
    ],
)
def test_an_unusable_anthropic_connection_is_rejected_with_the_reason(
    connections: pytest.MonkeyPatch, connection: str | None, fact: str
) -> None:
    if connection is None:
        connections.delenv("AIRFLOW_CONN_ANTHROPIC_DEFAULT")
    else:
        connections.setenv("AIRFLOW_CONN_ANTHROPIC_DEFAULT", connection)
    with pytest.raises(SetupError, match=fact):
        open_claude("anthropic_default")
    with pytest.raises(SetupError, match=fact):
        asyncio.run(open_async_claude("anthropic_default"))
    with pytest.raises(SetupError, match=fact):
        asyncio.run(open_messages("anthropic_default").__aenter__())


def test_messages_answer_through_the_connection(connections: pytest.MonkeyPatch) -> None:
    async def ask() -> bytes:
        async with open_messages("anthropic_default") as messages:
            body = b'{"model":"claude-haiku-5-5","max_tokens":50,"messages":[{"role":"user","content":"hi"}]}'
            return await messages.answer("r1", body)

    assert asyncio.run(ask()).startswith(b'{"type":"succeeded"')
