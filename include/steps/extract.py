"""extract: read the partition's rows from the warehouse and render their requests."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from include.enrichment.answers.manifest import Manifest
from include.enrichment.answers.schema.column_names import key_problems, output_problems
from include.enrichment.answers.table import (
    CHECKED,
    SAMPLE,
    changed_types,
    key_fields,
    repeated_keys,
    row_keys,
    rows_batch,
    rows_schema,
)
from include.enrichment.errors import SpecError, WarehouseError
from include.enrichment.requests.request import Renderer, Unsendable
from include.enrichment.spec.model_capabilities import model_problems, retirement_warning, unknown_model_message
from include.enrichment.spec.pipeline import Pipeline
from include.enrichment.spec.pipeline_folder import find_warnings
from include.enrichment.storage import layout
from include.enrichment.storage.layout import RunFolder
from include.enrichment.storage.version import with_stamp
from include.gateways.conditional_writes import check_conditional_writes
from include.gateways.disk import working_folder
from include.gateways.lake import Lake
from include.gateways.prefetch import write_behind
from include.steps.files.extracted import Extracted
from include.steps.publishing.table_contract import last_manifest

if TYPE_CHECKING:  # the task that only extracts needs no SDK at run time, nor SQLAlchemy for files
    from include.enrichment.answers.checks.checks import Checks
    from include.gateways.claude import Claude
    from include.gateways.sources.parquet_files import ParquetFiles
    from include.gateways.sources.warehouse import Warehouse

log = logging.getLogger(__name__)

#: Rows are rendered, then written, in batches of at most this size.
_ROWS_AT_ONCE = 1_000
_BYTES_AT_ONCE = 16_000_000


def check_setup(pipeline: Pipeline, *, lake: Lake, claude: Claude) -> None:
    """
    Check, before anything is read, that lake and API are reachable and that the model can do what the pipeline needs.

    Logs a warning for settings that the API may reject, and for a model that retires soon. Raises SetupError, SpecError
    or ApiError. Writes and spends nothing.
    """
    for warning in find_warnings(pipeline):
        log.warning(warning)
    lake.check()
    check_conditional_writes(lake)
    settings = pipeline.settings.request
    setting = "other_models" if settings.model in settings.other_models else "model"
    where = pipeline.location(f"request.{setting}")
    today = datetime.now(UTC).date()
    model = claude.model(settings.model)
    if model is None:
        raise SpecError(
            f"{where}: the API knows no model {settings.model!r}"
            f"{unknown_model_message(settings.model, claude.model_ids(), today=today)} Nothing was read or sent."
        )
    if problems := list(model_problems(model, settings, has_schema=pipeline.schema_text is not None)):
        raise SpecError(f"{where}: {settings.model} cannot do this: {'; '.join(problems)}. Nothing was read or sent.")
    if retirement := retirement_warning(model, today=today):
        log.warning("%s: %s", where, retirement)


def extract(pipeline: Pipeline, folder: RunFolder, *, warehouse: Warehouse | ParquetFiles, lake: Lake) -> Extracted:
    """
    Read the partition, render each row once, and write the rows and the current pipeline to the run's folder.

    Rows are streamed: only a portion of them is in memory. A trial does not read the rest of them. A row that cannot be
    sent is kept with the reason and becomes a reject.

    Raises WarehouseError if there are fewer rows than ``limits.min_rows``, or if the business key is NULL, not unique
    or changed by the type of its column. Raises SpecError if a prompt does not fit the query, or the key has other
    types than on the days already published. Then nothing is written.
    """
    if pipeline.settings.request.cache == "auto":
        caching = pipeline.caching
        log.info("request.cache: auto is %s: %s", caching.cache, caching.why)
        pipeline = pipeline.with_resolved_cache()
    published = last_manifest(lake, folder.pipeline)
    extracted_at = datetime.now(UTC)
    with working_folder() as temporary:
        path = temporary / "rows.parquet"
        key, needed = list(pipeline.settings.source.key), pipeline.columns
        with warehouse.read(pipeline.query, folder.partition, key=key, needed=needed) as (columns, portions):
            renderers = [
                pipeline.renderer(columns, run_id=folder.run_id, sample=sample)
                for sample in range(1, pipeline.settings.samples + 1)
            ]
            wanted = _first(pipeline.options.rows, portions)
            first = next(wanted, [])
            if not first:
                _check_row_count(0, pipeline, folder)  # first, as without a row the key's type may be unknown
            keys = _key_fields(pipeline, columns, first[0] if first else None, published)
            rows, unsendable = _write_rows(path, chain([first], wanted), renderers, keys, pipeline.read_checks())
        _check_row_count(rows // pipeline.settings.samples, pipeline, folder)
        if not rows:
            log.warning(
                "The source has no rows for partition %s. limits.min_rows is 0, so the run continues", folder.partition
            )
        _check_keys(path)
        extracted = Extracted(rows=rows, unsendable=unsendable, extracted_at=extracted_at)
        pa.default_memory_pool().release_unused()  # the upload needs memory
        lake.write(folder.pipeline_json, pipeline.model_dump_json(indent=1).encode())
        lake.write_file(folder.rows, path)
        lake.write(folder.extract_json, extracted.model_dump_json(indent=1).encode())
    return extracted


def _first(rows: int | None, portions: Iterator[Sequence[Mapping[str, Any]]]) -> Iterator[Sequence[Mapping[str, Any]]]:
    """The portions that hold the first ``rows`` rows; all portions for None."""
    for portion in portions:
        yield portion[:rows]
        if rows is not None:
            rows -= len(portion)
            if rows <= 0:
                return


def _check_row_count(rows: int, pipeline: Pipeline, folder: RunFolder) -> None:
    """Raises WarehouseError if the source returned fewer rows than limits.min_rows."""
    least = pipeline.settings.limits.min_rows
    if rows < min(least, pipeline.options.rows or least):  # a trial stops reading before the end
        raise WarehouseError(
            f"The source has {rows:,} {'row' if rows == 1 else 'rows'} for partition {folder.partition}, but"
            f" limits.min_rows in {pipeline.name}/pipeline.yaml is {least:,}. Nothing was written or sent.\n"
            "The source may be late, so Airflow retries this task. After the last retry, clear it, or run the day"
            " again, once the rows are there.\n"
            "If the day is complete, lower limits.min_rows; with 0 a day may be empty.",
            retryable=True,
        )


def _key_fields(
    pipeline: Pipeline,
    columns: Mapping[str, pa.DataType | None],
    first_row: Mapping[str, Any] | None,
    published: Manifest | None,
) -> list[pa.Field]:
    """The typed key. Raises SpecError for a name that some readers cannot read, or for another type than before."""
    earlier = published.columns if published else {}
    keys = key_fields(pipeline.settings.source.key, first_row, described=columns, published=earlier)
    names = [field.name for field in keys]
    if facts := [fact for _, fact in (*key_problems(names), *output_problems(pipeline.output.fields, names))]:
        raise SpecError("\n".join([*(f"{pipeline.name}: {fact}" for fact in facts), "Nothing was sent."]))
    if published and (changed := changed_types(keys, earlier)):
        raise SpecError(
            f"{pipeline.name}/pipeline.yaml: source.key: {'; '.join(changed)} (dt={published.partition})."
            " Nothing was sent. All days must have the same type: cast it in extract.sql or the export, or set the"
            " published type in source.key.\nTo change the type for every day, delete the manifests below"
            f" {layout.manifests_folder(pipeline.name)} on the lake and run each day again. Answers are reused."
        )
    return keys


def _write_rows(
    path: Path,
    portions: Iterable[Sequence[Mapping[str, Any]]],
    renderers: list[Renderer],
    keys: Sequence[pa.Field],
    checks: Checks | None,
) -> tuple[int, int]:
    """Write the rows to a Parquet file. Return their number, and how many of them cannot be sent."""
    key = [field.name for field in keys]
    rows = unsendable = 0
    checked = checks if checks and checks.need_rows else None
    schema = rows_schema(keys, sampled=len(renderers) > 1, checked=checked is not None)
    rendered = (
        _render(row, renderer, key, checked) | {SAMPLE: number}
        for portion in portions
        for row in portion
        for number, renderer in enumerate(renderers, start=1)
    )
    # Texts rarely repeat: a dictionary would take time and save nothing.
    options = {"compression": "zstd", "use_dictionary": False, "write_statistics": False}
    with pq.ParquetWriter(path, with_stamp(schema), **options) as writer, write_behind() as write:
        # Rendering is Python and compressing is not, so each uses a core of its own.
        for batch in map(partial(rows_batch, schema=schema), _by_size(rendered)):
            write(writer.write_batch, batch)
            rows += batch.num_rows
            unsendable += batch.num_rows - batch["problem"].null_count
    return rows, unsendable


def _by_size(rows: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Group rows by number and by bytes of params, so that long texts do not need more memory."""
    waiting: list[dict[str, Any]] = []
    size = 0
    for row in rows:
        waiting.append(row)
        size += len(row["params"] or b"")
        if size > _BYTES_AT_ONCE or len(waiting) == _ROWS_AT_ONCE:
            yield waiting
            waiting, size = [], 0
    if waiting:
        yield waiting


