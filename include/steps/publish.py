"""publish: rows and answers become the partition's typed table, with the rejects next to it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from include.enrichment.answers import reject_messages
from include.enrichment.answers.manifest import Manifest
from include.enrichment.answers.table import Shape, changed_types
from include.enrichment.batches.pass_plan import PassPlan
from include.enrichment.batches.usage import BatchFacts, oldest_first
from include.enrichment.errors import LoadError
from include.enrichment.spec.pipeline import Pipeline
from include.enrichment.storage import layout
from include.enrichment.storage.layout import RunFolder
from include.enrichment.storage.version import parse
from include.gateways.disk import sha256_of, working_folder
from include.gateways.lake import Lake, ObjectMissing, Stored
from include.gateways.ledger_store import Ledger
from include.gateways.result_store import ResultStore
from include.gateways.usage_store import UsageStore
from include.steps.files.extracted import (
    Extracted,
    documents_beside,
    fetch_documents,
    fetch_rows,
    read_extracted,
    read_pipeline,
)
from include.steps.planning.plan_files import read_plans, read_repairs
from include.steps.planning.prior_rejects import tally_rejects
from include.steps.planning.select_requests import requests_for_rejects
from include.steps.publishing.checking import CheckedRows
from include.steps.publishing.escalating import write_both
from include.steps.publishing.file_deletion import delete_files
from include.steps.publishing.grounding import open_grounder
from include.steps.publishing.joining import join_rows, write_by_position
from include.steps.publishing.keeping import count_warnings, keep_best
from include.steps.publishing.matching import Matches, match_rows
from include.steps.publishing.run_cost import cost_of_run, may_warm
from include.steps.publishing.table_contract import last_manifest
from include.steps.publishing.table_files import TableFiles, write_tables

if TYPE_CHECKING:  # most pipelines have no attachments and need no SDK here
    from include.gateways.claude import Claude

log = logging.getLogger(__name__)


def publish(folder: RunFolder, *, lake: Lake, open_claude: Callable[[], Claude] | None = None) -> Manifest:
    """
    Replace the partition's table, rejects and samples by this run's, and write the manifest last.

    Every source row is in exactly one of them. Without ``keep`` there are no samples, and those of an earlier publish
    are deleted. A partition without rows becomes an empty table with its columns. If a newer extract was published, it
    stays, and its manifest is returned. A trial replaces nothing: its objects go into the run's folder, however many of
    its rows were rejected. At the end it deletes the attachments that were uploaded for this run and that no other run
    needs.

    :param open_claude: opens the API if there is a file to delete. None: files stay until they expire

    Raises LoadError, and leaves the partition as it was, if more rows were rejected than the pipeline allows, the
    counts do not reconcile or the run is a dry run. Raises Conflict if another run published at the same moment:
    publish again.
    """
    pipeline = read_pipeline(lake, folder)
    manifest = _publish(folder, pipeline, lake)
    if open_claude and pipeline.settings.attached_columns:
        delete_files(folder, lake=lake, open_claude=open_claude)
    return manifest


def _publish(folder: RunFolder, pipeline: Pipeline, lake: Lake) -> Manifest:
    if pipeline.options.dry_run:
        raise LoadError(f"Run {folder.run_id} is a dry run: it sent nothing and publishes nothing. Start a plain run.")
    extracted = read_extracted(lake, folder)
    keys = _trial_keys(folder) if pipeline.options.rows else _partition_keys(folder)
    stored = lake.find(keys["manifest"])
    published = _readable(stored, lake.locate(keys["manifest"]))
    if published and published.run_id != folder.run_id and published.extracted_at > extracted.extracted_at:
        _log_newer(published, extracted, folder)
        return published if _is_whole(published, folder, lake) else _publish_again(published, folder, lake)
    if published and published.rows and not extracted.rows:
        raise _rows_lost(published, lake.locate(keys["manifest"]))
    with working_folder() as temporary:
        manifest, files, rejected, left_out = _make_files(folder, pipeline, extracted, keys, lake, temporary=temporary)
        _write(files.paths, keys, lake)
    data = manifest.model_dump_json(indent=1).encode()
    # If two runs publish at the same moment, one gets a conflict here. When it publishes again it writes all objects
    # again, its own or the newer run's, so in the end all of them belong to one run.
    if stored:
        lake.replace(keys["manifest"], data, etag=stored.etag)
    else:
        lake.create(keys["manifest"], data)
    level = logging.WARNING if manifest.rejected else logging.INFO
    log.log(
        level, "%s", reject_messages.describe_publication(manifest, rejected, rejects=manifest.rejects, published=True)
    )
    if left_out:
        log.warning("%s", left_out)
    return manifest


def _make_files(
    folder: RunFolder,
    pipeline: Pipeline,
    extracted: Extracted,
    keys: Mapping[str, str],
    lake: Lake,
    *,
    temporary: Path,
) -> tuple[Manifest, TableFiles, reject_messages.Rejected, str]:
    """
    Write the files of the partition to the local folder. Returns their manifest, the files, a summary of the rejects
    and what a budget has left out. Raises LoadError if they must not be published.
    """
    plans = read_plans(lake, folder, extracted.extracted_at)
    batch_ids = _batch_ids(plans, folder, lake)
    left_out = _describe_left_out(list(plans.values()))
    store = ResultStore(lake, pipeline=pipeline.name)
    fetch_rows(lake, folder, rows := temporary / "rows.parquet")
    if pipeline.settings.output.evidence:
        fetch_documents(lake, folder, documents_beside(rows))
    fetched = {batch_id: temporary / f"{number}.parquet" for number, batch_id in enumerate(batch_ids)}
    known = oldest_first({batch_id: store.fetch(batch_id, path) for batch_id, path in fetched.items()})
    results = {batch_id: fetched[batch_id] for batch_id in known}
    own = {number for number, facts in enumerate(known.values()) if facts and facts.partition == str(folder.partition)}
    repairs = read_repairs(lake, folder, plans)
    shape, checks = pipeline.shape(pq.read_schema(rows)), pipeline.read_checks()
    if pipeline.options.rows is None:
        _check_types(shape, folder, lake)
    several = bool(checks) or shape.escalated
    with match_rows(rows, list(results.values()), repairs, own=own, folder=temporary, others=several) as matches:
        _check_answered(matches, folder, list(known))
        write_by_position(results, matches, folder=temporary)
    pa.default_memory_pool().release_unused()  # before the tables take some
    checked = CheckedRows(join_rows(rows, folder=temporary), checks, open_grounder(pipeline, rows))
    write = partial(write_both, repairs=repairs) if shape.escalated else write_tables
    files, warned = write(checked, shape, folder=temporary), checked.warned
    if pipeline.best:
        files = keep_best(files, shape, pipeline.best, folder=temporary)
        warned = count_warnings(files.table) if shape.warned else warned
        shape = replace(shape, scored=True)
    used = sorted(list(known)[number] for number in matches.used)
    cost_usd, synchronous_usd = cost_of_run(known.values(), folder, UsageStore(lake), warms=may_warm(pipeline))
    try:
        manifest = Manifest(
            pipeline=pipeline.name,
            partition=str(folder.partition),
            run_id=folder.run_id,
            trial=pipeline.options.rows,
            extracted_at=extracted.extracted_at,
            published_at=datetime.now(UTC),
            deadline=extracted.deadline,
            rows=extracted.rows,
            source_rows=extracted.source_rows,
            source_sha256=extracted.source_sha256,
            requests=matches.answered,
            published=files.published,
            rejected=files.rejected_by.total(),
            not_kept=files.not_kept,
            escalated=files.escalated,
            rejected_by=dict(files.rejected_by),
            failed_checks=dict(checked.failed),
            warned_checks=dict(warned),
            batches=used,
            reused=[batch_id for batch_id in used if not _was_sent_by(folder, known[batch_id])],
            sent=sum(pq.read_metadata(results[one]).num_rows for one in known if _was_sent_by(folder, known[one])),
            cost_usd=cost_usd,
            synchronous_cost_usd=synchronous_usd,
            partition_cost_usd=files.cost_usd,
            estimates={name: plan.estimate for name, plan in plans.items() if plan.estimate},
            model=pipeline.models,
            columns={field.name: str(field.type) for field in shape.table},
            table=lake.locate(keys["table"]),
            rejects=lake.locate(keys["rejects"]),
            samples=lake.locate(keys["samples"]) if files.samples else None,
            sha256=files.sha256,
        )
    except ValidationError as error:
        raise LoadError(
            f"The counts of partition {folder.partition} do not reconcile: {error}. Nothing was published."
        ) from error
    rejected, unbilled = tally_rejects(files.rejects, [field.name for field in shape.keys])
    most = pipeline.settings.limits.max_reject_ratio
    if manifest.trial is None and manifest.rejected > Decimal(str(most)) * manifest.rows:
        _write({name: path for name, path in files.paths.items() if name != "table"}, _trial_keys(folder), lake)
        where = lake.locate(folder.rejects)
        log.error("%s", reject_messages.describe_publication(manifest, rejected, rejects=where, published=False))
        again = requests_for_rejects(files.rejects, rows, pipeline, lake)
        raise LoadError(
            reject_messages.describe_too_many(
                manifest,
                rejected,
                again=again,
                unbilled=unbilled,
                retry_passes=pipeline.settings.limits.retry_passes,
                most=most,
                rejects=where,
                left_out=left_out,
            )
        )
    return manifest, files, rejected, left_out


def _was_sent_by(folder: RunFolder, facts: BatchFacts | None) -> bool:
    return facts is not None and facts.run_id == folder.run_id


def _check_types(shape: Shape, folder: RunFolder, lake: Lake) -> None:
    """Check again what extract checked: another day may have been published since."""
    published = last_manifest(lake, folder.pipeline)
    if published and (changed := changed_types(shape.source, published.columns)):
        raise LoadError(
            f"The source's columns in run {folder.run_id}: {'; '.join(changed)} (dt={published.partition}). All days"
            " must have the same types, so nothing was published. Clear the run's `extract` with downstream: it reads"
            " the rows again, and no answer is billed again."
        )


def _partition_keys(folder: RunFolder) -> dict[str, str]:
    """Where the partition's table, rejects, samples and manifest lie."""
    return {
        "table": layout.table(folder.pipeline, folder.partition),
        "rejects": layout.rejects(folder.pipeline, folder.partition),
        "samples": layout.samples(folder.pipeline, folder.partition),
        "manifest": layout.manifest(folder.pipeline, folder.partition),
    }


