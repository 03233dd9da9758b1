"""publish: rows and answers become one typed object for the partition, with the rejects beside it."""

from __future__ import annotations

import hashlib
import logging
import tempfile
from collections import Counter
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import ValidationError

from include.enrichment import layout
from include.enrichment.errors import LoadError
from include.enrichment.layout import RunFolder
from include.enrichment.manifest import Manifest
from include.enrichment.spec import Pipeline
from include.enrichment.table import Shape, best_answers, publishable, row_keys
from include.gateways.lake import Lake, Stored
from include.gateways.ledger import Ledger
from include.gateways.results import ResultStore
from include.steps.extract import Extracted, fetch_rows, read_extracted, read_pipeline, read_rows
from include.steps.plan import read_plans, read_repairs

log = logging.getLogger(__name__)

_REASON_CHARACTERS = 120


def publish(folder: RunFolder, *, lake: Lake) -> Manifest:
    """
    Replace the partition's table and rejects by what this run found, and write the manifest last.

    Every source row is in exactly one of the two. A partition without rows gives an empty object with its columns. What
    a newer extract has published is left as it is, and its manifest is returned.

    Raises LoadError, and leaves the partition as it was, if more rows were rejected than the pipeline allows or the
    counts do not reconcile; Conflict if another run published at the same moment (publish again, and all is in order).
    """
    pipeline = read_pipeline(lake, folder)
    extracted = read_extracted(lake, folder)
    manifest_key = layout.manifest(pipeline.name, folder.partition)
    stored = lake.find(manifest_key)
    published = _readable(stored)
    if published and published.run_id != folder.run_id and published.extracted_at > extracted.extracted_at:
        _log_newer(published, extracted, folder)
        return published if _is_whole(published, folder, lake) else _publish_again(published, folder, lake)
    if published and published.rows and not extracted.rows:
        raise _lost_rows(published, folder, lake)
    store = ResultStore(lake, pipeline=pipeline.name)
    with tempfile.TemporaryDirectory(prefix="claude-batch-") as temporary:
        rows, table, rejects = (Path(temporary) / f"{name}.parquet" for name in ("rows", "table", "rejects"))
        fetch_rows(lake, folder, rows)
        answers = _answers(rows, folder, pipeline, extracted, store, lake)
        shape, rejected_by = _write(rows, answers, pipeline, table=table, rejects=rejects)
        batches = {batch_id: store.sent_by(batch_id) for batch_id in sorted(set(answers["batch_id"].to_pylist()))}
        manifest = _manifest(
            folder,
            pipeline,
            lake,
            extracted,
            shape,
            batches,
            objects={"table": table, "rejects": rejects},
            rejected_by=rejected_by,
            requests=answers.num_rows,
        )
        _check_rejects(manifest, pipeline, folder, lake, rejects)
        lake.write_file(layout.rejects(pipeline.name, folder.partition), rejects)
        lake.write_file(layout.table(pipeline.name, folder.partition), table)
    data = manifest.model_dump_json(indent=1).encode()
    # Of two runs that publish at the same moment one gets a conflict here, and publishing again it writes all three
    # objects anew, its own or those of a newer run: whatever the order of their writes was, the last word is one run's.
    if stored:
        lake.replace(manifest_key, data, etag=stored.etag)
    else:
        lake.create(manifest_key, data)
    log.log(
        logging.WARNING if manifest.rejected else logging.INFO,
        "Published %s of %s rows to %s; rejects: %s",
        f"{manifest.published:,}",
        f"{manifest.rows:,}",
        manifest.table,
        manifest.rejected_by or "none",
    )
    return manifest


def _is_whole(published: Manifest, folder: RunFolder, lake: Lake) -> bool:
    """Whether table and rejects are those of the manifest, and not of a run that lost against it halfway."""
    keys = {
        "table": layout.table(folder.pipeline, folder.partition),
        "rejects": layout.rejects(folder.pipeline, folder.partition),
    }
    return all(_sha256_of(lake.find(keys[name])) == digest for name, digest in published.sha256.items())


def _sha256_of(stored: Stored | None) -> str | None:
    return hashlib.sha256(stored.data).hexdigest() if stored else None


def _publish_again(published: Manifest, folder: RunFolder, lake: Lake) -> Manifest:
    """This run has overwritten what a newer one published at the same moment: the newer one's comes back."""
    log.warning("Table or rejects are not those that run %s published: publishing it again", published.run_id)
    return publish(RunFolder(pipeline=folder.pipeline, partition=folder.partition, run_id=published.run_id), lake=lake)


def _readable(stored: Stored | None) -> Manifest | None:
    """The published manifest. One that is damaged or another version's is as good as none: it will be replaced."""
    try:
        return Manifest.model_validate_json(stored.data) if stored else None
    except ValidationError:
        return None


def _log_newer(published: Manifest, extracted: Extracted, folder: RunFolder) -> None:
    log.warning(
        "Partition %s was published by run %s, which read the warehouse at %s, after this run did (%s). It was left as"
        " it is. To publish this run's rows all the same, clear its `extract` and what follows.",
        folder.partition,
        published.run_id,
        published.extracted_at,
        extracted.extracted_at,
    )


def _lost_rows(published: Manifest, folder: RunFolder, lake: Lake) -> LoadError:
    """A source that has lost all its rows is far more often late or broken than right."""
    manifest = lake.locate(layout.manifest(folder.pipeline, folder.partition))
    return LoadError(
        f"The warehouse has no rows for partition {folder.partition}, of which run {published.run_id} published"
        f" {published.rows:,}. The table was left as it is. If the day is really empty now, delete {manifest} and"
        " clear this task; if its rows are late, clear `extract` when they are there."
    )


