"""publish: rows and answers become one typed object for the partition, with the rejects beside it."""

from __future__ import annotations

import tempfile
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from include.enrichment import layout
from include.enrichment.errors import LoadError
from include.enrichment.layout import RunFolder
from include.enrichment.manifest import Manifest
from include.enrichment.spec import Pipeline
from include.enrichment.table import ANSWERS_SCHEMA, Shape, publishable, rows_schema
from include.gateways.lake import Lake
from include.gateways.ledger import Ledger
from include.gateways.results import ResultStore
from include.steps.extract import read_pipeline, read_rows


def publish(folder: RunFolder, *, lake: Lake) -> Manifest:
    """
    Replace the partition's table and rejects by what this run found, and write the manifest last.

    Every source row is in exactly one of the two. A partition without rows gives an empty object with its columns.
    Raises LoadError, and leaves the partition as it was, if more rows were rejected than the pipeline allows or the
    counts do not reconcile.
    """
    pipeline = read_pipeline(lake, folder)
    batches = _batches(lake, folder, pipeline)
    store = ResultStore(lake, pipeline=pipeline.name)
    answers = pa.concat_tables([ANSWERS_SCHEMA.empty_table(), *(store.answers(batch_id) for batch_id in batches)])
    with tempfile.TemporaryDirectory(prefix="claude-batch-") as temporary:
        rows, table, rejects = (Path(temporary) / f"{name}.parquet" for name in ("rows", "table", "rejects"))
        lake.fetch(folder.rows, rows)
        shape, rejected_by = _write(rows, answers, pipeline, table=table, rejects=rejects)
        manifest = _manifest(
            folder,
            pipeline,
            lake,
            shape,
            batches,
            rows=rows,
            table=table,
            rejected_by=rejected_by,
            requests=answers.num_rows,
        )
        _check_rejects(manifest, pipeline, folder, lake, rejects)
        lake.write_file(layout.rejects(pipeline.name, folder.partition), rejects)
        lake.write_file(layout.table(pipeline.name, folder.partition), table)
    lake.write(layout.manifest(pipeline.name, folder.partition), manifest.model_dump_json(indent=1).encode())
    return manifest


def _batches(lake: Lake, folder: RunFolder, pipeline: Pipeline) -> list[str]:
    """The batches that hold the run's requests, from the ledger."""
    ledger = Ledger(lake)
    found = []
    for key in lake.list(folder.prefix):
        if "/chunk-" not in key.removeprefix(folder.prefix):
            continue
        recorded = ledger.find(pipeline.name, layout.chunk_id_of(key))
        if recorded is None or recorded.entry.batch_id is None:
            raise LoadError(
                f"Chunk {lake.locate(key)} has no batch in the ledger. Nothing was published. Clear its `submit` task."
            )
        found.append(recorded.entry.batch_id)
    return found


def _write(
    rows: Path, answers: pa.Table, pipeline: Pipeline, *, table: Path, rejects: Path
) -> tuple[Shape, Counter[str]]:
    keys = [field for field in pq.read_schema(rows) if field.name in pipeline.settings.source.key]
    shape = Shape(keys=keys, output=pipeline.output)
    rejected_by: Counter[str] = Counter()
    needed = [name for name in rows_schema(keys).names if name != "params"]
    with (
        pq.ParquetWriter(table, shape.table, compression="zstd") as table_writer,
        pq.ParquetWriter(rejects, shape.rejects, compression="zstd") as rejects_writer,
    ):
        for published, rejected in publishable(read_rows(rows, needed), answers, shape):
            table_writer.write_table(published)
            rejects_writer.write_table(rejected)
            rejected_by.update(rejected["outcome"].to_pylist())
    return shape, rejected_by


def _manifest(
    folder: RunFolder,
    pipeline: Pipeline,
    lake: Lake,
    shape: Shape,
    batches: list[str],
    *,
    rows: Path,
    table: Path,
    rejected_by: Counter[str],
    requests: int,
) -> Manifest:
    try:
        return Manifest(
            pipeline=pipeline.name,
            partition=str(folder.partition),
            run_id=folder.run_id,
            published_at=datetime.now(UTC),
            rows=pq.read_metadata(rows).num_rows,
            requests=requests,
            published=pq.read_metadata(table).num_rows,
            rejected=rejected_by.total(),
            rejected_by=dict(rejected_by),
            batches=batches,
            model=pipeline.settings.request.model,
            columns={field.name: str(field.type) for field in shape.table},
            table=lake.locate(layout.table(pipeline.name, folder.partition)),
            rejects=lake.locate(layout.rejects(pipeline.name, folder.partition)),
        )
    except ValidationError as error:
        raise LoadError(
            f"The counts of partition {folder.partition} do not reconcile: {error}. Nothing was published."
        ) from error


def _check_rejects(manifest: Manifest, pipeline: Pipeline, folder: RunFolder, lake: Lake, rejects: Path) -> None:
    most = pipeline.settings.limits.max_reject_ratio
    if manifest.rejected <= most * manifest.rows:
        return
    lake.write_file(folder.rejects, rejects)
    kinds = ", ".join(f"{outcome}={count:,}" for outcome, count in sorted(manifest.rejected_by.items()))
    raise LoadError(
        f"{manifest.rejected:,} of {manifest.rows:,} rows of partition {folder.partition} were rejected ({kinds}),"
        " more than limits.max_reject_ratio"
        f" {most:g} allows. The table was not published and is as it was; the answers stay in the result store and are"
        " not paid again;"
        f" the rejects with their reasons are at {lake.locate(folder.rejects)}. Mend the prompt or the schema and"
        " start a new run,"
        " or raise the ratio and do the same."
    )
