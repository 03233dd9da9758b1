"""output.py: an answer is JSON that fits a schema, or text."""

from __future__ import annotations

import json
import sys

import pyarrow as pa
import pytest

from include.enrichment.answers.schema.output import TextOutput, output_config, read_output
from include.enrichment.answers.schema.output_schema import OutputSchema
from tests.fixtures.schemas import object_schema

TEXTS = ["Dear you", " Dear you\n", "0", "\x00", "{}", "a\u200bb", "😀", "👩\u200d👧", "null"]
BLANK = ["", " ", "\n\n", "\t\r\n ", "\u00a0\u2003\u3000\u2028\x1c", "\u200b", "\ufeff \u2060\u00ad\n"]


@pytest.mark.parametrize("text", TEXTS)
def test_any_text_is_an_output_unchanged(text: str) -> None:
    assert TextOutput().check(text) == (text, None)


@pytest.mark.parametrize("text", BLANK)
def test_no_text_and_only_what_shows_nothing_are_unusable(text: str) -> None:
    assert TextOutput().check(text) == (None, "no text in the answer")


def test_many_texts_are_accepted_as_each_one_alone() -> None:
    # All of planes 0 and 1 and the tags of plane 14, where whatever shows nothing is, and some of the rest.
    codes = [*range(0x20000), *range(0xE0000, 0xE1000), *range(0x20000, sys.maxunicode + 1, 251)]
    every = [chr(code) for code in codes if not 0xD800 <= code < 0xE000]
    texts = [*every, *TEXTS, *BLANK, None]
    accepted = TextOutput().accept(pa.chunked_array([texts, []], pa.string())).to_pylist()
    assert accepted == [None if text is None else TextOutput().check(text)[0] for text in texts]


def test_the_column_holds_the_texts_and_no_null() -> None:
    (field,) = TextOutput().fields
    (column,) = TextOutput().columns(TEXTS)
    assert pa.table([column], schema=pa.schema([field]))["text"].to_pylist() == TEXTS
    assert not field.nullable


def test_without_a_schema_nothing_is_asked_of_the_api() -> None:
    assert isinstance(read_output(None), TextOutput)
    assert output_config(None) == {}


def test_a_schema_is_asked_of_the_api() -> None:
    schema = object_schema(a={"type": "integer"})
    assert isinstance(read_output(json.dumps(schema)), OutputSchema)
    assert output_config(json.dumps(schema)) == {"output_config": {"format": {"type": "json_schema", "schema": schema}}}
