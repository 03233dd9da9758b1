"""plan: the run's distinct requests are cut into chunks."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from include.enrichment.chunk import number_chunks
from include.enrichment.layout import RunFolder
from include.enrichment.request import Request
from include.gateways.lake import Lake
from include.steps.chunks import write_chunk
from include.steps.extract import read_pipeline, read_rows


def plan(folder: RunFolder, *, pass_name: str, lake: Lake) -> list[str]:
    """
    Cut the distinct requests of the run's rows into chunks, in the order of the rows; return the chunks' lake keys.

    Rows that render alike share one request, which is paid once. No row, no chunk.
    """
    pipeline = read_pipeline(lake, folder)
    with tempfile.TemporaryDirectory(prefix="claude-batch-") as temporary:
        path = Path(temporary) / "rows.parquet"
        lake.fetch(folder.rows, path)
        numbered = number_chunks(_distinct(path), pipeline.limits)
        return [
            write_chunk(
                lake,
                folder.pass_prefix(pass_name),
                number,
                (request for _, request in members),
                pipeline=pipeline.name,
                schema_text=pipeline.schema_text,
            )
            for number, members in groupby(numbered, key=itemgetter(0))
        ]


def _distinct(path: Path) -> Iterator[Request]:
    seen: set[str] = set()
    for batch in read_rows(path, ["request_id", "params"]):
        for request_id, params in zip(batch["request_id"].to_pylist(), batch["params"].to_pylist(), strict=True):
            if request_id is not None and request_id not in seen:
                seen.add(request_id)
                yield Request(request_id=request_id, params=params)
