from __future__ import annotations

import asyncio

import pytest

from claude_batch.connections.claude_connection import open_async_claude, open_claude
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
