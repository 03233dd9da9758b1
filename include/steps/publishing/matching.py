"""
The answer that each row gets. DuckDB chooses it from ids and outcomes alone, in temporary files once its memory is
full: texts of rows and answers never reach it, and every value does so as a parameter or in a column.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from include.enrichment.answers.repair import ESCALATED_DEPTH
from include.enrichment.batches.usage import USAGE_COLUMNS, billed_usd
from include.enrichment.cost.prices import USD
from include.enrichment.errors import LoadError
from include.steps.files.duckdb_session import open_duckdb

#: DuckDB's memory limit; beyond it, it uses temporary files. Each thread needs a share of it: with four, a million rows
#: did not fit, and two were no faster than one.
_MEMORY, _THREADS = "48MB", 1
#: How many requests are matched at once: that memory is enough for them, however many there are in all.
_REQUESTS_AT_ONCE = 250_000
_LINES_AT_ONCE = 8_192
_BUFFER_BYTES = 1 << 20

#: An answer is identified by its line: the number of its file times this, which exceeds the lines of any batch, plus
#: the number of the line within the file.
_LINES = 1_000_000
#: Merit forms the digits above the line, so that one max() finds the best answer, and of equal ones the last.
_MERIT = _LINES**2
#: More than the number of times that a request is ever repaired, and than the depth of an escalated request.
_DEPTHS = ESCALATED_DEPTH + 1
#: The merit of a usable answer is at least this.
_USABLE = 2 * _DEPTHS
#: The columns of the results that DuckDB reads.
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
create table best as
select
    request_id,
    max(merit * {_MERIT} + line) % {_MERIT} as line,
    count_if(merit >= {_USABLE}) > 1 as has_others,
    case when count(*) = count(cost_usd) then sum(cost_usd)::decimal(18, 12) end as cost_usd
from part
group by request_id
"""
_OTHERS = "create table others (position bigint, line bigint, preference bigint)"
# A table of its own: joined with the rows at once, the answers take more memory.
_BESIDE = f"""
create table beside as
select request_id, part.line, merit * {_MERIT} + part.line as preference
from part join best using (request_id)
where has_others and merit >= {_USABLE} and part.line != best.line
"""
_CHOOSE_OTHERS = "insert into others select file_row_number, line, preference from rows join beside using (request_id)"
_CHOOSE = "insert into chosen select file_row_number, line, cost_usd from rows join best using (request_id)"
_ANSWERED = "select count(distinct line) from chosen"
_UNANSWERED = """
select count(distinct request_id) from rows anti join chosen on chosen.position = rows.file_row_number
"""
_USED = f"""
select distinct line // {_LINES} as number from (from chosen select line union all from others select line)
order by number
"""
_PICKED = """
select position, line - $first as line, cost_usd, null::bigint as preference
from chosen where line >= $first and line < $end
order by line, position
"""
_PICKED_OTHERS = """
select position, line - $first as line, null::decimal(18, 12) as cost_usd, preference
from others where line >= $first and line < $end
order by line, position
"""


