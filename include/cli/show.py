"""`make show`: print the published rows of a day, its rejects or samples, or the rows of one run, as a table."""

from __future__ import annotations

import os
import sys
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import ValidationError

from include.cli.command_arguments import check_pipeline, read_partition
from include.cli.output.evidence_rows import evidence_rows
from include.cli.output.published_day import with_lake
from include.cli.output.rows_table import heading, rows_table
from include.enrichment.answers.evidence.quote import EVIDENCE
from include.enrichment.answers.manifest import Manifest
from include.enrichment.answers.table import WARNINGS
from include.enrichment.batches.usage import sum_usd
from include.enrichment.cost.prices import format_usd
from include.enrichment.errors import LakeError, ParamError, PartitionError
from include.enrichment.runs.partition import Partition, parse_partition
from include.enrichment.storage import layout
from include.enrichment.storage.layout import RunFolder
from include.enrichment.storage.version import parse
from include.gateways.lake import Lake
from include.gateways.usage_store import UsageStore
from include.stack.folder import StackFolder
from include.stack.progress import say

#: The number of days and of runs in a message.
_SHOWN = 3
#: The kinds of rows, as people read them.
_ROWS, _WARNED, _REJECTS, _SAMPLES = "rows", "rows with warnings", "rejects", "samples"


@dataclass(frozen=True, kw_only=True)
class _Files:
    """
    What there is to show.

    :param manifest: None for a run that failed, which has no table
    :param samples: None if no answer was left over by ``keep``
    :param others: a line for each other run of the day with rows to show
    """

    manifest: Manifest | None
    table: str
    rejects: str
    samples: str | None
    others: Sequence[str] = ()


def show(
    folder: StackFolder,
    pipeline: str,
    partition: str,
    *,
    rejects: bool,
    warned: bool,
    samples: bool,
    evidence: bool,
    run: str,
    rows: int,
) -> int:
    """
    Print the first published rows of a partition, its first rejects or its first samples. Returns an exit status, see
    with_lake().

    :param warned: only the rows that a check warns of
    :param samples: the answers that ``keep`` did not keep
    :param evidence: instead of the rows, the quotes behind their values
    :param run: the id of a run whose trial or rejects to print instead; empty for the partition
    :param rows: the maximum number of rows, 1 or more
    """

    def work(lake: Lake) -> None:
        if rows < 1:
            raise ParamError(f"ROWS is {rows}. It must be a whole number, 1 or more.")
        files = _files(lake, pipeline, partition, run)
        kind = _kind(rejects=rejects, warned=warned, samples=samples, failed=files.manifest is None)
        key = {_REJECTS: files.rejects, _SAMPLES: files.samples}.get(kind, files.table)
        first, found = _first_rows(lake, key, rows, warned=warned) if key else (pa.table({}), 0)
        first = _quotes(first, kind) if evidence else first
        say(heading(files.manifest) if files.manifest else f"Run {run} of {pipeline} {partition} published nothing.\n")
        if files.manifest and files.manifest.trial is None:
            _say_spent(lake, files.manifest)
        if found:
            say(rows_table(first, rejects=kind == _REJECTS, evidence=evidence))
        shown = [f"{min(rows, found):,} of {found:,} {kind}" if found else f"No {kind}"]
        shown += ["ROWS=… shows more"] if rows < found else []
        shown += _offers(files.manifest) if files.manifest and kind == _ROWS and not evidence else []
        say("\n".join([f"{'; '.join(shown)}{'' if found else '.'}", *files.others]))

    try:
        return with_lake(folder, work)
    except BrokenPipeError:  # `make show … | head` has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes what is left when it exits
        return 0


def _quotes(rows: pa.Table, kind: str) -> pa.Table:
    """Return the evidence of the rows. Raises ParamError if they have none."""
    if kind == _REJECTS:
        raise ParamError("EVIDENCE=1 shows the quotes of published rows, and rejects have none. Leave out one of them.")
    if EVIDENCE not in rows.column_names:
        raise ParamError("These rows have no evidence: set output.evidence: true in pipeline.yaml and start a new run.")
    return evidence_rows(rows)


def _kind(*, rejects: bool, warned: bool, samples: bool, failed: bool) -> str:
    """
    Return which rows to show. Raises ParamError if they are of several kinds, or the run has none of that kind.

    :param failed: the run failed to publish
    """
    if rejects + warned + samples > 1:
        raise ParamError("REJECTS=1, WARNED=1 and SAMPLES=1 show different rows. Choose one of them.")
    if warned and failed:
        raise ParamError("WARNED=1 shows published rows. Leave out the RUN of a failed run.")
    if samples:
        return _SAMPLES
    if rejects or failed:
        return _REJECTS
    return _WARNED if warned else _ROWS


def _offers(manifest: Manifest) -> list[str]:
    """Return what else there is to show besides the published rows."""
    offers = {
        "WARNED=1 shows the rows with warnings": manifest.warned_checks,
        "REJECTS=1 shows the rejects": manifest.rejected,
        "SAMPLES=1 shows the answers that were not kept": manifest.not_kept,
        "EVIDENCE=1 shows the quotes behind the values": EVIDENCE in manifest.columns,
    }
    return [offer for offer, is_any in offers.items() if is_any]