def _trial_keys(folder: RunFolder) -> dict[str, str]:
    """Where a trial's table, rejects, samples and manifest lie."""
    return {"table": folder.table, "rejects": folder.rejects, "samples": folder.samples, "manifest": folder.manifest}


def _write(files: Mapping[str, Path], keys: Mapping[str, str], lake: Lake) -> None:
    """
    Write the files to their places. Without samples, those of an earlier publish are deleted. All of this happens
    before the manifest is written, so that nothing is left to do once it exists.
    """
    if "samples" not in files:
        listed = lake.objects(f"{keys['samples'].rpartition('/')[0]}/")
        for stale in (each for each in listed if each.key == keys["samples"]):
            lake.delete(stale)
    for name, path in files.items():
        lake.write_file(keys[name], path)


def _is_whole(published: Manifest, folder: RunFolder, lake: Lake) -> bool:
    """Whether the objects are those of the manifest, not those of a run that got the conflict."""
    keys = _partition_keys(folder)
    if published.samples is None and lake.exists(keys["samples"]):
        return False
    with working_folder() as temporary:
        try:
            for name in published.sha256:
                lake.fetch(keys[name], temporary / name)
        except ObjectMissing:
            return False
        return all(sha256_of(temporary / name) == digest for name, digest in published.sha256.items())