class Matches:
    """
    The rows of a run, each with the best answer to its request and, if asked for, the other usable ones.

    :param answered: the number of distinct requests with an answer
    :param unanswered: the number of distinct requests without one
    :param used: the numbers of the results files that hold all these answers
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        ((self.answered,),) = connection.execute(_ANSWERED).fetchall()
        ((self.unanswered,),) = connection.execute(_UNANSWERED).fetchall()
        self.used = [number for (number,) in connection.execute(_USED).fetchall()]

    def picked(self, number: int) -> pa.Table:
        """
        Return the answers chosen from one results file, in the file's order: ``position`` of the row and ``line`` of
        the answer, both from 0, and ``cost_usd``, the cost of all own answers to the request; null if a model's price
        is not known. Of rows with the same request the first bears the cost, and it is 0 for the others. Their
        ``preference`` is null.
        """
        picked = self._from(number, _PICKED)
        # Rows with the same request are adjacent, as they have the same line.
        again = pc.fill_null(pc.equal(pc.pairwise_diff(picked["line"].combine_chunks()), 0), False)
        costs = pc.if_else(again, pa.scalar(Decimal(0), USD), picked["cost_usd"])
        return picked.set_column(picked.schema.get_field_index("cost_usd"), "cost_usd", costs)

    def others(self, number: int) -> pa.Table:
        """
        Return the other usable answers in one results file in the same way: without a cost, and with ``preference``,
        which is higher for a better one.
        """
        return self._from(number, _PICKED_OTHERS)

    def _from(self, number: int, query: str) -> pa.Table:
        bounds = {"first": number * _LINES, "end": (number + 1) * _LINES}
        return self._connection.sql(query, params=bounds).to_arrow_table()


@contextmanager
def match_rows(
    rows: Path, results: Sequence[Path], repairs: pa.Table, *, own: Collection[int], folder: Path, others: bool = False
) -> Iterator[Matches]:
    """
    Match rows with answers by request_id.

    A usable answer is preferred to others, then one that was billed, then the later one. The answer to a repair counts
    as an answer to the repaired request and is preferred to the invalid one; the deepest repair wins.

    Raises LoadError, here and while the matches are in use, if memory or disk runs out; the task may be tried again.

    :param rows: a rows.parquet
    :param results: the results of the run's batches, the oldest first
    :param repairs: ``request_id``, ``repair_id`` and ``depth`` of each repair
    :param own: the places in that list of the batches that were sent for the rows' partition; the others cost nothing
    :param folder: holds all these files and the temporary ones
    :param others: find the other usable answers too: the best may fail a check of the row
    """
    count, lines = pq.read_metadata(rows).num_rows, sum(pq.read_metadata(path).num_rows for path in results)
    try:
        with (
            TemporaryDirectory(dir=folder) as priced,
            open_duckdb(folder, memory=_MEMORY, threads=_THREADS, in_order=False) as connection,
        ):
            _register(connection, rows, _write_priced(results, own, Path(priced)), repairs)
            parts = 1 + max(count, lines) // _REQUESTS_AT_ONCE
            for part in range(parts):
                _choose(connection, f"hash(request_id) % {parts} = {part}", others=others)
            yield Matches(connection)
    except duckdb.Error as error:
        free = shutil.disk_usage(folder).free / 1e6
        raise LoadError(
            f"{count:,} rows could not be matched with the answers of {len(results):,} batches:"
            f" {str(error).splitlines()[0]}. {folder.parent} has {free:,.0f} MB left; a million rows need about 1,000"
            f" MB there and {_MEMORY} of memory. Nothing was sent or published. Clear this task once there is space, or"
            " set TMPDIR to a larger disk. Nothing is billed again.",
            retryable=True,
        ) from error


def _write_priced(results: Sequence[Path], own: Collection[int], priced: Path) -> list[str]:
    """
    Write the results in _PRICED_SCHEMA, each to a file with its lines that is named by its place in the list, from 0,
    and one file without lines, which provides the columns if there is no batch. Answers that another partition paid for
    cost nothing here.
    """
    pq.write_table(_PRICED_SCHEMA.empty_table(), nothing := priced / "nothing.parquet")
    for number, path in enumerate(results):
        columns = ["request_id", *(USAGE_COLUMNS if number in own else ["outcome"])]
        with (
            pq.ParquetFile(path, buffer_size=_BUFFER_BYTES, pre_buffer=False) as file,
            pq.ParquetWriter(
                priced / f"{number}.parquet", _PRICED_SCHEMA, compression="none", use_dictionary=["outcome"]
            ) as to,
        ):
            for lines in file.iter_batches(_LINES_AT_ONCE, columns=columns, use_threads=False):
                costs = billed_usd(lines) if number in own else pa.repeat(pa.scalar(Decimal(0), USD), len(lines))
                to.write_batch(pa.record_batch([lines["request_id"], lines["outcome"], costs], schema=_PRICED_SCHEMA))
        pa.default_memory_pool().release_unused()
    return [str(nothing), *(str(priced / f"{number}.parquet") for number in range(len(results)))]


def _register(connection: duckdb.DuckDBPyConnection, rows: Path, priced: Sequence[str], repairs: pa.Table) -> None:
    connection.read_parquet(str(rows), file_row_number=True).create_view("rows")
    connection.read_parquet(list(priced), file_row_number=True, filename=True).create_view("priced")
    connection.register("repairs", repairs)
    connection.execute(_ANSWERS)
    connection.execute(_CHOSEN)
    connection.execute(_OTHERS)


def _choose(connection: duckdb.DuckDBPyConnection, of_part: str, *, others: bool) -> None:
    """
    Choose the answers of one part of the requests.

    :param of_part: the condition of the part
    """
    part = "table" if others else "view"  # what is read twice is kept, as it is matched with the repairs
    connection.execute(f"create {part} part as from answers where {of_part}")
    connection.execute(_BEST)
    connection.execute(_CHOOSE)
    if others:
        connection.execute(_BESIDE)
        connection.execute(_CHOOSE_OTHERS)
        connection.execute("drop table beside")
    connection.execute(f"drop table best; drop {part} part")
