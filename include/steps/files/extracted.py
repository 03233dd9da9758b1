"""What extract left of a run: its pipeline, its rows, the requests in them."""

from __future__ import annotations

from collections.abc import Iterator, Set
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError, model_validator

from include.enrichment.errors import LakeError
from include.enrichment.requests.chunk import REQUESTS_SCHEMA
from include.enrichment.spec.pipeline import Pipeline
from include.enrichment.storage.layout import RunFolder
from include.enrichment.storage.version import Versioned, check_stamp, parse
from include.gateways.lake import Lake, ObjectMissing

_Model = TypeVar("_Model", bound=Versioned)


class Extracted(Versioned):
    """
    What extract did: rows read (each counted once for each sample), how many of them gave no request that can be sent,
    and when (UTC) it began to read.
    """

    rows: int
    unsendable: int
    extracted_at: datetime

    @model_validator(mode="before")
    @classmethod
    def _as_it_is_now(cls, data: Any) -> Any:
        """An earlier form had the bytes of all params, too."""
        return (
            {name: value for name, value in data.items() if name != "params_bytes"} if isinstance(data, dict) else data
        )


def read_pipeline(lake: Lake, folder: RunFolder) -> Pipeline:
    """The pipeline as it was when the run began. Raises LakeError if the run has no extract that can be read."""
    return _read(lake, folder.pipeline_json, Pipeline)


def read_extracted(lake: Lake, folder: RunFolder) -> Extracted:
    """What extract did. Raises LakeError if the run has no extract that can be read."""
    return _read(lake, folder.extract_json, Extracted)


def _read(lake: Lake, key: str, kind: type[_Model]) -> _Model:
    found = lake.find(key)
    try:
        if found is not None:
            return parse(kind, found.data, lake.locate(key))
        why = "does not exist"
    except ValidationError as error:
        why = f"cannot be read by this version: {error}"
    raise LakeError(f"{lake.locate(key)} {why}. Clear the run's `extract`: it writes it anew.", retryable=False)


def fetch_rows(lake: Lake, folder: RunFolder, path: Path) -> None:
    """Copy the run's rows.parquet to a local file. Raises LakeError if it is not there or is damaged."""
    try:
        lake.fetch(folder.rows, path)
        check_stamp(pq.read_metadata(path).metadata, lake.locate(folder.rows))
    except (ObjectMissing, pa.ArrowInvalid, OSError) as error:
        raise LakeError(
            f"{lake.locate(folder.rows)} cannot be read: {error} Clear the run's `extract`: it writes it anew.",
            retryable=False,
        ) from error


def read_request_ids(path: Path) -> set[str]:
    """The distinct requests of a fetched rows.parquet."""
    found: set[str] = set()
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=100_000, columns=["request_id"]):
            found.update(batch["request_id"].to_pylist())
    found.discard(None)  # rows that cannot be sent have no request
    return found


def read_requests(path: Path, wanted: Set[str]) -> Iterator[pa.RecordBatch]:
    """
    Of the requests of a fetched rows.parquet those that are wanted, in REQUESTS_SCHEMA and in portions.

    They come in the order of the rows, each once, however many rows render alike. Where none is wanted, the params are
    not even decompressed.
    """
    left = set(wanted)
    with pq.ParquetFile(path) as file:
        for number in range(file.num_row_groups):
            ids = file.read_row_group(number, columns=["request_id"])["request_id"].to_pylist()
            new = []
            for request_id in ids:
                new.append(request_id in left)
                left.discard(request_id)
            if any(new):
                portion = file.read_row_group(number, columns=REQUESTS_SCHEMA.names)
                kept = portion if all(new) else portion.filter(pa.array(new))
                yield from kept.cast(REQUESTS_SCHEMA).to_batches()
