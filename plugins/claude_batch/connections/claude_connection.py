"""
Open the API gateways from an Anthropic connection.

This module imports the SDK, which takes a second. Tasks that do not call the API do not import this module.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, contextmanager

import anthropic
import httpx2
from airflow.providers.anthropic.exceptions import AnthropicError
from airflow.providers.anthropic.hooks.anthropic import AnthropicHook
from airflow.sdk.exceptions import AirflowException

from include.enrichment.errors import SetupError
from include.gateways.async_claude import AsyncClaude
from include.gateways.claude import Claude
from include.gateways.synchronous.limited_client import limited_client
from include.gateways.synchronous.messages import Messages

#: Platforms with the Message Batches API (SDK 2.12). Bedrock, Vertex and Foundry have none.
_BATCH_PLATFORMS = ("anthropic", "aws")


def open_claude(anthropic_conn_id: str) -> Claude:
    """Open the API of an Anthropic connection. Raises SetupError if it is missing, has no key or offers no batches."""
    hook = AnthropicHook(anthropic_conn_id)
    with _usable(hook):
        client = hook.get_conn()
    _check(client, hook)
    assert isinstance(client, anthropic.Anthropic)
    return Claude(client, name=anthropic_conn_id)


async def open_async_claude(anthropic_conn_id: str) -> AsyncClaude:
    """Open the API for the triggerer, without blocking the event loop. Raises SetupError as open_claude() does."""
    return AsyncClaude(await _open_async(anthropic_conn_id), name=anthropic_conn_id)


@asynccontextmanager
async def open_messages(anthropic_conn_id: str) -> AsyncGenerator[Messages, None]:
    """Open the API for the requests that are asked. Raises SetupError as open_claude() does."""
    client = limited_client(await _open_async(anthropic_conn_id))
    async with Messages(client, name=anthropic_conn_id) as messages:
        yield messages


async def _open_async(anthropic_conn_id: str) -> anthropic.AsyncAnthropic:
    hook = AnthropicHook(anthropic_conn_id)
    with _usable(hook):
        client = await hook.get_async_conn()
    _check(client, hook)
    assert isinstance(client, anthropic.AsyncAnthropic)
    return client


@contextmanager
def _usable(hook: AnthropicHook) -> Iterator[None]:
    try:
        yield
    except (AirflowException, AnthropicError, anthropic.AnthropicError, httpx2.InvalidURL, TypeError) as error:
        raise _no_claude(hook, error) from error


def _check(client: object, hook: AnthropicHook) -> None:
    if hook.platform not in _BATCH_PLATFORMS:
        raise _no_claude(hook, f"the platform {hook.platform!r} has no Message Batches API")
    if not any(getattr(client, secret, None) for secret in ("api_key", "auth_token", "credentials")):
        raise _no_claude(hook, "it has no key")


def _no_claude(hook: AnthropicHook, why: object) -> SetupError:
    example = '{"conn_type": "anthropic", "password": "<API key>"}'
    return SetupError(
        f"The Anthropic connection {hook.conn_id!r} cannot be used: {why}. Nothing was sent."
        f" Add it in the UI (Admin, Connections), or set AIRFLOW_CONN_{hook.conn_id.upper()} to {example}."
    )
