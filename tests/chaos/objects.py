"""The objects of a lake, each read to its end."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq

from include.gateways.lake import Lake


def damaged_objects(lake: Lake) -> tuple[int, list[str]]:
    """Count the objects on the lake, and list the unreadable and the unknown ones with the reason."""
    keys = lake.list("")
    return len(keys), [f"{key}: {reason}" for key in keys if (reason := _wrong(key, lake.read(key)))]


def _wrong(key: str, data: bytes) -> str | None:
    try:
        if key.endswith(".parquet"):
            pq.read_table(pa.BufferReader(data))
        elif key.endswith(".json"):
            json.loads(data)
        elif key.endswith(".jsonl.zst"):
            with pa.CompressedInputStream(pa.BufferReader(data), "zstd") as stream:
                for line in stream.read().splitlines():
                    json.loads(line)
        elif key.endswith("/_probe"):
            # The object for the test of conditional writes; it is never deleted and never changes.
            return None if data else "it is empty"
        else:
            return "it is not an object of this project"
    except (OSError, ValueError, pa.ArrowException) as error:
        return f"{type(error).__name__}: {error}"
    return None
