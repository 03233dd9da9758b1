"""The shape of a pipeline's answers: JSON that fits an output schema, or text if there is none."""

from __future__ import annotations

import json
import re
import reprlib
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from include.enrichment.answers.schema import TEXT_COLUMN
from include.enrichment.answers.schema.kind import Kind
from include.enrichment.answers.schema.output_schema import OutputSchema

#: The reason of an answer that has no text, or only white space and characters without width.
NO_TEXT = "no text in the answer"
#: Characters that show nothing and are not white space to Unicode: joiners, marks of direction, soft hyphens.
_ZERO_WIDTH = "[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]+"


class Output(Protocol):
    """What an answer must be, and the columns it becomes."""

    @property
    def fields(self) -> list[pa.Field]:
        """One Arrow field per column, in the order of the published table."""

    @property
    def properties(self) -> Mapping[str, Kind]:
        """The kind of each column's values, by name."""

    def answer_in(self, texts: Sequence[str]) -> str:
        """Return the answer in the text blocks of a message, at least one."""

    def check(self, text: str) -> tuple[str, None] | tuple[None, str]:
        """Return the output in an answer, or the reason why it is unusable: exactly one of the two is None."""

    def check_json(self, text: str) -> tuple[str, None] | tuple[None, str]:
        """Return the output that a JSON text stands for, as check() does for an answer."""

    def accept(self, texts: pa.ChunkedArray) -> pa.ChunkedArray | pa.Array:
        """Return the output in each answer as check() does, null where an answer is null or unusable."""

    def values(self, outputs: Sequence[str]) -> Sequence[Mapping[str, Any]]:
        """Return ``outputs``, texts from check(), decoded: the value of each column by its name."""

    def columns(self, outputs: Sequence[str]) -> list[pa.Array]:
        """Return the columns of ``outputs``, texts from check(), in the order of ``fields``."""


class TextOutput:
    """The answer is text, whatever it says, unless it is empty or shows nothing. See Output."""

    @property
    def fields(self) -> list[pa.Field]:
        """The only column."""
        return [pa.field(TEXT_COLUMN, pa.string(), nullable=False)]

    @property
    def properties(self) -> Mapping[str, Kind]:
        """The only column is a text."""
        return {TEXT_COLUMN: Kind(type="string")}

    def answer_in(self, texts: Sequence[str]) -> str:
        """Return all texts as one: server tools may divide an answer."""
        return "".join(texts)

    def check(self, text: str) -> tuple[str, None] | tuple[None, str]:
        """Return the text unchanged, or the reason why it is unusable."""
        return (text, None) if re.sub(_ZERO_WIDTH, "", text).strip() else (None, NO_TEXT)

    def check_json(self, text: str) -> tuple[str, None] | tuple[None, str]:
        """Return the text of a JSON string, or the reason why it is unusable."""
        value = json.loads(text)
        if not isinstance(value, str):
            return None, f"without output.schema.json it must be a string, got {reprlib.repr(value)}"
        return self.check(value)

    def accept(self, texts: pa.ChunkedArray) -> pa.ChunkedArray | pa.Array:
        """Return the texts, null where one is unusable."""
        visible = pc.replace_substring_regex(texts, _ZERO_WIDTH, "")
        blank = pc.or_(pc.equal(pc.binary_length(visible), 0), pc.utf8_is_space(visible))
        return pc.if_else(blank, None, texts)

    def values(self, outputs: Sequence[str]) -> list[dict[str, Any]]:
        """Return each text by the name of the column."""
        return [{TEXT_COLUMN: text} for text in outputs]

    def columns(self, outputs: Sequence[str]) -> list[pa.Array]:
        """Return the texts as a column."""
        return [pa.array(outputs, pa.string())]


def read_output(schema_text: str | None) -> Output:
    """Return the shape that the text of output.schema.json describes; None: there is no such file."""
    return TextOutput() if schema_text is None else OutputSchema(json.loads(schema_text))


def output_config(schema_text: str | None) -> dict[str, Any]:
    """Return the members of a request's params that ask for an output schema; none for text."""
    if schema_text is None:
        return {}
    return {"output_config": {"format": {"type": "json_schema", "schema": json.loads(schema_text)}}}