def _publish_again(published: Manifest, folder: RunFolder, lake: Lake) -> Manifest:
    """Restore the objects of a newer run, which this run has overwritten at the same moment."""
    log.warning("The objects are not those that run %s published: publishing that run again", published.run_id)
    return publish(RunFolder(pipeline=folder.pipeline, partition=folder.partition, run_id=published.run_id), lake=lake)


def _readable(stored: Stored | None, name: str) -> Manifest | None:
    """The published manifest; None for a damaged one, which will be replaced."""
    try:
        return parse(Manifest, stored.data, name) if stored else None
    except ValidationError:
        return None


def _log_newer(published: Manifest, extracted: Extracted, folder: RunFolder) -> None:
    log.warning(
        "Partition %s was published by run %s, which read the warehouse at %s, later than this run (%s). It stays as it"
        " is. To publish this run's rows, clear its `extract` with downstream.",
        folder.partition,
        published.run_id,
        published.extracted_at,
        extracted.extracted_at,
    )


def _rows_lost(published: Manifest, manifest: str) -> LoadError:
    """A source that has lost all its rows is usually late or broken."""
    return LoadError(
        f"The warehouse has no rows for partition {published.partition}, but run {published.run_id} published"
        f" {published.rows:,} rows of it. The table stays as it is. If the rows are late, clear `extract` once they are"
        f" there. If the day is really empty now, delete {manifest} and clear this task."
    )


