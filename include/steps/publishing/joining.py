"""
Rows and their answers side by side, in source order. A batch's answers come in any order: each is written to the file
of the portion of rows that it belongs to, and then the portions are read one after the other.

Parquet files are read without ``pre_buffer``, which would keep everything in memory until the file is closed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from include.enrichment.answers.table import ANSWERED_SCHEMA
from include.steps.publishing.matching import Matches

#: The names of the files of the answers that the rows would get, and of the other usable ones.
_CHOSEN, _OTHERS = "portion", "others"
#: How many rows are in memory with their answers at the same time.
_PORTION_ROWS = 5_000
_LINES_AT_ONCE = 8_192
_BUFFER_BYTES = 1 << 20
#: The columns read from a results file, by the name that each has next to the row.
_READ = {"_request_id": "request_id", "_model": "model"} | {
    name: name for name in ("outcome", "output", "reason", "text")
}
_PLACED_SCHEMA = pa.schema([*ANSWERED_SCHEMA, pa.field("position", pa.int64()), pa.field("preference", pa.int64())])


def write_by_position(results: Mapping[str, Path], matches: Matches, *, folder: Path) -> None:
    """
    Write each chosen answer, and each other usable one, to the file of the portion of rows that it belongs to.

    :param results: the batches' results by batch id, in the order in which they were matched
    """
    batch_ids = list(results)
    for number in matches.used:
        for kind, picked in ((_CHOSEN, matches.picked(number)), (_OTHERS, matches.others(number))):
            if len(picked):
                for answers in _picked(results[batch_ids[number]], picked, batch_ids[number]):
                    _add(answers, folder, kind)
        pa.default_memory_pool().release_unused()


def join_rows(rows: Path, *, folder: Path) -> Iterator[tuple[pa.Table, pa.Table, pa.Table]]:
    """
    Yield the rows without their params, their answers in ANSWERED_SCHEMA, and the other usable answers, one portion at
    a time. A row without a request has nulls. Each other answer has the ``place`` of its row in the portion; those of
    the same row are together, the best first, and have no cost.

    :param folder: where write_by_position() has written the answers; they are deleted once they are read
    """
    start = 0
    for portion in _portions(rows):
        answers, others = (_placed(start // _PORTION_ROWS, folder, kind) for kind in (_CHOSEN, _OTHERS))
        positions = pa.array(range(start, start + len(portion)), pa.int64())
        places = pc.index_in(positions, value_set=answers["position"].combine_chunks())
        yield portion, answers.select(ANSWERED_SCHEMA.names).take(places), _best_first(others, start)
        start += len(portion)


def _best_first(others: pa.Table, start: int) -> pa.Table:
    """
    :param start: the position of the portion's first row
    """
    others = others.sort_by([("position", "ascending"), ("preference", "descending")])
    return others.select(ANSWERED_SCHEMA.names).append_column("place", pc.subtract(others["position"], start))


def _picked(path: Path, picked: pa.Table, batch_id: str) -> Iterator[pa.Table]:
    """The chosen answers of one results file, in the file's order."""
    start = 0
    with pq.ParquetFile(path, buffer_size=_BUFFER_BYTES, pre_buffer=False) as file:
        for batch in file.iter_batches(_LINES_AT_ONCE, columns=list(_READ.values()), use_threads=False):
            here = picked.filter(_within(picked["line"], range(start, start + len(batch))))
            lines = batch.take(pc.subtract(here["line"], start).combine_chunks())
            columns = {name: lines[stored] for name, stored in _READ.items()} | {
                "_batch_id": pa.repeat(batch_id, len(here)),
                "_cost_usd": here["cost_usd"],
                "position": here["position"],
                "preference": here["preference"],
            }
            yield pa.table(columns, schema=_PLACED_SCHEMA)
            start += len(batch)


def _within(numbers: pa.ChunkedArray, bounds: range) -> pa.ChunkedArray:
    return pc.and_(pc.greater_equal(numbers, bounds.start), pc.less(numbers, bounds.stop))


def _file(portion: int, folder: Path, kind: str) -> str:
    return str(folder / f"{kind}-{portion}.arrow")


def _add(answers: pa.Table, folder: Path, kind: str) -> None:
    """Append answers to the files of their portions. Each append is a stream of its own, so no file stays open."""
    portions = pc.divide(answers["position"], _PORTION_ROWS)
    for portion in pc.unique(portions).to_pylist():
        with (
            pa.OSFile(_file(portion, folder, kind), "ab") as file,
            pa.ipc.new_stream(file, _PLACED_SCHEMA) as stream,
        ):
            stream.write_table(answers.filter(pc.equal(portions, portion)))


def _placed(portion: int, folder: Path, kind: str) -> pa.Table:
    """The answers of a portion, in any order; none if no row of it has any."""
    path = Path(_file(portion, folder, kind))
    tables = [_PLACED_SCHEMA.empty_table()]
    if path.exists():
        size = path.stat().st_size
        with pa.OSFile(str(path)) as file:
            while file.tell() < size:
                tables.append(pa.ipc.open_stream(file).read_all())
        path.unlink()
    return pa.concat_tables(tables).combine_chunks()


def _portions(rows: Path) -> Iterator[pa.Table]:
    """The rows without their params, _PORTION_ROWS at a time."""
    with pq.ParquetFile(rows, buffer_size=_BUFFER_BYTES, pre_buffer=False) as file:
        narrow = [name for name in file.schema_arrow.names if name != "params"]
        waiting = file.schema_arrow.empty_table().select(narrow)
        for batch in file.iter_batches(_PORTION_ROWS, columns=narrow, use_threads=False):
            waiting = pa.concat_tables([waiting, pa.Table.from_batches([batch])])
            while len(waiting) >= _PORTION_ROWS:
                yield waiting.slice(0, _PORTION_ROWS)
                waiting = waiting.slice(_PORTION_ROWS)
        if len(waiting):
            yield waiting
