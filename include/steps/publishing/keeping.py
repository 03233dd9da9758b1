"""
The best of several candidates for one row (``keep``): the table keeps it, and the other candidates become samples.

DuckDB chooses, in temporary files once its memory is full. It sees the key and the columns that the expression reads;
all other texts are copied past it, a portion of rows at a time.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from include.enrichment.answers.best import Best
from include.enrichment.answers.table import OUTCOME, REASON, SCORE, WARNINGS, Shape
from include.enrichment.errors import LoadError, SpecError
from include.enrichment.requests.row_expression import describe_error
from include.steps.files.duckdb_session import open_duckdb
from include.steps.publishing.table_files import RowGroups, TableFiles

#: DuckDB's memory limit; beyond it, it uses temporary files.
_MEMORY = "64MB"
#: How many candidates are compared at once: that memory is enough for them, however many there are in all.
_CANDIDATES_AT_ONCE = 250_000
_ROWS_AT_ONCE = 5_000
_BUFFER_BYTES = 1 << 20
#: The number of a row within its file, from 0. Columns of others never begin with an underscore, except for `_sample`.
_ROW = "_row"


def keep_best(files: TableFiles, shape: Shape, best: Best, *, folder: Path) -> TableFiles:
    """
    Write the table with the best usable candidate of each row, the rejects of the rows that have none, and the samples:
    all other candidates. All three are in source order.

    :param files: all usable candidates and all others, as write_tables() wrote them with ``shape``
    :param folder: for the new files and DuckDB's temporary ones

    Raises SpecError if the expression fails on a row. Raises LoadError if memory or disk runs out; the task may be
    tried again.
    """
    group = [field.name for field in shape.keys if field.name != best.among]
    (kept := folder / "kept").mkdir()
    found = replace(
        files,
        table=kept / "table.parquet",
        rejects=kept / "rejects.parquet",
        samples=(samples_path := kept / "samples.parquet"),
        rejected_by=Counter(),
    )
    with _errors(files, best, folder), open_duckdb(kept, memory=_MEMORY, threads=1, in_order=False) as connection:
        _score(connection, files, shape, best)
        _choose(connection, files, group, best.among)
        scored = replace(shape, scored=True)
        with (
            RowGroups(found.table, scored.table) as table,
            RowGroups(found.rejects, shape.rejects) as rejects,
            RowGroups(samples_path, scored.samples) as samples,
        ):
            for published, rejected, others in _portions(connection, files, scored):
                table.add(published)
                rejects.add(rejected)
                samples.add(others)
                found.rejected_by.update(rejected["outcome"].to_pylist())
    return found


def count_warnings(table: Path) -> Counter[str]:
    """Return the rows of a published table by the check that warns of them."""
    found: Counter[str] = Counter()
    for names in _batches(table, [WARNINGS]):
        found.update(pc.list_flatten(names[WARNINGS]).to_pylist())
    return found


def _score(connection: duckdb.DuckDBPyConnection, files: TableFiles, shape: Shape, best: Best) -> None:
    """Create the tables ``candidates``, with the score of each usable row, and ``others``, each with the key."""
    key = [field.name for field in shape.keys]
    keys = ", ".join(map(_quoted, key))
    read = list(dict.fromkeys([*key, *best.columns(pa.schema(shape.judged))]))
    connection.register("usable", _numbered(files.table, read))
    connection.execute(
        f"create table candidates as select {_ROW}, {keys}, case when not isnan({SCORE}) then {SCORE} end as {SCORE}"
        f" from (select {_ROW}, {keys}, cast((\n{best.text}\n) as double) as {SCORE} from usable)"
    )
    connection.register("unusable", _numbered(files.rejects, key))
    connection.execute(f"create table others as select {_ROW}, {keys} from unusable")


def _choose(connection: duckdb.DuckDBPyConnection, files: TableFiles, group: Sequence[str], among: str) -> None:
    """
    Create the tables ``chosen``, with each usable row's score and whether it is the best, and ``beside``, with the
    unusable rows that have a usable candidate beside them.
    """
    columns = ", ".join(map(_quoted, group))
    connection.execute(f"create table chosen ({_ROW} bigint, {SCORE} double, is_best boolean)")
    connection.execute(f"create table beside ({_ROW} bigint)")
    parts = 1 + len(files.usable) // _CANDIDATES_AT_ONCE
    for part in range(parts):
        # As parameters, both would be signed, and the division of an unsigned hash by them takes ten times as long.
        of_part = f"where hash({columns}) % {parts} = {part}"
        connection.execute(
            f"insert into chosen select {_ROW}, {SCORE}, 1 = row_number() over"
            f" (partition by {columns} order by {SCORE} desc nulls last, {_quoted(among)}) from candidates {of_part}"
        )
        connection.execute(
            f"insert into beside select {_ROW} from (select * from others {of_part})"
            f" semi join (select * from candidates {of_part}) using ({columns})"
        )


def _portions(
    connection: duckdb.DuckDBPyConnection, files: TableFiles, shape: Shape
) -> Iterator[tuple[pa.Table, pa.Table, pa.Table]]:
    """Yield the rows of the table, the rejects and the samples, a portion of the source at a time."""
    usable, unusable = _Rows(files.table), _Rows(files.rejects)
    for start in range(0, len(files.usable), _ROWS_AT_ONCE):
        is_usable = files.usable.slice(start, _ROWS_AT_ONCE).combine_chunks()
        places = pa.array(range(len(is_usable)), pa.int64())
        first, candidates = usable.next(is_usable.true_count)
        chosen = _between(connection, f"select {SCORE}, is_best from chosen", first, len(candidates))
        is_best = chosen["is_best"].combine_chunks()
        scored = _with_score(candidates, chosen[SCORE], shape)
        first, others = unusable.next(is_usable.false_count)
        beside = _between(connection, f"select {_ROW} from beside", first, len(others))
        numbers = pa.array(range(first, first + len(others)), pa.int64())
        is_beside = pc.is_in(numbers, beside[_ROW].combine_chunks())
        not_best = pc.invert(is_best)
        samples = pa.concat_tables(
            [_usable_samples(scored.filter(not_best), shape), _unusable_samples(others.filter(is_beside), shape)]
        )
        order = pa.chunked_array(
            [places.filter(is_usable).filter(not_best), places.filter(pc.invert(is_usable)).filter(is_beside)]
        )
        yield scored.filter(is_best), others.filter(pc.invert(is_beside)), samples.take(pc.sort_indices(order))


def _between(connection: duckdb.DuckDBPyConnection, select: str, first: int, rows: int) -> pa.Table:
    """The lines of a query for that many rows of a file, in their order."""
    bounds = {"first": first, "end": first + rows}
    where = f"where {_ROW} >= $first and {_ROW} < $end order by {_ROW}"
    return connection.sql(f"{select} {where}", params=bounds).to_arrow_table()


def _with_score(candidates: pa.Table, scores: pa.ChunkedArray, shape: Shape) -> pa.Table:
    columns = [scores if name == SCORE else candidates[name] for name in shape.table.names]
    return pa.Table.from_arrays(columns, schema=shape.table)


def _usable_samples(candidates: pa.Table, shape: Shape) -> pa.Table:
    outcome, reason = pa.repeat("succeeded", len(candidates)), pa.nulls(len(candidates), pa.string())
    return pa.Table.from_arrays([*candidates.columns, outcome, reason], schema=shape.samples)


def _unusable_samples(others: pa.Table, shape: Shape) -> pa.Table:
    """A column of the rejects may have the name of one of the output, which these rows do not have."""
    stored = {OUTCOME: "outcome", REASON: "reason"}
    absent = {field.name for field in (*shape.output.fields, *shape.about_answer)} | {SCORE}
    columns = [
        pa.nulls(len(others), field.type) if field.name in absent else others[stored.get(field.name, field.name)]
        for field in shape.samples
    ]
    return pa.Table.from_arrays(columns, schema=shape.samples)


class _Rows:
    """The rows of a Parquet file, some at a time."""

    def __init__(self, path: Path) -> None:
        schema = pq.read_schema(path)
        self._batches = _batches(path, schema.names)
        self._waiting = schema.empty_table()
        self._next = 0

    def next(self, count: int) -> tuple[int, pa.Table]:
        """Return the number of the next row, and that many rows from there."""
        first = self._next
        while len(self._waiting) < count:
            self._waiting = pa.concat_tables([self._waiting, pa.Table.from_batches([next(self._batches)])])
        rows, self._waiting = self._waiting.slice(0, count), self._waiting.slice(count)
        self._next += count
        return first, rows


def _numbered(path: Path, columns: Sequence[str]) -> pa.RecordBatchReader:
    """A stream of these columns, and of the number of each row."""
    schema = pq.read_schema(path)
    read = pa.schema([pa.field(_ROW, pa.int64()), *(schema.field(name) for name in columns)])

    def batches() -> Iterator[pa.RecordBatch]:
        start = 0
        for batch in _batches(path, columns):
            numbers = pa.array(range(start, start + len(batch)), pa.int64())
            yield pa.RecordBatch.from_arrays([numbers, *(batch[name] for name in columns)], schema=read)
            start += len(batch)

    return pa.RecordBatchReader.from_batches(read, batches())


def _batches(path: Path, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Without ``pre_buffer``, which would keep everything in memory until the file is closed."""
    with pq.ParquetFile(path, buffer_size=_BUFFER_BYTES, pre_buffer=False) as file:
        yield from file.iter_batches(_ROWS_AT_ONCE, columns=list(columns), use_threads=False)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


@contextmanager
def _errors(files: TableFiles, best: Best, folder: Path) -> Iterator[None]:
    try:
        yield
    except duckdb.OperationalError as error:
        free = shutil.disk_usage(folder).free / 1e6
        raise LoadError(
            f"The best of {len(files.usable):,} candidates could not be chosen: {str(error).splitlines()[0]}."
            f" {folder.parent} has {free:,.0f} MB left. Nothing was published. Clear this task once there is space, or"
            " set TMPDIR to a larger disk. Nothing is billed again.",
            retryable=True,
        ) from error
    except duckdb.Error as error:
        raise SpecError(
            f"{best.location}: fails on an answer: {describe_error(error)}. Nothing was published. Write the expression"
            " for all values, for example with try_cast, and start a new run; no answer is billed again."
        ) from error
