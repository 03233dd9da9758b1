"""
Which answer each row gets. DuckDB decides it, in files where its memory is not enough, from ids and outcomes alone: the
texts of rows and answers stay out of it, and every value that reaches it is bound or stands in a column.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from include.enrichment.batches.usage import BOOKED_COLUMNS, billed_usd
from include.enrichment.cost.prices import USD
from include.enrichment.errors import LoadError
from include.steps.files.duckdb_session import open_duckdb

#: What DuckDB may hold in memory before it goes on in files.
_MEMORY = "48MB"
#: Each thread needs a share of that memory, and there is little to do for more of them.
_MOST_THREADS = 4
#: Requests that are matched at once: with so many, that memory is enough, however many there are in all.
_REQUESTS_AT_ONCE = 250_000
_LINES_AT_ONCE = 8_192
_BUFFER_BYTES = 1 << 20

#: An answer is known by its line: the number of its file times this, which is more than a batch has lines, and the
#: number of the line within.
_LINES = 1_000_000
#: Merit stands before the line as its higher digits, so that one max() finds the best, and of several alike the last.
_MERIT = _LINES**2
#: No request is repaired so many times.
_DEPTHS = 1_000
#: What DuckDB sees of the results, line by line.
_PRICED_SCHEMA = pa.schema([("request_id", pa.string()), ("outcome", pa.string()), ("cost_usd", USD)])
_ANSWERS = f"""
create view answers as
select
    coalesce(repairs.request_id, priced.request_id) as request_id,
    parse_filename(priced.filename, true)::bigint * {_LINES} + priced.file_row_number as line,
    case priced.outcome when 'succeeded' then 2 when 'invalid' then 1 else 0 end * {_DEPTHS}
        + coalesce(repairs.depth, 0) as merit,
    priced.cost_usd
from priced left join repairs on repairs.repair_id = priced.request_id
"""
_CHOSEN = "create table chosen (position bigint, line bigint, cost_usd decimal(18, 12))"
_BEST = f"""
create or replace table best as
select
    request_id,
    max(merit * {_MERIT} + line) % {_MERIT} as line,
    case when count(*) = count(cost_usd) then sum(cost_usd)::decimal(18, 12) end as cost_usd
from answers where hash(request_id) % $parts = $part
group by request_id
"""
_CHOOSE = "insert into chosen select file_row_number, line, cost_usd from rows join best using (request_id)"
_ANSWERED = "select count(distinct line) from chosen"
_UNANSWERED = """
select count(distinct request_id) from rows anti join chosen on chosen.position = rows.file_row_number
"""
_USED = f"select distinct line // {_LINES} as number from chosen order by number"
_PICKED = """
select position, line - $first as line, cost_usd
from chosen where line >= $first and line < $end
order by line, position
"""


class Matches:
    """
    The rows of a run, each with the best answer to its request.

    :param answered: the rows' distinct requests that have an answer
    :param unanswered: those that have none at all
    :param used: the numbers of the results files that hold the answers
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        ((self.answered,),) = connection.execute(_ANSWERED).fetchall()
        ((self.unanswered,),) = connection.execute(_UNANSWERED).fetchall()
        self.used = [number for (number,) in connection.execute(_USED).fetchall()]

    def picked(self, number: int) -> pa.Table:
        """
        What the rows get of one results file, in the file's order: ``position`` of the row and ``line`` of the answer,
        both from 0, and ``cost_usd``, what all own answers to the request cost together; null where a model's price is
        not known. Of rows with the same request the first bears the cost, and it is 0 for the others.
        """
        bounds = {"first": number * _LINES, "end": (number + 1) * _LINES}
        picked = self._connection.sql(_PICKED, params=bounds).to_arrow_table()
        # They stand together, as an answer is that of one request.
        again = pc.fill_null(pc.equal(pc.pairwise_diff(picked["line"].combine_chunks()), 0), False)
        costs = pc.if_else(again, pa.scalar(Decimal(0), USD), picked["cost_usd"])
        return picked.set_column(picked.schema.get_field_index("cost_usd"), "cost_usd", costs)


