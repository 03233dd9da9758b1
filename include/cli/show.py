"""`make show`: print the published rows of a day, its rejects, samples or documents, or those of a run, as a table."""

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
from include.cli.output.document_rows import document_rows
from include.cli.output.evidence_rows import evidence_rows
from include.cli.output.published_day import with_lake
from include.cli.output.rows_table import Lines, heading, rows_table
from include.cli.output.transcripts import row_transcripts
from include.enrichment.answers.evidence.quote import EVIDENCE
from include.enrichment.answers.manifest import Manifest
from include.enrichment.answers.table import WARNINGS, row_keys
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
from include.steps.files.document_file import read_sent

#: The number of days and of runs in a message.
_SHOWN = 3
#: What is shown, as people read it.
_ROWS, _WARNED, _REJECTS, _SAMPLES, _DOCUMENTS = "rows", "rows with warnings", "rejects", "samples", "documents"


@dataclass(frozen=True, kw_only=True)
class _Files:
    """
    What there is to show.

    :param run: whose rows they are
    :param working: the keys of the working files of all runs of the day
    :param manifest: None for a run that published nothing, which has no table
    :param samples: None if no answer was left over by ``keep``
    :param others: a line for each other run of the day with rows to show
    """

    run: RunFolder
    working: Collection[str]
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
    documents: bool,
    transcript: str,
    run: str,
    rows: int,
) -> int:
    """
    Print the first published rows of a partition, its first rejects, samples or documents. Returns an exit status, see
    with_lake().

    :param warned: only the rows that a check warns of
    :param samples: the answers that ``keep`` did not keep
    :param evidence: instead of the rows, the quotes behind their values
    :param documents: instead of the rows, how each document was sent
    :param transcript: instead of the rows, what the agent did for this one: its first key column, or its request; empty
        for the rows
    :param run: the id of a run whose trial or rejects to print instead; empty for the partition
    :param rows: the maximum number of rows, 1 or more
    """

    def work(lake: Lake) -> None:
        if rows < 1:
            raise ParamError(f"ROWS is {rows}. It must be a whole number, 1 or more.")
        files = _files(lake, pipeline, partition, run, documents=documents)
        if transcript:
            say(row_transcripts(lake, pipeline, transcript, [files.table, files.rejects]))
            return
        failed = files.manifest is None
        kind = _kind(rejects=rejects, warned=warned, samples=samples, documents=documents, failed=failed)
        if evidence and kind in (_REJECTS, _DOCUMENTS):
            what = f"EVIDENCE=1 shows the quotes of published rows, and {kind} have none"
            raise ParamError(f"{what}. Leave out one of them.")
        lines: Lines | None = "documents" if documents else "evidence" if evidence else None
        if documents:
            first, found = _first_documents(lake, files, rows)
        else:
            key = {_REJECTS: files.rejects, _SAMPLES: files.samples}.get(kind, files.table)
            first, found = _first_rows(lake, key, rows, warned=warned) if key else (pa.table({}), 0)
        first = _quotes(first) if evidence else first
        say(heading(files.manifest) if files.manifest else f"Run {run} of {pipeline} {partition} published nothing.\n")
        if files.manifest and files.manifest.trial is None:
            _say_spent(lake, files.manifest)
        if found:
            say(rows_table(first, rejects=kind == _REJECTS, lines=lines))
        shown = [f"{min(rows, found):,} of {found:,} {kind}" if found else f"No {kind}"]
        shown += ["ROWS=… shows more"] if rows < found else []
        shown += _offers(files) if kind == _ROWS and not lines else []
        say("\n".join([f"{'; '.join(shown)}{'' if found else '.'}", *files.others]))

    try:
        return with_lake(folder, work)
    except BrokenPipeError:  # `make show … | head` has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes what is left when it exits
        return 0


def _quotes(rows: pa.Table) -> pa.Table:
    """Return the evidence of the rows. Raises ParamError if they have none."""
    if EVIDENCE not in rows.column_names:
        raise ParamError("These rows have no evidence: set output.evidence: true in pipeline.yaml and start a new run.")
    return evidence_rows(rows)


