"""The lake as a reader sees it: the manifest, the table and the rejects of one published partition."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow.fs import FileSystem, S3FileSystem

from include.enrichment import layout
from include.enrichment.manifest import Manifest
from include.enrichment.partition import Partition
from include.stack.stack import BUCKET, Stack

#: A machine that has other work may let the S3 server wait for longer than pyarrow's 3 s.
BUSY_SECONDS = 60


@dataclass(frozen=True, kw_only=True)
class Published:
    """One published partition, read back."""

    manifest: Manifest
    table: pa.Table
    rejects: pa.Table


def stack_lake(stack: Stack) -> FileSystem:
    """The stack's bucket as a folder tree, over plain S3 calls."""
    return S3FileSystem(
        access_key="testing",
        secret_key="testing",
        region="us-east-1",
        scheme="http",
        endpoint_override=urlsplit(stack.s3_url).netloc,
        allow_bucket_creation=True,
        connect_timeout=BUSY_SECONDS,
        request_timeout=BUSY_SECONDS,
    )


def make_bucket(stack: Stack) -> None:
    """Make the stack's empty bucket."""
    stack_lake(stack).create_dir(BUCKET)


def read_published(stack: Stack, pipeline: str, partition: Partition) -> Published | None:
    """What the partition's readers get, None if it has no manifest."""
    files = stack_lake(stack)
    manifest = f"{BUCKET}/{layout.manifest(pipeline, partition)}"
    if not files.get_file_info(manifest).is_file:
        return None
    return Published(
        manifest=Manifest.model_validate_json(files.open_input_file(manifest).read()),
        table=pq.read_table(f"{BUCKET}/{layout.table(pipeline, partition)}", filesystem=files, partitioning=None),
        rejects=pq.read_table(f"{BUCKET}/{layout.rejects(pipeline, partition)}", filesystem=files, partitioning=None),
    )


def unaccounted(keys: Sequence[str], published: Published, key: str) -> list[str]:
    """One line for each source key that is not in table or rejects exactly once, and for each key the source lacks."""
    found = Counter([*published.table[key].to_pylist(), *published.rejects[key].to_pylist()])
    expected = Counter(keys)
    return [
        f"{name}: {expected[name]} in the warehouse, {found[name]} published or rejected"
        for name in sorted(expected.keys() | found.keys())
        if expected[name] != found[name]
    ]