def _batch_ids(plans: Mapping[str, PassPlan], folder: RunFolder, lake: Lake) -> list[str]:
    """
    The batches that the run's passes found or waited for, in that order.

    A chunk that another run took over, or was to send and did not, has no batch. Raises LoadError if a chunk that this
    run has to send has none.
    """
    chunks = [key for plan in plans.values() for key in plan.chunks]
    ledger = Ledger(lake, pipeline=folder.pipeline)
    entries = ledger.latest([layout.chunk_id_of(key) for key in chunks])
    opened = ledger.open_chunks()
    for key, entry in zip(chunks, entries, strict=True):
        chunk = opened.get(entry.chunk_id if entry else layout.chunk_id_of(key))
        unsent = entry is None or (entry.batch_id is None and entry.state != "withdrawn")
        if unsent and chunk and folder.prefix in chunk.planned_by:
            raise LoadError(
                f"Chunk {lake.locate(key)} has no batch in the ledger. Nothing was published. Clear its `submit` task."
            )
    found = [batch_id for plan in plans.values() for batch_id in plan.batches]
    return list(dict.fromkeys([*found, *(entry.batch_id for entry in entries if entry and entry.batch_id)]))


def _check_answered(matches: Matches, folder: RunFolder, batch_ids: Sequence[str]) -> None:
    if matches.unanswered:
        requests = matches.answered + matches.unanswered
        raise LoadError(
            f"{matches.unanswered:,} of {requests:,} requests of partition {folder.partition} have no outcome"
            f" in the batches that this run found or waited for ({', '.join(batch_ids) or 'none'}). Nothing was"
            " published. Clear the first `plan` with downstream: it finds every answer that exists, and no answer is"
            " billed again."
        )


def _describe_left_out(plans: Sequence[PassPlan]) -> str:
    """
    What a budget kept the last pass from sending; empty if nothing. The last pass plans all that is still unanswered.
    """
    if not plans or not plans[-1].left_out:
        return ""
    return (
        f"{plans[-1].left_out:,} requests were not sent again because of a budget; the log of the retry pass's `plan`"
        " names it. To send them, raise it and start a new run, or clear `extract` with downstream."
    )
