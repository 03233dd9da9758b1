"""
Result lines become outcomes. Nearly all of them say the same, here is a usable answer: DuckDB reads those, beside the
Python that checks the answers. Whatever else a line says, or fails to say, is judged line by line, as all could be.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from include.enrichment.outcome import OUTCOMES_SCHEMA, USABLE_STOPS
from include.enrichment.output_schema import OutputSchema
from include.gateways.results import Part
from include.steps.duck import database

#: What DuckDB may hold in memory; a part is much smaller.
_MEMORY = "64MB"
#: A longer line is judged by itself: DuckDB keeps a buffer of twice this size for each of its threads.
_LONGEST_LINE_BYTES = 1 << 20
#: What has another type than documented is taken for what it looks like, a number for a text, say. No id and no row
#: depends on it, and an answer has to fit its schema all the same.
_RESULT = """struct(
    type varchar,
    message struct(
        model varchar,
        content struct(type varchar, text varchar)[],
        stop_reason varchar,
        usage struct(
            input_tokens bigint,
            output_tokens bigint,
            cache_read_input_tokens bigint,
            cache_creation struct(ephemeral_5m_input_tokens bigint, ephemeral_1h_input_tokens bigint)
        )
    )
)"""
_LINES = f"""
with messages as (
    select custom_id, result.type as kind, result.message.model, result.message.stop_reason, result.message.usage,
        list_filter(result.message.content, lambda block: block.type = 'text') as texts
    from read_json(
        $path,
        columns = {{custom_id: 'varchar', result: '{_RESULT}'}},
        format = 'newline_delimited',
        hive_partitioning = false,
        maximum_object_size = {_LONGEST_LINE_BYTES}
    )
)
select
    custom_id as request_id,
    case
        when kind = 'succeeded' and stop_reason in ({", ".join(f"'{reason}'" for reason in sorted(USABLE_STOPS))})
            and len(texts) = 1
        then texts[1].text
    end as text,
    coalesce(model, '') as model,
    stop_reason,
    coalesce(usage.input_tokens, 0) as input_tokens,
    coalesce(usage.cache_creation.ephemeral_5m_input_tokens, 0) as cache_write_5m_tokens,
    coalesce(usage.cache_creation.ephemeral_1h_input_tokens, 0) as cache_write_1h_tokens,
    coalesce(usage.cache_read_input_tokens, 0) as cache_read_tokens,
    coalesce(usage.output_tokens, 0) as output_tokens
from messages
"""


class Decoder:
    """Reads the lines of parts, see decoder()."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection

    def read(self, part: Part) -> Decoded:
        """The part's lines. Those that are cut, garbled or longer than usual are not read, nor are any beside them."""
        try:
            lines = self._connection.sql(_LINES, params={"path": str(part.path)}).to_arrow_table()
        except duckdb.Error:  # which line it is, and why, is told by who reads them next
            return Decoded(part=part, lines=None)
        return Decoded(part=part, lines=lines if lines.num_rows == part.lines else None)


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """
    A part, and what DuckDB read of it.

    :param lines: as _LINES gives them, in their order; None if they could not be read
    """

    part: Part
    lines: pa.Table | None

    def usable(self, schema: OutputSchema | None) -> tuple[pa.RecordBatch, Sequence[int]]:
        """
        The outcomes of the lines that hold a usable answer, in OUTCOMES_SCHEMA, and the positions in the part, from 0,
        of all the others.

        :param schema: what the answers must fit, None for free text
        """
        if self.lines is None:
            return _NOTHING, range(self.part.lines)
        outputs = _outputs(self.lines["text"], schema)
        usable = pc.and_(pc.is_valid(outputs), pc.is_valid(self.lines["request_id"]))
        found = self.lines.set_column(self.lines.schema.get_field_index("text"), "output", outputs).filter(usable)
        return _outcomes(found), pc.indices_nonzero(pc.invert(usable)).to_pylist()


def _outputs(texts: pa.ChunkedArray, schema: OutputSchema | None) -> pa.ChunkedArray | pa.Array:
    if schema is None:
        return texts
    # As bytes: taken for text they would be decoded and encoded once more.
    answers = texts.combine_chunks().view(pa.binary()).to_pylist()
    surely_fits = schema.surely_fits
    doubtful = [number for number, answer in enumerate(answers) if answer is not None and not surely_fits(answer)]
    if not doubtful:
        return texts
    outputs = texts.to_pylist()
    for number in doubtful:
        outputs[number] = schema.check(outputs[number])[0]
    return pa.array(outputs, pa.string())


def _outcomes(usable: pa.Table) -> pa.RecordBatch:
    usable = usable.append_column("outcome", pa.repeat("succeeded", usable.num_rows))
    for name in ("reason", "error_type", "text"):
        usable = usable.append_column(name, pa.nulls(usable.num_rows, pa.string()))
    (batch,) = usable.select(OUTCOMES_SCHEMA.names).cast(OUTCOMES_SCHEMA).combine_chunks().to_batches() or [_NOTHING]
    return batch


_NOTHING = pa.RecordBatch.from_arrays([pa.nulls(0, field.type) for field in OUTCOMES_SCHEMA], schema=OUTCOMES_SCHEMA)


@contextmanager
def decoder(folder: Path) -> Iterator[Decoder]:
    """
    What reads the lines of parts.

    :param folder: where the parts are; it reaches nothing else
    """
    # One thread beside the one that checks the answers.
    with database(folder, memory=_MEMORY, threads=1) as connection:
        yield Decoder(connection)
