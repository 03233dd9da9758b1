"""
The answers that fit the schema and fail a check. DuckDB joins them with the rows, in temporary files once its memory is
full, so that any number of texts can be judged.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from include.enrichment.answers.checks.checks import Checks
from include.enrichment.answers.table import CHECKED
from include.enrichment.batches.prior_results import PriorResults
from include.enrichment.errors import LoadError
from include.gateways.result_store import ResultStore
from include.steps.files.duckdb_session import open_duckdb

_MEMORY = "256MB"
_THREADS = 2
_ANSWERS_AT_ONCE = 5_000
#: Arrow has no maximum of the dictionaries that prior results are.
_ANSWER = pa.schema([("request_id", pa.string()), ("batch_id", pa.string())])
#: The columns of _JOINED.
_COLUMNS = ("request_id", "row_request_id", "output", "checked")
_JOINED = """
select answered.request_id, answered.row_request_id, results.output, {checked} as checked
from answered
join results
    on results.request_id = answered.request_id and parse_filename(results.filename, true)::bigint = answered.batch
join rows on rows.request_id = answered.row_request_id
"""
#: A check that compares answers needs them in source order.
_IN_ORDER = "order by rows.file_row_number"


def find_failed(
    found: PriorResults, repaired: Mapping[str, str], rows: Path, checks: Checks, store: ResultStore
) -> dict[str, tuple[str, str]]:
    """
    Return the requests whose usable answer fails a check for any of their rows: each with the answer and the complaint.

    :param found: the outcomes of the requests
    :param repaired: the request of the row, for each request that is a repair
    :param rows: the run's rows, fetched

    Raises LoadError if memory or disk runs out, SpecError if an expression fails on an answer.
    """
    # A request rarely has several usable answers. Then publish may take another one, as it goes by the order of passes.
    usable = found.table.filter(pc.equal(found.table["outcome"], "succeeded")).select(_ANSWER.names).cast(_ANSWER)
    last = usable.group_by("request_id").aggregate([("batch_id", "max")])
    failed: dict[str, tuple[str, str]] = {}
    judge, in_order = checks.new_judge(), checks.compare_answers
    for answers in _with_rows(last["request_id"], last["batch_id_max"], repaired, rows, store, in_order=in_order):
        request_ids, of_rows, outputs, facts = (answers[name].to_pylist() for name in _COLUMNS)
        for request_id, output, verdict in zip(request_ids, outputs, judge.judge(facts, outputs, of_rows), strict=True):
            # Rows with the same request may fail for different reasons. The choice must not depend on their order, as
            # another reason makes another repair, which is billed again.
            if verdict.complaint and (request_id not in failed or verdict.complaint < failed[request_id][1]):
                failed[request_id] = output, verdict.complaint
    return failed


def _with_rows(
    request_ids: pa.ChunkedArray,
    batch_ids: pa.ChunkedArray,
    repaired: Mapping[str, str],
    rows: Path,
    store: ResultStore,
    *,
    in_order: bool,
) -> Iterator[pa.RecordBatch]:
    """
    ``request_id`` and ``output`` of each answer, once for each of its rows, with ``row_request_id``, the row's request,
    and ``checked``, its CHECKED.

    :param in_order: in the order of the rows, otherwise in any
    """
    if not len(request_ids):
        return
    of_rows = [repaired.get(request_id, request_id) for request_id in request_ids.to_pylist()]
    batches = pc.unique(batch_ids)
    answered = {
        "request_id": request_ids,
        "row_request_id": pa.array(of_rows, pa.string()),
        "batch": pc.index_in(batch_ids, value_set=batches).cast(pa.int64()),
    }
    checked = CHECKED if CHECKED in pq.read_schema(rows).names else "null::varchar"
    with tempfile.TemporaryDirectory(dir=rows.parent) as results:
        for number, batch_id in enumerate(batches.to_pylist()):
            store.fetch(batch_id, Path(results) / f"{number}.parquet")
        try:
            with open_duckdb(rows.parent, memory=_MEMORY, threads=_THREADS, in_order=False) as connection:
                connection.register("answered", pa.table(answered))
                connection.read_parquet(f"{results}/*.parquet", filename=True).create_view("results")
                connection.read_parquet(str(rows), file_row_number=True).create_view("rows")
                joined = _JOINED.format(checked=checked) + (_IN_ORDER if in_order else "")
                yield from connection.sql(joined).to_arrow_reader(_ANSWERS_AT_ONCE)
        except duckdb.Error as error:
            raise LoadError(
                f"{len(request_ids):,} answers could not be checked: {str(error).splitlines()[0]}. Nothing was sent."
                " Clear this task once there is space, or set TMPDIR to a larger disk. Nothing is billed again.",
                retryable=True,
            ) from error