def _kind(*, rejects: bool, warned: bool, samples: bool, documents: bool, failed: bool) -> str:
    """
    Return what to show. Raises ParamError if that is of several kinds, or the run has none of that kind.

    :param failed: the run failed to publish
    """
    if rejects + warned + samples + documents > 1:
        raise ParamError("REJECTS=1, WARNED=1, SAMPLES=1 and DOCUMENTS=1 show different things. Choose one of them.")
    if warned and failed:
        raise ParamError("WARNED=1 shows published rows. Leave out the RUN of a failed run.")
    if documents:
        return _DOCUMENTS
    if samples:
        return _SAMPLES
    if rejects or failed:
        return _REJECTS
    return _WARNED if warned else _ROWS


def _offers(files: _Files) -> list[str]:
    """Return what else there is to show besides the published rows."""
    manifest = files.manifest
    assert manifest  # only such a run has published rows
    offers = {
        "WARNED=1 shows the rows with warnings": manifest.warned_checks,
        "REJECTS=1 shows the rejects": manifest.rejected,
        "SAMPLES=1 shows the answers that were not kept": manifest.not_kept or manifest.escalated,
        "EVIDENCE=1 shows the quotes behind the values": EVIDENCE in manifest.columns,
        "DOCUMENTS=1 shows how each document was sent": files.run.documents in files.working,
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


def _first_documents(lake: Lake, files: _Files, number: int) -> tuple[pa.Table, int]:
    """Return the lines of the first documents of the run, and how many there are. Raises ParamError if it has none."""
    run = files.run
    name = f"{run.run_id} of {run.pipeline} {run.partition}"
    if run.extract_json not in files.working:
        raise ParamError(
            f"The files of run {name} are no longer on {lake.uri}: make clean-lake deletes those of old runs. Its table"
            " and rejects are still there.\nA dry run tells how the documents would be sent now:"
            f" DRY_RUN=1 make run PIPELINE={run.pipeline} PARTITION={run.partition}, then DOCUMENTS=1 with its RUN."
        )
    if run.documents not in files.working:
        raise ParamError(f"Run {name} has no documents: its pipeline.yaml has no attachments.")
    key = run.documents
    try:
        with lake.open(key) as file:
            sent = read_sent(file, lake.locate(key))
        key = run.rows
        with lake.open(key) as file:
            rejected = _not_sent(pq.ParquetFile(file))
    except pa.ArrowInvalid as error:
        raise _damaged(lake, key, error) from error
    lines = document_rows(sent, rejected)
    return lines.slice(0, number), lines.num_rows


def _not_sent(rows: pq.ParquetFile) -> list[tuple[str, str]]:
    """Return the name, or else the key, and the problem of each row of a rows.parquet that has no request."""
    schema = rows.schema_arrow
    name = "name" if "name" in schema.names else row_keys(schema)[0].name
    found = list[tuple[str, str]]()
    for batch in rows.iter_batches(columns=[name, "problem"]):
        problems = batch.filter(pc.is_valid(batch["problem"]))
        found += zip(map(str, problems[name].to_pylist()), problems["problem"].to_pylist(), strict=True)
    return found


def _manifest(lake: Lake, key: str) -> Manifest:
    try:
        return parse(Manifest, lake.read(key), lake.locate(key))
    except ValidationError as error:
        raise _damaged(lake, key, error) from error


def _files(lake: Lake, pipeline: str, text: str, run_id: str, *, documents: bool) -> _Files:
    """
    Return the files of the arguments.

    Raises ParamError for a wrong pipeline or run, PartitionError for a day that is invalid or not published. The
    message has the closest names, days or runs.

    :param documents: only they are to be shown, so the run needs no rows: it may be a dry run
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
        return _Files(run=run, working=keys, manifest=trial, table=run.table, rejects=run.rejects, samples=samples)
    if manifest and run_id in ("", manifest.run_id):
        run = replace(run, run_id=manifest.run_id)
        others = _runs_with_rows(keys, besides=run)
        table, rejects = layout.table(pipeline, day), layout.rejects(pipeline, day)
        samples = layout.samples(pipeline, day) if manifest.samples else None
        return _Files(
            run=run,
            working=keys,
            manifest=manifest,
            table=table,
            rejects=rejects,
            samples=samples,
            others=others,
        )
    if run_id and (run.rejects in keys or (documents and run.extract_json in keys)):
        samples = run.samples if run.samples in keys else None
        return _Files(run=run, working=keys, manifest=None, table=run.table, rejects=run.rejects, samples=samples)
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
