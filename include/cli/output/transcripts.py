"""The transcripts of one row, for `make show TRANSCRIPT=<row>`."""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from include.enrichment.agent.markdown import transcript_markdown
from include.enrichment.errors import ParamError, nearest
from include.gateways.agent.transcripts import Transcripts
from include.gateways.lake import Lake

_REQUEST = "_request_id"


def row_transcripts(lake: Lake, pipeline: str, row: str, files: Iterable[str]) -> str:
    """
    Return the transcripts of a row as Markdown.

    :param row: the value of its first key column, or the id of its request
    :param files: the keys of the day's table and rejects

    Raises ParamError if there is no such row, or it has no transcript.
    """
    requests: dict[str, str] = {}
    for key in files:
        for name, request_id in _names(lake, key):
            if request_id and (row in (name, request_id)):
                return _of_request(lake, pipeline, name, request_id)
            requests[name] = request_id
    raise ParamError(f"TRANSCRIPT is {row!r}, but no row of this day has that key{nearest(row, requests) or '.'}")


def _names(lake: Lake, key: str) -> Iterable[tuple[str, str]]:
    """Yield the first key column, as text, and the request id of each row."""
    with lake.open(key) as file:
        parquet = pq.ParquetFile(file)
        first = parquet.schema_arrow.names[0]
        table: pa.Table = parquet.read(columns=[first, _REQUEST])
    names = pc.cast(table[first], pa.string()).to_pylist()
    return zip(names, table[_REQUEST].to_pylist(), strict=True)


def _of_request(lake: Lake, pipeline: str, name: str, request_id: str) -> str:
    steps = Transcripts(lake, pipeline=pipeline).steps(request_id)
    if not steps:
        raise ParamError(
            f"Row {name!r} has no transcript: its pipeline has no tools, or make clean-lake has deleted it (RAW_DAYS)."
        )
    return transcript_markdown(name, request_id, steps)
