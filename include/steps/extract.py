"""extract: read the partition's rows from their source and render their requests."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import chain, islice, product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from include.enrichment.answers.table import CHECKED, DOCUMENTS, repeated_keys, row_carried, row_keys, rows_batch
from include.enrichment.errors import SpecError, WarehouseError
from include.enrichment.requests.fan_out import FanOut
from include.enrichment.requests.request import Renderer, Unsendable
from include.enrichment.spec.pipeline import Pipeline
from include.enrichment.storage.layout import RunFolder
from include.enrichment.storage.version import with_stamp
from include.gateways.disk import working_folder
from include.gateways.lake import Lake
from include.gateways.prefetch import write_behind
from include.gateways.sources.published_table import PublishedTable
from include.steps.extracting.attaching import WITHOUT_DOCUMENTS, Part, attaching
from include.steps.extracting.typed_columns import needs_values, typed_columns
from include.steps.files.extracted import Extracted
from include.steps.publishing.table_contract import last_manifest

if TYPE_CHECKING:  # the task that only extracts needs no SDK at run time
    from include.enrichment.answers.checks.checks import Checks
    from include.gateways.documents.buckets import Buckets
    from include.gateways.sources.source import Source

log = logging.getLogger(__name__)

_Portion = Sequence[dict[str, Any]]

#: Rows are rendered, then written, in batches of at most this size.
_ROWS_AT_ONCE = 1_000
_BYTES_AT_ONCE = 16_000_000
#: A carried column without a known type gets it from this many portions: up to 1,365 rows or 24 MB.
_PORTIONS_FOR_TYPES = 6


def extract(
    pipeline: Pipeline,
    folder: RunFolder,
    *,
    source: Source,
    lake: Lake,
    buckets: Buckets | None = None,
    context_tokens: Mapping[str, int] | None = None,
    deadline: datetime | None = None,
) -> Extracted:
    """
    Read the partition, render each request of each row, and write the rows, the text of their documents and the current
    pipeline to the run's folder.

    Rows are streamed: only a portion of them is in memory. A trial does not read the rest of them. A row that cannot be
    sent is kept with the reason and becomes a reject.

    :param buckets: holds the objects of the pipeline's attachments; None: it has none
    :param context_tokens: the context window of each model, if the API reports it
    :param deadline: when the run should have its answers; None: it has no deadline

    Raises WarehouseError if there are fewer rows than ``limits.min_rows``, if the business key is NULL or not unique,
    or if a key or a carried value would be changed by the type of its column. Raises SpecError if a prompt does not fit
    the source, or if the key or a carried column has another type than on the days already published. Then nothing is
    written.
    """
    decided = {name: one.caching for name, one in pipeline.askings.items() if one.variant.request.cache == "auto"}
    for variant, caching in decided.items():
        of = f" of the variant {variant!r}" if variant else ""
        log.info("request.cache: auto%s is %s: %s", of, caching.cache, caching.why)
    if decided:
        pipeline = pipeline.with_resolved_cache()
    published = last_manifest(lake, folder.pipeline)
    extracted_at = datetime.now(UTC)
    with working_folder() as temporary:
        path = temporary / "rows.parquet"
        documents = temporary / "documents.parquet"
        key, needed = list(pipeline.settings.source.key), pipeline.columns
        with (
            source.read(folder.partition, key=key, needed=needed) as (columns, portions),
            attaching(pipeline, documents, buckets=buckets, context_tokens=context_tokens or {}) as attach,
        ):
            renderers = pipeline.renderers(columns, run_id=folder.run_id)
            wanted = _first(pipeline.options.rows, portions)
            ahead = list(islice(wanted, _PORTIONS_FOR_TYPES if needs_values(pipeline, columns, published) else 1))
            if not ahead:
                _check_row_count(0, pipeline, folder)  # first, as without a row the key's type may be unknown
            schema = typed_columns(pipeline, columns, [row for portion in ahead for row in portion], published)
            if pipeline.best:
                pipeline.best.check({field.name: field.type for field in pipeline.shape(schema).judged})
            checks = pipeline.read_checks()
            rows = attach(chain.from_iterable(chain(_emptied(ahead), wanted)))
            written = _write_rows(path, rows, pipeline.fan_out, renderers, schema, checks)
        _check_row_count(written.source_rows, pipeline, folder)
        if not written.source_rows:
            log.warning(
                "The source has no rows for partition %s. limits.min_rows is 0, so the run continues", folder.partition
            )
        if written.without_value:
            log.warning("%s rows make no requests: a list of for_each is NULL or empty", f"{written.without_value:,}")
        _check_keys(path)
        extracted = Extracted(
            source_rows=written.source_rows,
            rows=written.rows,
            unsendable=written.unsendable,
            extracted_at=extracted_at,
            source_sha256=source.sha256 if isinstance(source, PublishedTable) else None,
            deadline=deadline,
        )
        pa.default_memory_pool().release_unused()  # the upload needs memory
        lake.write(folder.pipeline_json, pipeline.model_dump_json(indent=1).encode())
        lake.write_file(folder.rows, path)
        if buckets:
            lake.write_file(folder.documents, documents)
        lake.write(folder.extract_json, extracted.model_dump_json(indent=1).encode())
    return extracted


def _first(rows: int | None, portions: Iterator[_Portion]) -> Iterator[_Portion]:
    """The portions that hold the first ``rows`` rows; all portions for None."""
    for portion in portions:
        yield portion[:rows]
        if rows is not None:
            rows -= len(portion)
            if rows <= 0:
                return


def _emptied(portions: list[_Portion]) -> Iterator[_Portion]:
    """The portions in their order, each freed once it is used."""
    while portions:
        yield portions.pop(0)


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


@dataclass(kw_only=True)
class _Written:
    """
    What _write_rows() wrote.

    :param source_rows: rows of the source
    :param without_value: rows of the source that make no request
    :param rows: rows of the file, one for each request of a row
    :param unsendable: rows of the file that cannot be sent
    """

    source_rows: int = 0
    without_value: int = 0
    rows: int = 0
    unsendable: int = 0


def _write_rows(
    path: Path,
    attached: Iterable[tuple[dict[str, Any], Sequence[Part]]],
    fan_out: FanOut,
    renderers: list[tuple[dict[str, Any], Renderer]],
    schema: pa.Schema,
    checks: Checks | None,
) -> _Written:
    """Write each row to a Parquet file, once for each of its requests."""
    added = renderers[0][0].keys()
    key = [field.name for field in row_keys(schema) if field.name not in added]
    carried = [field.name for field in row_carried(schema)]
    of_source = [*key, *carried]
    written = _Written()
    checks = checks if CHECKED in schema.names else None

    def rows() -> Iterator[dict[str, Any]]:
        for row, parts in attached:
            written.source_rows += 1
            combinations = _combinations(row, fan_out, key)
            written.without_value += not combinations
            for part, combination in product(parts, combinations):
                # Not copied: the row may hold long texts.
                row.update(part.columns)
                row.update(combination)
                for numbers, renderer in renderers:
                    of_model = part.of_model(renderer.model)
                    yield {**numbers, **_render(row, of_model, numbers, renderer, key, of_source, checks)}

    # Texts rarely repeat: a dictionary would take time and save nothing.
    options = {"compression": "zstd", "use_dictionary": False, "write_statistics": False}
    with pq.ParquetWriter(path, with_stamp(schema), **options) as writer, write_behind() as write:
        # Rendering is Python and compressing is not, so each uses a core of its own.
        for batch in map(partial(rows_batch, schema=schema), _judgeable(_by_size(rows(), carried), checks, key)):
            write(writer.write_batch, batch)
            written.rows += batch.num_rows
            written.unsendable += batch.num_rows - batch["problem"].null_count
    return written


def _combinations(row: Mapping[str, Any], fan_out: FanOut, key: list[str]) -> Sequence[Mapping[str, Any]]:
    try:
        return fan_out.combinations(row)
    except WarehouseError as error:
        of_row = [name for name in key if name in row]  # without the names of for_each
        raise WarehouseError(f"{error} The row: {_describe_key(row, of_row)}.") from error


def _judgeable(
    portions: Iterable[list[dict[str, Any]]], checks: Checks | None, key: list[str]
) -> Iterator[list[dict[str, Any]]]:
    """The rows as they come. Raises SpecError for one whose answers the checks could not judge."""
    for rows in portions:
        if checks and (found := checks.check_facts([row[CHECKED] for row in rows])):
            place, why = found
            raise SpecError(f"{why} The row: {_describe_key(rows[place], key)}.")
        yield rows


def _by_size(rows: Iterable[dict[str, Any]], carried: Sequence[str]) -> Iterator[list[dict[str, Any]]]:
    """Group rows by number and by the size of params and carried values, so that long texts do not need more memory."""
    waiting: list[dict[str, Any]] = []
    size = 0
    for row in rows:
        waiting.append(row)
        size += len(row["params"] or b"")
        if carried:
            size += sum([_size(row[name]) for name in carried])
        if size > _BYTES_AT_ONCE or len(waiting) == _ROWS_AT_ONCE:
            yield waiting
            waiting, size = [], 0
    if waiting:
        yield waiting


def _size(value: object) -> int:
    """The approximate bytes of a value that may be long."""
    if isinstance(value, list | tuple | dict):
        return len(str(value))
    return len(value) if isinstance(value, str | bytes | bytearray | memoryview) else 0


def _render(
    row: Mapping[str, Any],
    part: Part,
    numbers: Mapping[str, Any],
    renderer: Renderer,
    key: list[str],
    of_source: list[str],
    checks: Checks | None,
) -> dict[str, Any]:
    """
    The row's key and carried columns with its request or problem, and with what the checks need to know of the row. The
    other columns, which may hold long texts, are dropped.
    """
    rendered = {name: row[name] for name in of_source}
    try:
        if part.problem:
            raise Unsendable(part.problem)
        request_id, params = renderer.encode(row, part.blocks)
        facts, problem = checks.facts({**row, **numbers}) if checks else None, None
    except Unsendable as error:
        request_id, params, problem, facts = None, None, str(error), None
    except SpecError as error:
        raise SpecError(f"{error} The row: {_describe_key(row, key)}.") from error
    rendered.update(request_id=request_id, params=params, problem=problem)
    if part is not WITHOUT_DOCUMENTS:
        rendered[DOCUMENTS] = part.documents
    if checks:
        rendered[CHECKED] = facts
    return rendered


def _check_keys(path: Path) -> None:
    key = [field.name for field in row_keys(pq.read_schema(path))]
    repeated = repeated_keys(pq.read_table(path, columns=key))
    if repeated.num_rows:
        examples = "; ".join(
            f"{_describe_key(row, key)} ({row['count']} times)" for row in repeated.slice(0, 3).to_pylist()
        )
        raise WarehouseError(
            f"The key ({', '.join(key)}) is not unique: {repeated.num_rows:,} keys occur more than once, for"
            f" example {examples}. Nothing was sent. Make the source return one row for each key, or add columns to"
            " source.key."
        )


def _describe_key(row: Mapping[str, Any], key: list[str]) -> str:
    return ", ".join(f"{name}={row[name]!r}" for name in key)
