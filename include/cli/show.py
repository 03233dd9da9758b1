"""`make show`: the published rows of a day, or its rejects, as a table for the terminal."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import date

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from include.cli.output.published_day import with_lake
from include.cli.output.rows_table import heading, rows_table
from include.enrichment.answers.manifest import Manifest
from include.enrichment.errors import LakeError, ParamError, PartitionError, nearest
from include.enrichment.runs.partition import parse_partition
from include.enrichment.storage import layout
from include.enrichment.storage.version import parse
from include.gateways.lake import Lake
from include.stack.folder import ROOT, StackFolder
from include.stack.progress import say

_SHOWN_DAYS = 3


def show(folder: StackFolder, pipeline: str, partition: str, *, rejects: bool, rows: int) -> int:
    """
    Print the first published rows of a partition, or its first rejects. Returns an exit status, see with_lake().

    :param rows: the most to show, 1 or more
    """

    def work(lake: Lake) -> None:
        if rows < 1:
            raise ParamError(f"ROWS is {rows}: give the most rows to show, 1 or more.")
        manifest = _manifest(lake, pipeline, partition)
        key = (layout.rejects if rejects else layout.table)(pipeline, parse_partition(partition, "PARTITION"))
        first = _first_rows(lake, key, rows)
        say(heading(manifest))
        say(rows_table(first, rejects=rejects))
        found = manifest.rejected if rejects else manifest.published
        shown = [f"{min(rows, found):,} of {found:,} {'rejects' if rejects else 'rows'}"]
        shown += ["ROWS=… shows more"] if rows < found else []
        shown += ["REJECTS=1 shows the rejects"] if manifest.rejected and not rejects else []
        say("; ".join(shown))

    return with_lake(folder, work)


def _first_rows(lake: Lake, key: str, rows: int) -> pa.Table:
    try:
        with lake.open(key) as file:
            parquet = pq.ParquetFile(file)
            first = next(parquet.iter_batches(batch_size=rows), None)
            return pa.Table.from_batches([] if first is None else [first], parquet.schema_arrow)
    except pa.ArrowInvalid as error:
        raise _damaged(lake, key, error) from error


def _manifest(lake: Lake, pipeline: str, text: str) -> Manifest:
    """The manifest of what is published. Raises ParamError or PartitionError if nothing is, with the nearest name."""
    published = _published_days(lake)
    if pipeline not in published:
        raise _nothing_published(lake, pipeline, published)
    days = published[pipeline]
    if not text:
        raise PartitionError(f"PARTITION is missing: {_usage(pipeline, days[-1])}")
    try:
        partition = parse_partition(text, "PARTITION")
    except PartitionError as error:
        raise PartitionError(f"PARTITION is {text!r}, which is not a date like {days[-1]}.") from error
    if partition.start not in days:
        near = sorted(sorted(days, key=lambda day: abs(day - partition.start))[:_SHOWN_DAYS])
        raise PartitionError(
            f"{pipeline} {partition} is not published on {lake.uri}.\n"
            f"Nearest published days: {', '.join(map(str, near))}.\n"
            f"To publish it: make run PIPELINE={pipeline} PARTITION={partition}"
        )
    key = layout.manifest(pipeline, partition)
    try:
        return parse(Manifest, lake.read(key), lake.locate(key))
    except ValidationError as error:
        raise _damaged(lake, key, error) from error


def _published_days(lake: Lake) -> dict[str, list[date]]:
    """By pipeline, in order."""
    days: defaultdict[str, list[date]] = defaultdict(list)
    for key in filter(layout.is_manifest, lake.list("manifests/")):
        days[key.split("/")[1]].append(date.fromisoformat(key.rpartition("dt=")[2].removesuffix(".json")))
    return days


def _nothing_published(lake: Lake, pipeline: str, published: Iterable[str]) -> ParamError:
    known = sorted({*published, *(path.parent.name for path in ROOT.glob("include/pipelines/*/pipeline.yaml"))})
    if not pipeline:
        return ParamError(f"PIPELINE is missing: {_usage('catalogue', date(2026, 11, 17))}\nKnown: {', '.join(known)}.")
    if pipeline not in known:
        return ParamError(
            f"No pipeline is called {pipeline!r}{nearest(pipeline, known) or '.'} Known: {', '.join(known)}."
        )
    return ParamError(
        f"No day of {pipeline} is published on {lake.uri}.\n"
        f"To publish one: make run PIPELINE={pipeline} PARTITION=2026-11-01"
    )


def _usage(pipeline: str, day: date) -> str:
    return f"make show PIPELINE={pipeline} PARTITION={day} [REJECTS=1] [ROWS=20]"


def _damaged(lake: Lake, key: str, error: Exception) -> LakeError:
    return LakeError(f"{lake.locate(key)} is damaged: {error}", retryable=False)
