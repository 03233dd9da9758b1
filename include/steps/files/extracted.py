"""The files that extract wrote for a run: its pipeline, its rows and the requests in them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Set
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import ValidationError, model_validator

from include.enrichment.answers.table import VARIANT
from include.enrichment.errors import LakeError
from include.enrichment.requests.chunk import REQUESTS_SCHEMA
from include.enrichment.requests.request_ids import RequestIds
from include.enrichment.spec.pipeline import Pipeline
from include.enrichment.storage.layout import RunFolder
from include.enrichment.storage.version import Versioned, check_stamp, parse
from include.gateways.disk import working_folder
from include.gateways.lake import Lake, ObjectMissing

#: After so many row groups, the memory that other threads have freed is given back.
_GROUPS_AT_ONCE = 32
_Model = TypeVar("_Model", bound=Versioned)


class Extracted(Versioned):
    """
    The result of extract.

    :param source_rows: rows read; None if an earlier version extracted them
    :param rows: rows of rows.parquet, one for each request of a row: combinations of for_each times samples
    :param unsendable: rows whose request cannot be sent
    :param extracted_at: when extract began to read, UTC
    :param source_sha256: of the published table that was read; None for any other source, and if an earlier version
        extracted them
    :param deadline: when the run should have its answers, UTC; None: it has no deadline
    """

    source_rows: int | None = None
    rows: int
    unsendable: int
    extracted_at: datetime
    source_sha256: str | None = None
    deadline: datetime | None = None

    @model_validator(mode="before")
    @classmethod
    def _without_old_fields(cls, data: Any) -> Any:
        """An earlier version also wrote the size of all params."""
        return (
            {name: value for name, value in data.items() if name != "params_bytes"} if isinstance(data, dict) else data
        )


@dataclass(frozen=True, kw_only=True)
class ExtractedRun:
    """
    An extracted run, its rows on this machine.

    :param rows: the local rows.parquet, in a folder of its own; with documents.parquet if the checks need it
    :param request_ids: the distinct requests in it
    :param by_variant: the same by the variant that they are sent for, in the pipeline's order. A request that several
        variants share belongs to the first of them. Empty if the pipeline has no variants
    """

    folder: RunFolder
    pipeline: Pipeline
    extracted: Extracted
    rows: Path
    request_ids: RequestIds
    by_variant: Mapping[str, RequestIds] = field(default_factory=dict)


@contextmanager
def open_run(lake: Lake, folder: RunFolder) -> Iterator[ExtractedRun]:
    """Read what extract wrote and fetch the rows. Raises LakeError if any of it is missing or damaged."""
    pipeline, extracted = read_pipeline(lake, folder), read_extracted(lake, folder)
    with working_folder() as temporary:
        fetch_rows(lake, folder, rows := temporary / "rows.parquet")
        if any(check.grounded for check in pipeline.checks):
            fetch_documents(lake, folder, documents_beside(rows))
        yield ExtractedRun(
            folder=folder,
            pipeline=pipeline,
            extracted=extracted,
            rows=rows,
            request_ids=read_request_ids(rows),
            by_variant=read_variant_ids(rows, pipeline.variants),
        )


def read_pipeline(lake: Lake, folder: RunFolder) -> Pipeline:
    """Return the pipeline as it was when the run began. Raises LakeError if the run has no readable extract."""
    return _read(lake, folder.pipeline_json, Pipeline)


def read_extracted(lake: Lake, folder: RunFolder) -> Extracted:
    """Return the result of extract. Raises LakeError if the run has no readable extract."""
    return _read(lake, folder.extract_json, Extracted)


def _read(lake: Lake, key: str, kind: type[_Model]) -> _Model:
    found = lake.find(key)
    try:
        if found is not None:
            return parse(kind, found.data, lake.locate(key))
        why = "does not exist"
    except ValidationError as error:
        why = f"cannot be read by this version: {error}"
    raise LakeError(f"{lake.locate(key)} {why}. Clear the run's `extract`, which writes it again.", retryable=False)


def fetch_rows(lake: Lake, folder: RunFolder, path: Path) -> None:
    """Copy the run's rows.parquet to a local file. Raises LakeError if it is missing or damaged."""
    _fetch(lake, folder.rows, path)


def fetch_documents(lake: Lake, folder: RunFolder, path: Path) -> None:
    """Copy the run's documents.parquet to a local file. Raises LakeError if it is missing or damaged."""
    _fetch(lake, folder.documents, path)


def documents_beside(rows: Path) -> Path:
    """Return where documents.parquet is fetched to, next to the rows."""
    return rows.with_name("documents.parquet")


def _fetch(lake: Lake, key: str, path: Path) -> None:
    try:
        lake.fetch(key, path)
        check_stamp(pq.read_metadata(path).metadata, lake.locate(key))
    except (ObjectMissing, pa.ArrowInvalid, OSError) as error:
        raise LakeError(
            f"{lake.locate(key)} cannot be read: {error} Clear the run's `extract`, which writes it again.",
            retryable=False,
        ) from error


def read_request_ids(path: Path) -> RequestIds:
    """Return the distinct requests of a fetched rows.parquet. A row that cannot be sent has none."""
    with pq.ParquetFile(path) as file:
        # One row group after the other, as reading them all at once takes twice the memory.
        groups = (file.read_row_group(number, columns=["request_id"]) for number in range(file.num_row_groups))
        ids = pa.chunked_array([group["request_id"] for group in groups], pa.string()).combine_chunks()
    pa.default_memory_pool().release_unused()  # sorting needs some
    found = RequestIds(ids)
    pa.default_memory_pool().release_unused()
    return found


def read_variant_ids(path: Path, variants: Collection[str]) -> dict[str, RequestIds]:
    """
    Return the distinct requests of each variant in a fetched rows.parquet, in the order of ``variants``. A request that
    several variants share belongs to the first of them. Without variants there is nothing to read.
    """
    if not variants:
        return {}
    rows = pq.read_table(path, columns=["request_id", VARIANT], read_dictionary=[VARIANT])
    left, found = RequestIds(rows["request_id"]), dict[str, RequestIds]()
    for name in variants:
        found[name] = left & RequestIds(rows["request_id"].filter(pc.equal(rows[VARIANT], name)))
        left -= found[name]
    return found


def read_requests(path: Path, wanted: Set[str]) -> Iterator[pa.RecordBatch]:
    """
    Yield the wanted requests of a fetched rows.parquet, in REQUESTS_SCHEMA and in portions.

    They come in the order of the rows, each once, however many rows render alike. Params of row groups without a wanted
    request are not decompressed.
    """
    ids = RequestIds(wanted)
    found = bytearray(len(ids))
    with pq.ParquetFile(path) as file:
        for number in range(file.num_row_groups):
            if number % _GROUPS_AT_ONCE == 0:
                pa.default_memory_pool().release_unused()
            column = file.read_row_group(number, columns=["request_id"])["request_id"]
            new = []
            for position in ids.find(column.combine_chunks()).to_pylist():
                new.append(position is not None and not found[position])
                if position is not None:
                    found[position] = True
            if any(new):
                portion = file.read_row_group(number, columns=REQUESTS_SCHEMA.names)
                kept = portion if all(new) else portion.filter(pa.array(new))
                yield from kept.cast(REQUESTS_SCHEMA).to_batches()
