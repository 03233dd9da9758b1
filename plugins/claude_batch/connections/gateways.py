"""
Open the lake, the sources and the buckets of attachments from Airflow connections.

Only this file and claude.py read connections. Only this file reads ENRICHMENT_LAKE and ENRICHMENT_RUNS_NEVER_RACE.
"""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.providers.amazon.aws.hooks.base_aws import AwsGenericHook
from airflow.providers.common.sql.hooks.sql import DbApiHook
from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowException
from botocore.exceptions import BotoCoreError

from include.enrichment.errors import SetupError
from include.enrichment.storage.address import S3Address, lake_address, redact_secret, s3_address
from include.gateways.documents.buckets import LocalFolder, S3Buckets
from include.gateways.lake import Lake
from include.gateways.sources.cases import CaseFile
from include.gateways.sources.objects import Objects
from include.gateways.sources.parquet_files import ParquetFiles
from include.gateways.sources.published_table import PublishedTable
from include.gateways.sources.warehouse import Warehouse

if TYPE_CHECKING:
    from obstore.store import S3Credential
    from sqlalchemy import Engine

    from include.enrichment.spec.pipeline import Pipeline
    from include.gateways.documents.buckets import Buckets
    from include.gateways.sources.source import Source

#: Expiring credentials are read again after this long. The AWS session renews them when necessary.
_REFRESH_AFTER = timedelta(minutes=5)


def open_lake(aws_conn_id: str) -> Lake:
    """
    Open the lake that ENRICHMENT_LAKE names, with the credentials of an AWS connection.

    The lake is ``s3://bucket/prefix``, or a folder for development. ENRICHMENT_RUNS_NEVER_RACE=true allows a store
    without conditional writes. Raises SetupError if a variable is invalid, or if ENRICHMENT_LAKE, the connection or its
    credentials are missing.
    """
    uri = os.environ.get("ENRICHMENT_LAKE", "")
    if not uri:
        raise SetupError(
            "ENRICHMENT_LAKE is not set. Nothing was read or sent. Set it to the address of the lake, e.g."
            " s3://my-bucket/enrichment."
        )
    runs_never_race = _runs_never_race()
    try:
        address = lake_address(uri)
        if isinstance(address, str):
            return Lake.in_folder(Path(address), runs_never_race=runs_never_race)
    except ValueError as error:
        raise SetupError(
            f"ENRICHMENT_LAKE is {redact_secret(uri)!r}: the address {error}. Nothing was read or sent. Set it to"
            " s3://bucket/prefix, or for development to the absolute path of a folder."
        ) from error
    except OSError as error:
        raise SetupError(f"ENRICHMENT_LAKE is {uri!r}: {error}. Nothing was read or sent.") from error
    return _open_s3(address, aws_conn_id, runs_never_race=runs_never_race)


def _open_s3(address: S3Address, aws_conn_id: str, *, runs_never_race: bool = False) -> Lake:
    hook: AwsGenericHook[Any] = AwsGenericHook(aws_conn_id=aws_conn_id, client_type="s3")

    def credentials() -> S3Credential:
        found = hook.get_credentials()
        if not found.token:
            return {"access_key_id": found.access_key, "secret_access_key": found.secret_key, "expires_at": None}
        return {
            "access_key_id": found.access_key,
            "secret_access_key": found.secret_key,
            "token": found.token,
            "expires_at": datetime.now(UTC) + _REFRESH_AFTER,
        }

    try:
        # The first are those that are found here: to find them takes longer than most calls.
        found = chain([credentials()], iter(credentials, None))
        return Lake.on_s3(
            str(address),
            credentials=lambda: next(found),
            region=hook.region_name,
            endpoint=hook.conn_config.endpoint_url,
            runs_never_race=runs_never_race,
        )
    except (AirflowException, BotoCoreError, AttributeError) as error:
        raise SetupError(
            f"The AWS connection {aws_conn_id!r} gives no credentials for {address}: {error}. Set"
            f" AIRFLOW_CONN_{aws_conn_id.upper()}."
        ) from error


def open_buckets(connection: str) -> Buckets:
    """
    Open the place of a pipeline's objects: see Settings.attachments_connection.

    :param connection: the id of an AWS connection, which decides what buckets can be read, or for development the
        absolute path of a folder, outside of which nothing is read
    """
    if connection.startswith("/"):
        return LocalFolder(connection)
    return S3Buckets(lambda bucket: _open_s3(S3Address(bucket=bucket, prefix=""), connection))


def _runs_never_race() -> bool:
    text = os.environ.get("ENRICHMENT_RUNS_NEVER_RACE", "false")
    if text not in ("true", "false"):
        raise SetupError(
            f"ENRICHMENT_RUNS_NEVER_RACE is {text!r}: it must be true or false (default: false). Nothing was read or"
            " sent."
        )
    return text == "true"


def open_source(pipeline: Pipeline, *, lake: Lake) -> Source:
    """
    Open the source of a pipeline's rows. Raises SetupError if its connection is missing or of another kind.

    :param lake: holds the table of ``source.table``
    """
    settings = pipeline.settings.source
    connection = settings.connection or ""
    if settings.table:
        return PublishedTable(
            lake,
            pipeline=settings.table,
            where=pipeline.where,
            renaming=pipeline.renaming,
            pairs=settings.pairs,
        )
    if settings.cases:
        return CaseFile(pipeline.cases, file=settings.cases, types=settings.column_types)
    if settings.files:
        bucket = _open_s3(replace(s3_address(settings.files), prefix=""), connection)
        files, renaming = settings.files, pipeline.renaming
        return ParquetFiles(bucket, files=files, name=connection, where=pipeline.where, renaming=renaming)
    if settings.objects:
        buckets = open_buckets(settings.objects_connection)
        return Objects(buckets, objects=settings.objects, name=connection, where=pipeline.where)
    return Warehouse(open_database(connection), pipeline.sql, name=connection, pipeline=pipeline.name)


def open_database(conn_id: str) -> Engine:
    """
    Open the database of a connection. Raises SetupError if it is missing or not a database that SQLAlchemy supports.
    """
    try:
        hook = BaseHook.get_hook(conn_id)
        if not isinstance(hook, DbApiHook):
            raise SetupError(
                f"Connection {conn_id!r} is not a database: its hook is {type(hook).__name__}, not a DbApiHook. Nothing"
                " was read or sent."
            )
        engine: Engine = hook.get_sqlalchemy_engine()
    except (AirflowException, ImportError, ValueError, NotImplementedError) as error:
        raise SetupError(
            f"The warehouse connection {conn_id!r} cannot be used: {error}. Nothing was read or sent."
            f" Add it in the UI (Admin, Connections) or set AIRFLOW_CONN_{conn_id.upper()}, and install the provider"
            " of its type."
        ) from error
    # SQLite would create a missing file and then report that it has no such table.
    file = engine.url.database if engine.dialect.name == "sqlite" else None
    if file and file != ":memory:" and not file.startswith("file:") and not Path(file).is_file():
        raise SetupError(
            f"The warehouse connection {conn_id!r} names the SQLite file {file}, which does not exist. Nothing was read"
            f" or sent. Correct the path in the connection or in AIRFLOW_CONN_{conn_id.upper()}."
        )
    return engine
