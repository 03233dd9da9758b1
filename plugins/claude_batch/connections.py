"""
Airflow connections become gateways. This is the only place that reads a connection, or the variables ENRICHMENT_LAKE
and ENRICHMENT_RUNS_NEVER_RACE.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import anthropic
import httpx2
from airflow.providers.amazon.aws.hooks.base_aws import AwsGenericHook
from airflow.providers.anthropic.exceptions import AnthropicError
from airflow.providers.anthropic.hooks.anthropic import AnthropicHook
from airflow.providers.common.sql.hooks.sql import DbApiHook
from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowException
from botocore.exceptions import BotoCoreError

from include.enrichment.errors import SetupError
from include.gateways.async_claude import AsyncClaude
from include.gateways.claude import Claude
from include.gateways.lake import Lake
from include.gateways.warehouse import Warehouse

if TYPE_CHECKING:
    from obstore.store import S3Credential

#: Where the Message Batches API is offered (SDK 2.12; Bedrock, Vertex and Foundry have none).
_BATCH_PLATFORMS = ("anthropic", "aws")
#: Credentials that expire are asked for again after this long; the AWS session renews them when it is time.
_ASK_AGAIN = timedelta(minutes=5)


def open_lake(aws_conn_id: str) -> Lake:
    """
    The lake that ENRICHMENT_LAKE names (``s3://bucket/prefix``, or a folder for development), with the credentials of
    an AWS connection. ENRICHMENT_RUNS_NEVER_RACE=true allows a store without conditional writes.

    Raises SetupError if a variable makes no sense, or if the lake's name, the connection or its credentials are
    missing.
    """
    uri = os.environ.get("ENRICHMENT_LAKE", "")
    if not uri:
        raise SetupError(
            "ENRICHMENT_LAKE is not set: it says where the lake is, such as s3://my-bucket/enrichment. Nothing was"
            " read or sent."
        )
    runs_never_race = _runs_never_race()
    try:
        address = urlsplit(uri)
        if address.scheme in ("", "file") and address.path.startswith("/"):
            return Lake.in_folder(Path(address.path), runs_never_race=runs_never_race)
        if address.scheme != "s3" or not address.netloc:
            raise ValueError("the lake is s3://bucket/prefix or the absolute path of a folder")
    except (ValueError, OSError) as error:
        raise SetupError(f"ENRICHMENT_LAKE is {uri!r}: {error}. Nothing was read or sent.") from error
    hook: AwsGenericHook[Any] = AwsGenericHook(aws_conn_id=aws_conn_id, client_type="s3")

    def credentials() -> S3Credential:
        found = hook.get_credentials()
        if not found.token:
            return {"access_key_id": found.access_key, "secret_access_key": found.secret_key, "expires_at": None}
        return {
            "access_key_id": found.access_key,
            "secret_access_key": found.secret_key,
            "token": found.token,
            "expires_at": datetime.now(UTC) + _ASK_AGAIN,
        }

    try:
        credentials()
        return Lake.on_s3(
            uri,
            credentials=credentials,
            region=hook.region_name,
            endpoint=hook.conn_config.endpoint_url,
            runs_never_race=runs_never_race,
        )
    except (AirflowException, BotoCoreError, AttributeError) as error:
        raise SetupError(
            f"The AWS connection {aws_conn_id!r} gives no credentials for the lake {uri}: {error}. Set"
            f" AIRFLOW_CONN_{aws_conn_id.upper()}."
        ) from error


def _runs_never_race() -> bool:
    text = os.environ.get("ENRICHMENT_RUNS_NEVER_RACE", "false")
    if text not in ("true", "false"):
        raise SetupError(
            f"ENRICHMENT_RUNS_NEVER_RACE is {text!r}: it is true or false, and false when it is not set. Nothing was"
            " read or sent."
        )
    return text == "true"


def open_claude(anthropic_conn_id: str) -> Claude:
    """The API behind an Anthropic connection. Raises SetupError if it is missing, has no key, or has no batches."""
    hook = AnthropicHook(anthropic_conn_id)
    with _usable(hook):
        client = hook.get_conn()
    _check(client, hook)
    assert isinstance(client, anthropic.Anthropic)
    return Claude(client, name=anthropic_conn_id)


async def open_async_claude(anthropic_conn_id: str) -> AsyncClaude:
    """The same for the triggerer: nothing blocks its event loop. Raises SetupError as open_claude() does."""
    hook = AnthropicHook(anthropic_conn_id)
    with _usable(hook):
        client = await hook.get_async_conn()
    _check(client, hook)
    assert isinstance(client, anthropic.AsyncAnthropic)
    return AsyncClaude(client, name=anthropic_conn_id)


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
    """The error for an Anthropic connection that cannot be used."""
    example = '{"conn_type": "anthropic", "password": "<API key>"}'
    return SetupError(
        f"The Anthropic connection {hook.conn_id!r} cannot be used: {why}. Nothing was sent."
        f" Add it in the UI (Admin, Connections), or set AIRFLOW_CONN_{hook.conn_id.upper()} to {example}."
    )


def open_warehouse(conn_id: str) -> Warehouse:
    """
    The database behind a connection. Raises SetupError if it is missing or is not a database that SQLAlchemy knows.
    """
    try:
        hook = BaseHook.get_hook(conn_id)
        if not isinstance(hook, DbApiHook):
            raise SetupError(
                f"Connection {conn_id!r} is no database: its hook is {type(hook).__name__}, not a DbApiHook. Nothing"
                " was read or sent."
            )
        return Warehouse(hook.get_sqlalchemy_engine(), name=conn_id)
    except (AirflowException, ImportError, ValueError, NotImplementedError) as error:
        raise SetupError(
            f"The warehouse connection {conn_id!r} cannot be used: {error}. Nothing was read or sent."
            f" Add it in the UI (Admin, Connections) or set AIRFLOW_CONN_{conn_id.upper()}, and install the provider"
            " of its type."
        ) from error
