"""
The answers that fit the schema and fail a check. DuckDB joins them with the rows in source order, in temporary files
once its memory is full, so that any number of texts can be judged.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from itertools import groupby
from operator import itemgetter
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from include.enrichment.answers.checks.checks import Checks, Verdict
from include.enrichment.answers.repair import Repair
from include.enrichment.answers.table import CHECKED
from include.enrichment.batches.prior_results import PriorResults
from include.enrichment.batches.usage import BatchFacts, oldest_first
from include.enrichment.errors import LoadError
from include.gateways.result_store import ResultStore
from include.steps.files.duckdb_session import open_duckdb

_MEMORY = "256MB"
_THREADS = 2
_ANSWERS_AT_ONCE = 5_000
_USABLE = pa.schema([("request_id", pa.string()), ("batch_id", pa.string())])
_REPAIRS = pa.schema([("repair_id", pa.string()), ("of", pa.string()), ("depth", pa.int64())])
#: The answers of a row from the best to the worst, in the order in which publish prefers them.
_JOINED = """
select rows.file_row_number as position, usable.request_id, results.output, {checked} as checked
from usable
join batches using (batch_id)
join results
    on results.request_id = usable.request_id and parse_filename(results.filename, true) = usable.batch_id
left join repairs on repairs.repair_id = usable.request_id
join rows on rows.request_id = coalesce(repairs.of, usable.request_id)
order by position, coalesce(repairs.depth, 0) desc, batches.age, results.file_row_number desc
"""


class FailedChecks:
    """
    Finds the rows of a run of whose usable answers none passes the checks, as publish will find them.

    :param rows: the run's rows, fetched. The results of each batch are fetched next to them once
    """

    def __init__(self, rows: Path, checks: Checks, store: ResultStore) -> None:
        self._rows, self._checks, self._store = rows, checks, store
        self._fetched: dict[str, BatchFacts | None] = {}
        self._checked = CHECKED if CHECKED in pq.read_schema(rows).names else "null::varchar"

    def find(
        self, found: PriorResults, repairs: Collection[Repair] = (), *, for_every_row: bool = False
    ) -> dict[str, tuple[str, str]]:
        """
        Return the best answer of each such row with the reason why it fails, by the request that it answers.

        :param found: the outcomes of requests of rows, and of repairs
        :param repairs: the repairs among these requests
        :param for_every_row: leave out the requests whose answers pass for another row

        Raises LoadError if memory or disk runs out, SpecError if an expression fails on an answer.
        """
        usable = found.table.filter(pc.equal(found.table["outcome"], "succeeded")).select(_USABLE.names).cast(_USABLE)
        failed: dict[str, tuple[str, str]] = {}
        passed: set[str] = set()
        for _, tried in groupby(self._judged(usable, repairs), key=itemgetter(0)):
            (_, request_id, output, first), *others = tried
            # Rows with the same request may fail for different reasons. The choice must not depend on their order, as
            # another reason makes another repair, which is billed again.
            if first.reason and all(verdict.reason for *_, verdict in others):
                failed[request_id] = output, min(first.reason, failed.get(request_id, (output, first.reason))[1])
            elif for_every_row:
                passed.add(request_id)
        return {request_id: answer for request_id, answer in failed.items() if request_id not in passed}

    def _judged(self, usable: pa.Table, repairs: Collection[Repair]) -> Iterator[tuple[int, str, str, Verdict]]:
        """Position of the row, request id, answer and verdict: the answers of a row together, the best first."""
        for answers in self._with_rows(usable, repairs):
            *of_answers, facts = (column.to_pylist() for column in answers.columns)
            yield from zip(*of_answers, self._checks.judge(facts, of_answers[-1]), strict=True)

    def _with_rows(self, usable: pa.Table, repairs: Collection[Repair]) -> Iterator[pa.RecordBatch]:
        if not len(usable):
            return
        results = self._fetch(pc.unique(usable["batch_id"]).to_pylist())
        lines = [{"repair_id": one.request.request_id, "of": one.of, "depth": one.depth} for one in repairs]
        try:
            with open_duckdb(self._rows.parent, memory=_MEMORY, threads=_THREADS, in_order=False) as connection:
                connection.register("usable", usable)
                connection.register("repairs", pa.Table.from_pylist(lines, _REPAIRS))
                connection.register("batches", _ages(self._fetched))
                paths = [str(path) for path in results]
                connection.read_parquet(paths, filename=True, file_row_number=True).create_view("results")
                connection.read_parquet(str(self._rows), file_row_number=True).create_view("rows")
                query = connection.sql(_JOINED.format(checked=self._checked))
                yield from query.to_arrow_reader(_ANSWERS_AT_ONCE)
        except duckdb.Error as error:
            raise LoadError(
                f"{len(usable):,} answers could not be checked: {str(error).splitlines()[0]}. Nothing was sent."
                " Clear this task once there is space, or set TMPDIR to a larger disk. Nothing is billed again.",
                retryable=True,
            ) from error

    def _fetch(self, batch_ids: Collection[str]) -> list[Path]:
        (folder := self._rows.parent / "results").mkdir(exist_ok=True)
        paths = {batch_id: folder / f"{batch_id}.parquet" for batch_id in batch_ids}
        self._fetched |= {
            batch_id: self._store.fetch(batch_id, path)
            for batch_id, path in paths.items()
            if batch_id not in self._fetched
        }
        return list(paths.values())


def _ages(fetched: Mapping[str, BatchFacts | None]) -> pa.Table:
    """The batches with their ``age``, which is higher for an older one."""
    batch_ids = list(oldest_first(fetched))
    return pa.table({"batch_id": batch_ids, "age": range(len(batch_ids), 0, -1)})