def _render(row: Mapping[str, Any], renderer: Renderer, key: list[str], checks: Checks | None) -> dict[str, Any]:
    """
    The row's key with its request or problem, and with what the checks need to know of it. The other columns, which may
    hold long texts, are dropped.
    """
    rendered = {name: row[name] for name in key}
    try:
        request_id, params = renderer.encode(row)
        facts = checks.facts(row) if checks else None
    except Unsendable as error:
        return rendered | {"request_id": None, "params": None, "problem": str(error), CHECKED: None}
    except SpecError as error:
        raise SpecError(f"{error} The row: {_describe_key(row, key)}.") from error
    return rendered | {"request_id": request_id, "params": params, "problem": None, CHECKED: facts}


def _check_keys(path: Path) -> None:
    key = [field.name for field in row_keys(pq.read_schema(path))]
    repeated = repeated_keys(pq.read_table(path, columns=key))
    if repeated.num_rows:
        examples = "; ".join(
            f"{_describe_key(row, key)} ({row['count']} times)" for row in repeated.slice(0, 3).to_pylist()
        )
        raise WarehouseError(
            f"The business key ({', '.join(key)}) is not unique: {repeated.num_rows:,} keys occur more than once, for"
            f" example {examples}. Nothing was sent. Make the source return one row for each key, or add columns to"
            " source.key."
        )


def _describe_key(row: Mapping[str, Any], key: list[str]) -> str:
    return ", ".join(f"{name}={row[name]!r}" for name in key)