def _answers(
    rows: Path, folder: RunFolder, pipeline: Pipeline, extracted: Extracted, store: ResultStore, lake: Lake
) -> pa.Table:
    """
    The best answer to each of the run's requests, from the batches that its passes found or waited for.

    Raises LoadError if a batch has not been loaded or a request has no outcome at all.
    """
    plans = read_plans(lake, folder, extracted.extracted_at)
    chunks = [key for plan in plans.values() for key in plan.chunks]
    ids = [layout.chunk_id_of(key) for key in chunks]
    entries = Ledger(lake, pipeline=pipeline.name).entries(ids)
    for key, entry in zip(chunks, entries, strict=True):
        if entry is None or entry.batch_id is None:
            raise LoadError(
                f"Chunk {lake.locate(key)} has no batch in the ledger. Nothing was published. Clear its `submit` task."
            )
    found = [batch_id for plan in plans.values() for batch_id in plan.batches]
    batches = dict.fromkeys([*found, *(entry.batch_id for entry in entries if entry and entry.batch_id)])
    repairs = read_repairs(lake, folder, plans)
    requests = _request_ids(rows)
    of = pa.concat_arrays([requests, repairs["repair_id"].combine_chunks()])
    answers = best_answers([store.answers(batch_id, of=of) for batch_id in batches], repairs)
    answers = answers.filter(pc.is_in(answers["request_id"], value_set=requests))
    if unanswered := len(requests) - answers.num_rows:
        raise LoadError(
            f"{unanswered:,} of {len(requests):,} requests of partition {folder.partition} have no outcome in the"
            f" batches that this run found or waited for ({', '.join(batches) or 'none'}). Nothing was published."
            " Clear the first `plan` and what follows: it finds every answer that exists and pays for none again."
        )
    return answers


def _request_ids(rows: Path) -> pa.Array:
    """The run's distinct requests."""
    return pc.unique(pq.read_table(rows, columns=["request_id"])["request_id"]).drop_null()


def _write(
    rows: Path, answers: pa.Table, pipeline: Pipeline, *, table: Path, rejects: Path
) -> tuple[Shape, Counter[str]]:
    shape = Shape(keys=row_keys(pq.read_schema(rows)), output=pipeline.output)
    rejected_by: Counter[str] = Counter()
    needed = [name for name in pq.read_schema(rows).names if name != "params"]
    with (
        pq.ParquetWriter(table, shape.table, compression="zstd") as table_writer,
        pq.ParquetWriter(rejects, shape.rejects, compression="zstd") as rejects_writer,
    ):
        narrow_rows = read_rows(rows, needed, rows_at_once=100_000)
        for published, rejected in publishable(narrow_rows, answers, shape):
            table_writer.write_table(published)
            rejects_writer.write_table(rejected)
            rejected_by.update(rejected["outcome"].to_pylist())
    return shape, rejected_by


def _manifest(
    folder: RunFolder,
    pipeline: Pipeline,
    lake: Lake,
    extracted: Extracted,
    shape: Shape,
    batches: dict[str, str],
    *,
    objects: dict[str, Path],
    rejected_by: Counter[str],
    requests: int,
) -> Manifest:
    try:
        return Manifest(
            pipeline=pipeline.name,
            partition=str(folder.partition),
            run_id=folder.run_id,
            extracted_at=extracted.extracted_at,
            published_at=datetime.now(UTC),
            rows=extracted.rows,
            requests=requests,
            published=pq.read_metadata(objects["table"]).num_rows,
            rejected=rejected_by.total(),
            rejected_by=dict(rejected_by),
            batches=list(batches),
            reused=[batch_id for batch_id, run_id in batches.items() if run_id != folder.run_id],
            model=pipeline.settings.request.model,
            columns={field.name: str(field.type) for field in shape.table},
            table=lake.locate(layout.table(pipeline.name, folder.partition)),
            rejects=lake.locate(layout.rejects(pipeline.name, folder.partition)),
            sha256={name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in objects.items()},
        )
    except ValidationError as error:
        raise LoadError(
            f"The counts of partition {folder.partition} do not reconcile: {error}. Nothing was published."
        ) from error


def _check_rejects(manifest: Manifest, pipeline: Pipeline, folder: RunFolder, lake: Lake, rejects: Path) -> None:
    most = pipeline.settings.limits.max_reject_ratio
    if manifest.rejected <= Decimal(str(most)) * manifest.rows:
        return
    lake.write_file(folder.rejects, rejects)
    kinds = ", ".join(f"{outcome}={count:,}" for outcome, count in sorted(manifest.rejected_by.items()))
    reasons = Counter(reason[:_REASON_CHARACTERS] for reason in pq.read_table(rejects)["reason"].to_pylist())
    most_common = "; ".join(f"{reason} ({count:,})" for reason, count in reasons.most_common(3))
    raise LoadError(
        f"{manifest.rejected:,} of {manifest.rows:,} rows of partition {folder.partition} were rejected ({kinds}), and"
        f" limits.max_reject_ratio allows {most:g} of them. Most common: {most_common}."
        " The table was not published and is as it was; the answers"
        f" stay in the result store; the rejects with their reasons are at {lake.locate(folder.rejects)}."
        " invalid: mend what the reason names (prompt, schema, max_tokens, against which thinking counts too) and"
        " start a new run; changed requests are sent, and paid, anew."
        " errored, expired, canceled, missing: nothing was billed for these rows; clear the first `plan` with"
        " downstream, which asks for these rows again and for no others."
        " Or raise the ratio and start a new run, which sends nothing, to publish without the rejected rows."
    )