@contextmanager
def match_rows(
    rows: Path, results: Sequence[Path], repairs: pa.Table, *, own: Collection[int], folder: Path
) -> Iterator[Matches]:
    """
    Match rows with answers by request_id.

    Of several answers to a request a usable one comes before others, one that was paid for before those that were not,
    and of several alike the last counts. The answer of a repair is one to the request that it repairs, and comes before
    the invalid one, the deepest first: it is the last word.

    Raises LoadError, here and while the matches are in use, where memory or disk is not enough; the task may be tried
    again.

    :param rows: a rows.parquet
    :param results: the results of the run's batches, the oldest first, each file named by its place in the list, from 0
    :param repairs: ``request_id`` and ``repair_id`` of each request that was made anew, and the repair's ``depth``
    :param own: the places in that list of the batches that were made for the rows' partition; the others cost nothing
    :param folder: where all these files are, and where others may be made
    """
    count, lines = pq.read_metadata(rows).num_rows, sum(pq.read_metadata(path).num_rows for path in results)
    try:
        threads = min(os.cpu_count() or 1, _MOST_THREADS)
        with open_duckdb(folder, memory=_MEMORY, threads=threads, in_order=False) as connection:
            _see(connection, rows, _priced(results, own, folder), repairs)
            parts = 1 + max(count, lines) // _REQUESTS_AT_ONCE
            for part in range(parts):
                _choose(connection, {"parts": parts, "part": part})
            yield Matches(connection)
    except duckdb.Error as error:
        free = shutil.disk_usage(folder).free / 1e6
        raise LoadError(
            f"{count:,} rows could not be matched with the answers of {len(results):,} batches:"
            f" {str(error).splitlines()[0]}. {folder.parent} has {free:,.0f} MB left, and a million rows need about"
            f" 1,000; in memory it may take {_MEMORY}. Nothing was published. Clear this task when there is room, or"
            " set TMPDIR to a larger disk: nothing is paid again.",
            retryable=True,
        ) from error


def _priced(results: Sequence[Path], own: Collection[int], folder: Path) -> list[str]:
    """
    The results in _PRICED_SCHEMA, a file for each that has its name and its lines, and one without any: that gives the
    columns where there is no batch at all. What was not paid for the rows' partition costs nothing here.
    """
    (priced := folder / "priced").mkdir()
    pq.write_table(_PRICED_SCHEMA.empty_table(), nothing := priced / "nothing.parquet")
    for number, path in enumerate(results):
        columns = ["request_id", *(BOOKED_COLUMNS if number in own else ["outcome"])]
        with (
            pq.ParquetFile(path, buffer_size=_BUFFER_BYTES, pre_buffer=False) as file,
            pq.ParquetWriter(priced / path.name, _PRICED_SCHEMA, compression="none", use_dictionary=["outcome"]) as to,
        ):
            for some in file.iter_batches(_LINES_AT_ONCE, columns=columns, use_threads=False):
                costs = billed_usd(some) if number in own else pa.repeat(pa.scalar(Decimal(0), USD), len(some))
                to.write_batch(pa.record_batch([some["request_id"], some["outcome"], costs], schema=_PRICED_SCHEMA))
        pa.default_memory_pool().release_unused()
    return [str(nothing), *(str(priced / path.name) for path in results)]


def _see(connection: duckdb.DuckDBPyConnection, rows: Path, priced: Sequence[str], repairs: pa.Table) -> None:
    connection.read_parquet(str(rows), file_row_number=True).create_view("rows")
    connection.read_parquet(list(priced), file_row_number=True, filename=True).create_view("priced")
    connection.register("repairs", repairs)
    connection.execute(_ANSWERS)
    connection.execute(_CHOSEN)


def _choose(connection: duckdb.DuckDBPyConnection, part: dict[str, int]) -> None:
    """Choose the answers of those requests whose hash leaves the remainder ``part`` when it is divided by ``parts``."""
    connection.execute(_BEST, part)
    connection.execute(_CHOOSE)
