"""
The fast path for result lines that hold a usable answer, as nearly all do: Arrow reads them while Python checks the
answers of the part before. All other lines are judged one by one, as every line could be.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import json as arrow_json

from include.enrichment.answers.billed_usage import MOST_TOKENS
from include.enrichment.answers.outcome import OUTCOMES_SCHEMA, USABLE_STOPS
from include.enrichment.answers.schema.output import Output
from include.gateways.result_store import Part

_USAGE = pa.struct(
    {
        "input_tokens": pa.int64(),
        "output_tokens": pa.int64(),
        "cache_read_input_tokens": pa.int64(),
        "cache_creation_input_tokens": pa.int64(),
        "cache_creation": pa.struct({"ephemeral_5m_input_tokens": pa.int64(), "ephemeral_1h_input_tokens": pa.int64()}),
        "server_tool_use": pa.struct({"web_search_requests": pa.int64()}),
        "inference_geo": pa.string(),
        "service_tier": pa.string(),
        "iterations": pa.list_(pa.struct({"input_tokens": pa.int64()})),
    }
)
_MESSAGE = pa.struct(
    {
        "model": pa.string(),
        "content": pa.list_(pa.struct({"type": pa.string(), "text": pa.string()})),
        "stop_reason": pa.string(),
        "usage": _USAGE,
    }
)
#: The columns read. A line in which one has another type is judged on its own; a null means that it is absent.
_LINE = pa.schema({"custom_id": pa.string(), "result": pa.struct({"type": pa.string(), "message": _MESSAGE})})
_OPTIONS = arrow_json.ParseOptions(explicit_schema=_LINE, unexpected_field_behavior="ignore")
#: The path of each count in a message's usage.
_COUNTS = {
    "input_tokens": ["input_tokens"],
    "cache_write_5m_tokens": ["cache_creation", "ephemeral_5m_input_tokens"],
    "cache_write_1h_tokens": ["cache_creation", "ephemeral_1h_input_tokens"],
    "cache_read_tokens": ["cache_read_input_tokens"],
    "output_tokens": ["output_tokens"],
    "web_searches": ["server_tool_use", "web_search_requests"],
}
#: Counts that every answer has; in the others a null is a zero.
_ALWAYS_COUNTED = ("input_tokens", "output_tokens")


def decode(part: Part) -> Decoded:
    """Read the part's lines. If one is cut or garbled, none is read: judging them one by one finds which and why."""
    if not part.data.startswith(b"{"):  # a null at the very beginning crashes the reader (apache/arrow#47409)
        return Decoded(part=part, lines=None)
    whole = arrow_json.ReadOptions(use_threads=False, block_size=len(part.data))
    try:
        lines = arrow_json.read_json(pa.BufferReader(part.data), whole, _OPTIONS).combine_chunks()
        lines.validate(full=True)  # the reader does not check UTF-8
    except pa.ArrowInvalid:
        return Decoded(part=part, lines=None)
    return Decoded(part=part, lines=lines if lines.num_rows == part.lines else None)


def _flat(lines: pa.Table) -> pa.Table:
    """
    One column for each field of an outcome. ``text`` is null unless the line has exactly one whole text, a model and a
    readable usage.
    """
    result, message = (_of(lines["result"].chunk(0), name) for name in ("type", "message"))
    stop_reason, model = _of(message, "stop_reason"), _of(message, "model")
    counts = {
        name: pc.fill_null(_of(message, "usage", *path), -1 if name in _ALWAYS_COUNTED else 0)
        for name, path in _COUNTS.items()
    }
    # As an unsigned number, a negative one is very large.
    most = pc.max_element_wise(*(count.view(pa.uint64()) for count in counts.values()))
    complete = pc.and_(pc.less_equal(most, pa.scalar(MOST_TOKENS, pa.uint64())), pc.greater(pc.binary_length(model), 0))
    written = pc.add(counts["cache_write_5m_tokens"], counts["cache_write_1h_tokens"])
    said_written = pc.coalesce(_of(message, "usage", "cache_creation_input_tokens"), written)
    complete = pc.and_(complete, pc.equal(said_written, written))
    # The price of several calls depends on each.
    calls = pc.list_value_length(_of(message, "usage", "iterations"))
    complete = pc.and_(complete, pc.less_equal(pc.fill_null(calls, 0), 1))
    answered = pc.and_kleene(pc.equal(result, "succeeded"), pc.is_in(stop_reason, pa.array(sorted(USABLE_STOPS))))
    columns = {
        "request_id": lines["custom_id"],
        "text": pc.if_else(pc.and_kleene(answered, complete), _only_text(_of(message, "content")), None),
        "model": model,
        "stop_reason": stop_reason,
        "inference_geo": _of(message, "usage", "inference_geo"),
        "service_tier": _of(message, "usage", "service_tier"),
    }
    return pa.table(columns | counts)


def _of(structs: pa.Array, *path: str) -> pa.Array:
    return pc.struct_field(structs, list(path))


def _only_text(contents: pa.ListArray) -> pa.Array:
    """The text of each message's only text block; null if it has none or several. Blocks of other types are ignored."""
    blocks = contents.values
    is_text = pc.fill_null(pc.equal(_of(blocks, "type"), "text"), False)
    # The number of texts before each block: so where in them a line's texts begin and end.
    before = pa.concat_arrays([pa.array([0]), pc.cumulative_sum(is_text.cast(pa.int64()))])
    first, end = before.take(contents.offsets[:-1]), before.take(contents.offsets[1:])
    only = pc.if_else(pc.equal(pc.subtract(end, first), 1), first, None)
    return _of(blocks, "text").filter(is_text).take(only)


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """
    A part of a results file and its lines.

    :param lines: in _LINE and in their order; None if they could not be read
    """

    part: Part
    lines: pa.Table | None

    def usable(self, output: Output) -> tuple[pa.RecordBatch, Sequence[int]]:
        """
        Return the outcomes of the lines with a usable answer, in OUTCOMES_SCHEMA, and the positions of all other lines
        in the part, from 0.

        :param output: what an answer must be
        """
        if self.lines is None:
            return _NOTHING, range(self.part.lines)
        lines = _flat(self.lines)
        outputs = output.accept(lines["text"])
        usable = pc.and_(pc.is_valid(outputs), pc.is_valid(lines["request_id"]))
        found = lines.set_column(lines.schema.get_field_index("text"), "output", outputs).filter(usable)
        return _outcomes(found), pc.indices_nonzero(pc.invert(usable)).to_pylist()


def _outcomes(usable: pa.Table) -> pa.RecordBatch:
    usable = usable.append_column("outcome", pa.repeat("succeeded", usable.num_rows))
    usable = usable.append_column("upper_bound", pa.repeat(False, usable.num_rows))
    usable = usable.append_column("long_prompt", pa.nulls(usable.num_rows, pa.bool_()))
    for name in ("reason", "error_type", "text"):
        usable = usable.append_column(name, pa.nulls(usable.num_rows, pa.string()))
    (batch,) = usable.select(OUTCOMES_SCHEMA.names).cast(OUTCOMES_SCHEMA).combine_chunks().to_batches() or [_NOTHING]
    return batch


_NOTHING = pa.RecordBatch.from_arrays([pa.nulls(0, field.type) for field in OUTCOMES_SCHEMA], schema=OUTCOMES_SCHEMA)
