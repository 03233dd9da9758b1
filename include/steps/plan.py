"""plan: the run's distinct requests are cut into chunks."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pyarrow.compute as pc

from include.enrichment.chunk import assign_chunks
from include.enrichment.layout import RunFolder
from include.enrichment.request import Request
from include.enrichment.spec import Pipeline
from include.gateways.lake import Lake
from include.steps.chunks import ChunkWriter
from include.steps.extract import read_pipeline, read_rows


def plan(folder: RunFolder, *, pass_name: str, lake: Lake) -> list[str]:
    """
    Cut the distinct requests of the run's rows into chunks; return the chunks' lake keys.

    Rows that render alike share one request, which is paid once. The same requests give the same chunks, whatever the
    order of the rows. No row, no chunk.
    """
    pipeline = read_pipeline(lake, folder)
    with tempfile.TemporaryDirectory(prefix="claude-batch-") as temporary:
        rows = Path(temporary) / "rows.parquet"
        lake.fetch(folder.rows, rows)
        written = _write_chunks(rows, pipeline, Path(temporary))
        chunks = [writer.upload(lake, folder.pass_prefix(pass_name), number) for number, writer in enumerate(written)]
    lake.write(folder.plan_json(pass_name), json.dumps(chunks).encode())
    return chunks


def planned_chunks(folder: RunFolder, *, lake: Lake) -> list[str]:
    """The lake keys of the chunks of all of the run's passes, as they were planned last."""
    return [key for plan_json in lake.list(folder.plans) for key in json.loads(lake.read(plan_json))]


def _write_chunks(rows: Path, pipeline: Pipeline, folder: Path) -> list[ChunkWriter]:
    numbers = assign_chunks(_params_bytes(rows), pipeline.limits)
    paths = [folder / f"chunk-{number}.parquet" for number in sorted(set(numbers.values()))]
    writers = [ChunkWriter(path, pipeline=pipeline.name, schema_text=pipeline.schema_text) for path in paths]
    with ExitStack() as open_writers:
        for writer in writers:
            open_writers.enter_context(writer)
        for request in _requests(rows):
            # A request leaves `numbers` when it is written: rows that render alike meet it once.
            if (number := numbers.pop(request.request_id, None)) is not None:
                writers[number].add(request)
    return writers


def _params_bytes(rows: Path) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for batch in read_rows(rows, ["request_id", "params"]):
        sizes.update(zip(batch["request_id"].to_pylist(), pc.binary_length(batch["params"]).to_pylist(), strict=True))
    sizes.pop(None, None)  # type: ignore[call-overload]  # rows that cannot be sent have no request
    return sizes


def _requests(rows: Path) -> Iterator[Request]:
    for batch in read_rows(rows, ["request_id", "params"]):
        for request_id, params in zip(batch["request_id"].to_pylist(), batch["params"].to_pylist(), strict=True):
            if request_id is not None:
                yield Request(request_id=request_id, params=params)