def _say_spent(lake: Lake, manifest: Manifest) -> None:
    """Say what all the day's batches cost, if some of it is for answers that no row uses any more."""
    spent_usd = _spent_usd(lake, manifest.pipeline, parse_partition(manifest.partition, "The manifest"))
    if None not in (spent_usd, manifest.partition_cost_usd) and spent_usd != manifest.partition_cost_usd:
        total = f"This day's batches cost {format_usd(spent_usd)} in total"
        say(f"{total}, including answers that no row uses any more.\n")


def _spent_usd(lake: Lake, pipeline: str, day: Partition) -> Decimal | None:
    """What the day's batches cost by their usage records, in all its runs; None if a cost is not known."""
    # The API's clock may be ahead of ours and in the next day, and the day's time zone ahead of UTC.
    first, last = day.start - timedelta(days=1), datetime.now(UTC).date() + timedelta(days=1)
    usage_records = UsageStore(lake).read(first, last, pipeline=pipeline)
    return sum_usd(usage_records.filter(pc.equal(usage_records["partition"], str(day)))["cost_usd"])


def _first_rows(lake: Lake, key: str, rows: int, *, warned: bool) -> tuple[pa.Table, int]:
    """Return the first rows of a file, and how many there are."""
    try:
        with lake.open(key) as file:
            parquet = pq.ParquetFile(file)
            schema, found = parquet.schema_arrow, parquet.metadata.num_rows
            rows = min(rows, found)
            if not warned:
                first = next(parquet.iter_batches(batch_size=max(rows, 1)), None)
                return pa.Table.from_batches([] if first is None else [first], schema), found
            parts, found = list[pa.RecordBatch](), 0
            for batch in parquet.iter_batches() if WARNINGS in schema.names else ():
                part = batch.filter(pc.greater(pc.list_value_length(batch[WARNINGS]), 0))
                parts.append(part.slice(0, max(rows - found, 0)))
                found += part.num_rows
            return pa.Table.from_batches(parts, schema), found
    except pa.ArrowInvalid as error:
        raise _damaged(lake, key, error) from error


def _manifest(lake: Lake, key: str) -> Manifest:
    try:
        return parse(Manifest, lake.read(key), lake.locate(key))
    except ValidationError as error:
        raise _damaged(lake, key, error) from error


def _files(lake: Lake, pipeline: str, text: str, run_id: str) -> _Files:
    """
    Return the files of the arguments.

    Raises ParamError for a wrong pipeline or run, PartitionError for a day that is invalid or not published. The
    message has the closest names, days or runs.
    """
    published = _published_days(lake)
    days = published.get(pipeline, [])
    example = f"make show PIPELINE={pipeline or 'catalogue'} PARTITION={days[-1] if days else '2026-11-17'}"
    check_pipeline(pipeline, published=published, example=example)
    day = read_partition(text, example=example)
    manifest = _manifest(lake, layout.manifest(pipeline, day)) if day.start in days else None
    keys = set(lake.list(layout.runs_of(pipeline, day)))
    run = RunFolder(pipeline=pipeline, partition=day, run_id=run_id)
    if run_id and run.manifest in keys:
        trial = _manifest(lake, run.manifest)
        samples = run.samples if trial.samples else None
        return _Files(manifest=trial, table=run.table, rejects=run.rejects, samples=samples)
    if manifest and run_id in ("", manifest.run_id):
        others = _runs_with_rows(keys, besides=replace(run, run_id=manifest.run_id))
        table, rejects = layout.table(pipeline, day), layout.rejects(pipeline, day)
        samples = layout.samples(pipeline, day) if manifest.samples else None
        return _Files(manifest=manifest, table=table, rejects=rejects, samples=samples, others=others)
    if run_id and run.rejects in keys:
        samples = run.samples if run.samples in keys else None
        return _Files(manifest=None, table=run.table, rejects=run.rejects, samples=samples)
    if run_id:
        raise ParamError(
            "\n".join([f"Run {run_id} of {pipeline} {day} has no rows on {lake.uri}.", *_runs_with_rows(keys)])
        )
    closest = sorted(sorted(days, key=lambda other: abs(other - day.start))[:_SHOWN])
    raise PartitionError(
        "\n".join(
            [
                f"{pipeline} {day} is not published on {lake.uri}.",
                *_runs_with_rows(keys),
                f"Closest published days: {', '.join(map(str, closest)) or 'none, no day is published'}.",
                f"To publish it: make run PIPELINE={pipeline} PARTITION={day}",
            ]
        )
    )


def _runs_with_rows(keys: Collection[str], *, besides: RunFolder | None = None) -> list[str]:
    """Return a line for each of the last trials and runs with too many rejects, by their id."""
    runs = {run.prefix: run for run in map(layout.run_of, filter(layout.is_of_run, sorted(keys)))}
    lines = [
        f"RUN={run.run_id} shows {'a trial' if run.manifest in keys else 'the rejects of a failed run'}."
        for prefix, run in runs.items()
        if run.rejects in keys and not (besides and prefix == besides.prefix)
    ]
    return lines[-_SHOWN:]


def _published_days(lake: Lake) -> dict[str, list[date]]:
    """Return the published days of each pipeline, in order."""
    days: defaultdict[str, list[date]] = defaultdict(list)
    for key in filter(layout.is_manifest, lake.list("manifests/")):
        days[key.split("/")[1]].append(date.fromisoformat(key.rpartition("dt=")[2].removesuffix(".json")))
    return days


def _damaged(lake: Lake, key: str, error: Exception) -> LakeError:
    return LakeError(f"{lake.locate(key)} is damaged: {error}", retryable=False)
