"""
Which answer each row gets. DuckDB decides it, in files where its memory is not enough, from ids and outcomes alone: the
texts of rows and answers stay out of it, and every value that reaches it is bound or stands in a column.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from include.enrichment.errors import LoadError
from include.enrichment.outcome import OUTCOMES_SCHEMA
from include.enrichment.prices import BILLED_COLUMNS, costs_usd
from include.steps.duck import database

#: What DuckDB may hold in memory before it goes on in files.
_MEMORY = "48MB"
#: Each thread needs a share of that memory, and there is little to do for more of them.
_MOST_THREADS = 4
#: Requests that are matched at once: with so many, that memory is enough, however many there are in all.
_REQUESTS_AT_ONCE = 250_000
_UNUSABLE_AT_ONCE = 5_000

#: An answer is known by its line: the number of its file times this, which is more than a batch has lines, and the
#: number of the line within.
_LINES = 1_000_000
#: Merit stands before the line as its higher digits, so that one max() finds the best, and of several alike the last.
_MERIT = _LINES**2
#: No request is repaired so many times.
_DEPTHS = 1_000
_ANSWERS = f"""
create view answers as
select
    coalesce(repairs.request_id, results.request_id) as request_id,
    parse_filename(results.filename, true)::bigint * {_LINES} + results.file_row_number as line,
    case results.outcome when 'succeeded' then 2 when 'invalid' then 1 else 0 end * {_DEPTHS}
        + coalesce(repairs.depth, 0) as merit,
    {", ".join(f"results.{name}" for name in ("outcome", *BILLED_COLUMNS))}
from results left join repairs on repairs.repair_id = results.request_id
"""
_CHOSEN = "create table chosen (position bigint, line bigint, cost_usd decimal(18, 12))"
_COSTS = "create or replace table costs (line bigint, cost_usd decimal(18, 12))"
_UNUSABLE = f"""
select line, {", ".join(BILLED_COLUMNS)} from answers semi join rows using (request_id)
where outcome = 'invalid' and hash(request_id) % $parts = $part
"""
_ADD_COSTS = "insert into costs select line, cost_usd from portion"
_SPENT = """
create or replace table spent as
select request_id, case when count(*) = count(cost_usd) then sum(cost_usd) end as cost_usd
from answers join costs using (line)
group by request_id
"""
_BEST = f"""
create or replace table best as
select request_id, max(merit * {_MERIT} + line) % {_MERIT} as line
from answers where hash(request_id) % $parts = $part
group by request_id
"""
_CHOOSE = """
insert into chosen
select file_row_number, line, case when spent.request_id is null then 0 else spent.cost_usd end
from rows join best using (request_id) left join spent using (request_id)
"""
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
        both from 0, and ``cost_usd``, what all unusable answers to the request cost together; null where a model's
        price is not known.
        """
        bounds = {"first": number * _LINES, "end": (number + 1) * _LINES}
        return self._connection.sql(_PICKED, params=bounds).to_arrow_table()


@contextmanager
def matched(rows: Path, results: Sequence[Path], repairs: pa.Table, *, folder: Path) -> Iterator[Matches]:
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
    :param folder: where all these files are, and where others may be made
    """
    count, lines = pq.read_metadata(rows).num_rows, sum(pq.read_metadata(path).num_rows for path in results)
    try:
        threads = min(os.cpu_count() or 1, _MOST_THREADS)
        with database(folder, memory=_MEMORY, threads=threads, in_order=False) as connection:
            _see(connection, rows, results, repairs, folder)
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


def _see(
    connection: duckdb.DuckDBPyConnection, rows: Path, results: Sequence[Path], repairs: pa.Table, folder: Path
) -> None:
    # Gives the columns where there is no batch at all.
    pq.write_table(OUTCOMES_SCHEMA.empty_table(), nothing := folder / "nothing.parquet")
    files = [str(path) for path in (nothing, *results)]
    connection.read_parquet(str(rows), file_row_number=True).create_view("rows")
    connection.read_parquet(files, file_row_number=True, filename=True, union_by_name=True).create_view("results")
    connection.register("repairs", repairs)
    connection.execute(_ANSWERS)
    connection.execute(_CHOSEN)


def _choose(connection: duckdb.DuckDBPyConnection, part: dict[str, int]) -> None:
    """Choose the answers of those requests whose hash leaves the remainder ``part`` when it is divided by ``parts``."""
    connection.execute(_COSTS)
    with connection.cursor() as writing:
        for portion in connection.sql(_UNUSABLE, params=part).to_arrow_reader(_UNUSABLE_AT_ONCE):
            writing.register("portion", _costs(portion))
            writing.execute(_ADD_COSTS)
    connection.execute(_SPENT)
    connection.execute(_BEST, part)
    connection.execute(_CHOOSE)


def _costs(answers: pa.RecordBatch) -> pa.RecordBatch:
    """``cost_usd`` of each of these answers, beside its ``line``."""
    return pa.record_batch({"line": answers["line"], "cost_usd": costs_usd(answers)})
