"""Open the lake for a command, and read a published day back."""

from __future__ import annotations

import io
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow.fs import S3FileSystem
from pydantic import ValidationError

from include.cli.connections import MissingVariables, connection_variables
from include.cli.exit_codes import BAD_ARGUMENTS
from include.enrichment.answers.manifest import Manifest
from include.enrichment.errors import EnrichmentError, ParamError, PartitionError, SpecError
from include.enrichment.runs.partition import Partition
from include.enrichment.storage import layout
from include.enrichment.storage.version import parse
from include.gateways.lake import Lake
from include.stack.environment import core_settings
from include.stack.folder import StackFolder
from include.stack.progress import complain
from include.stack.stack import AWS, BUCKET, LAKE, Stack

#: On a busy machine the S3 server may need longer than pyarrow's default of 3 s.
BUSY_SECONDS = 60


def with_lake(folder: StackFolder, work: Callable[[Lake], None]) -> int:
    """
    Do a command's ``work`` on the lake of the environment, else on that of the running stack.

    Returns the exit status: 0, or 2 for bad arguments, or 1 if the lake cannot be read. Errors go to stderr.
    """
    try:
        variables = connection_variables(folder, os.environ, (AWS, LAKE))
    except MissingVariables as error:
        complain(str(error))
        return 1
    with tempfile.TemporaryDirectory() as home:
        os.environ.update(core_settings(home) | variables)
        os.environ.setdefault("AIRFLOW__LOGGING__LOGGING_LEVEL", "WARNING")
        # Not at the top: this imports Airflow, which reads its settings then.
        from claude_batch.connections.gateways import open_lake

        try:
            work(open_lake("aws_default"))
        except (SpecError, ParamError, PartitionError) as error:
            complain(str(error))
            return BAD_ARGUMENTS
        except EnrichmentError as error:
            complain(str(error))
            return 1
    return 0


@dataclass(frozen=True, kw_only=True)
class Published:
    """One published partition, read back."""

    manifest: Manifest
    table: pa.Table
    rejects: pa.Table


def stack_lake(stack: Stack) -> Lake:
    """Return the stack's lake: a bucket on its S3 server, or the folder that is kept."""
    if stack.kept:
        return Lake.in_folder(Path(stack.connections[LAKE]))
    return Lake.on_s3(
        stack.connections[LAKE],
        credentials=lambda: {"access_key_id": "testing", "secret_access_key": "testing", "expires_at": None},
        region="us-east-1",
        endpoint=stack.s3_url,
    )


def make_bucket(stack: Stack) -> None:
    """Create the lake's empty bucket."""
    stack_s3(stack).create_dir(BUCKET)


def stack_s3(stack: Stack) -> S3FileSystem:
    """Return the stack's S3 server. Its paths begin with a bucket."""
    return S3FileSystem(
        access_key="testing",
        secret_key="testing",
        region="us-east-1",
        scheme="http",
        endpoint_override=urlsplit(stack.s3_url).netloc,
        allow_bucket_creation=True,
        allow_delayed_open=True,  # small objects take one call instead of three
        connect_timeout=BUSY_SECONDS,
        request_timeout=BUSY_SECONDS,
    )


def read_published(stack: Stack, pipeline: str, partition: Partition) -> Published | None:
    """Read what is published of a partition, None if it has no readable manifest. Raises LakeError."""
    lake = stack_lake(stack)
    manifest = published(pipeline, partition, lake)
    if manifest is None:
        return None
    keys = layout.table(pipeline, partition), layout.rejects(pipeline, partition)
    table, rejects = (pq.read_table(io.BytesIO(lake.read(key))) for key in keys)
    return Published(manifest=manifest, table=table, rejects=rejects)


def unaccounted(keys: Sequence[str], published: Published, key: str) -> list[str]:
    """Return one line for each key that is not exactly once in the source and exactly once in the table or rejects."""
    found = Counter([*published.table[key].to_pylist(), *published.rejects[key].to_pylist()])
    expected = Counter(keys)
    return [
        f"{name}: {expected[name]} in the warehouse, {found[name]} published or rejected"
        for name in sorted(expected.keys() | found.keys())
        if expected[name] != found[name]
    ]


def published(pipeline: str, partition: Partition, lake: Lake) -> Manifest | None:
    """
    Return the partition's manifest, None if there is none. A damaged one counts as none, as it does for `publish`.

    Raises LakeError if the lake cannot be read.
    """
    key = layout.manifest(pipeline, partition)
    found = lake.find(key)
    try:
        return parse(Manifest, found.data, lake.locate(key)) if found else None
    except ValidationError:
        return None
