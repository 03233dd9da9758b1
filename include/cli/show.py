"""`make show`: print the published rows of a day, or its rejects, as a table."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import ValidationError

from include.cli.command_arguments import check_pipeline, read_partition
from include.cli.output.published_day import with_lake
from include.cli.output.rows_table import heading, rows_table
from include.enrichment.answers.manifest import Manifest
from include.enrichment.batches.usage import sum_usd
from include.enrichment.cost.prices import format_usd
from include.enrichment.errors import LakeError, ParamError, PartitionError
from include.enrichment.runs.partition import Partition
from include.enrichment.storage import layout
from include.enrichment.storage.version import parse
from include.gateways.lake import Lake
from include.gateways.usage_store import UsageStore
from include.stack.folder import StackFolder
from include.stack.progress import say

_SHOWN_DAYS = 3


def show(folder: StackFolder, pipeline: str, partition: str, *, rejects: bool, rows: int) -> int:
    """
    Print the first published rows of a partition, or its first rejects. Returns an exit status, see with_lake().

    :param rows: the maximum number of rows, 1 or more
    """

    def work(lake: Lake) -> None:
        if rows < 1:
            raise ParamError(f"ROWS is {rows}. It must be a whole number, 1 or more.")
        day = _published_partition(lake, pipeline, partition)
        manifest = _manifest(lake, layout.manifest(pipeline, day))
        first = _first_rows(lake, (layout.rejects if rejects else layout.table)(pipeline, day), rows)
        say(heading(manifest))
        spent_usd = _spent_usd(lake, pipeline, day)
        if None not in (spent_usd, manifest.partition_cost_usd) and spent_usd != manifest.partition_cost_usd:
            say(f"All batches of this day cost {format_usd(spent_usd)}, with answers that no row uses any more.\n")
        say(rows_table(first, rejects=rejects))
        found = manifest.rejected if rejects else manifest.published
        shown = [f"{min(rows, found):,} of {found:,} {'rejects' if rejects else 'rows'}"]
        shown += ["ROWS=… shows more"] if rows < found else []
        shown += ["REJECTS=1 shows the rejects"] if manifest.rejected and not rejects else []
        say("; ".join(shown))

    return with_lake(folder, work)


def _spent_usd(lake: Lake, pipeline: str, day: Partition) -> Decimal | None:
    """What the day's batches cost by their usage records, in all its runs; None if a cost is not known."""
    # The API's clock may be ahead of ours and in the next day, and the day's time zone ahead of UTC.
    first, last = day.start - timedelta(days=1), datetime.now(UTC).date() + timedelta(days=1)
    usage_records = UsageStore(lake).read(first, last, pipeline=pipeline)
    return sum_usd(usage_records.filter(pc.equal(usage_records["partition"], str(day)))["cost_usd"])


def _first_rows(lake: Lake, key: str, rows: int) -> pa.Table:
    try:
        with lake.open(key) as file:
            parquet = pq.ParquetFile(file)
            first = next(parquet.iter_batches(batch_size=rows), None)
            return pa.Table.from_batches([] if first is None else [first], parquet.schema_arrow)
    except pa.ArrowInvalid as error:
        raise _damaged(lake, key, error) from error


def _manifest(lake: Lake, key: str) -> Manifest:
    try:
        return parse(Manifest, lake.read(key), lake.locate(key))
    except ValidationError as error:
        raise _damaged(lake, key, error) from error


def _published_partition(lake: Lake, pipeline: str, text: str) -> Partition:
    """
    Return the partition of the arguments.

    Raises ParamError for a wrong pipeline, PartitionError for a day that is invalid or not published. The message has
    the closest names or days, and the rejects of runs that failed to publish the day.
    """
    published = _published_days(lake)
    days = published.get(pipeline, [])
    example = f"make show PIPELINE={pipeline or 'catalogue'} PARTITION={days[-1] if days else '2026-11-17'}"
    check_pipeline(pipeline, published=published, example=example)
    partition = read_partition(text, example=example)
    if partition.start in days:
        return partition
    closest = sorted(sorted(days, key=lambda day: abs(day - partition.start))[:_SHOWN_DAYS])
    raise PartitionError(
        "\n".join(
            [
                f"{pipeline} {partition} is not published on {lake.uri}.",
                *_failed_runs(lake, pipeline, partition),
                f"Closest published days: {', '.join(map(str, closest)) or 'none, no day is published'}.",
                f"To publish it: make run PIPELINE={pipeline} PARTITION={partition}",
            ]
        )
    )


def _failed_runs(lake: Lake, pipeline: str, partition: Partition) -> list[str]:
    """Return a line for each run that rejected too many rows to be published. Its rejects are in its folder."""
    keys = set(lake.list(layout.runs_of(pipeline, partition)))
    runs = [layout.run_of(key) for key in sorted(keys)]
    # A trial has rejects in its folder too, and a manifest.
    failed = {run.run_id: run.rejects for run in runs if run.rejects in keys and run.manifest not in keys}
    return [
        f"Run {run_id} did not publish it. The rejects of that run: {lake.locate(rejects)}"
        for run_id, rejects in failed.items()
    ]


def _published_days(lake: Lake) -> dict[str, list[date]]:
    """Return the published days of each pipeline, in order."""
    days: defaultdict[str, list[date]] = defaultdict(list)
    for key in filter(layout.is_manifest, lake.list("manifests/")):
        days[key.split("/")[1]].append(date.fromisoformat(key.rpartition("dt=")[2].removesuffix(".json")))
    return days


def _damaged(lake: Lake, key: str, error: Exception) -> LakeError:
    return LakeError(f"{lake.locate(key)} is damaged: {error}", retryable=False)
