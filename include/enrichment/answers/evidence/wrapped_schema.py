"""
The schema that asks for evidence beside the values. One structured request gives both: the API's own citations exclude
structured outputs (its documentation of citations, 2026-11).
"""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

from include.enrichment.answers.schema.json_schema import References, Schema, pointer, walk

#: The properties of a wrapped answer: the author's output, and the quotes.
_DATA, _QUOTES = "data", "evidence"
_DEFINITIONS = ("$defs", "definitions")
#: What stands at the root of the wrapped schema too, so that references to it stay as they are.
_HOISTED = tuple((name,) for name in _DEFINITIONS)
#: Their wording is part of every request id: a change bills the rows of such pipelines again.
_QUOTES_SCHEMA: Schema = {
    "type": "array",
    "description": "Where each value of data stands in the documents: one entry for each value that is not null or"
    " empty, also for each value within lists and objects.",
    "items": {
        "type": "object",
        "properties": {
            "field": {
                "type": "string",
                "description": "The path of the value within data, list positions from 0: total, or"
                " line_items[2].amount.",
            },
            "page": {
                "type": "integer",
                "description": "The page that the quote stands on. Count the pages of the document from 1, unless they"
                " are marked with numbers. 1 for an image or a document without pages.",
            },
            "quote": {
                "type": "string",
                "description": "The words of the document that state the value, copied exactly: short, in one piece,"
                " neither translated nor reformatted.",
            },
        },
        "required": ["field", "page", "quote"],
        "additionalProperties": False,
    },
}


def wrap_schema(schema_text: str) -> str:
    """
    Return the schema of ``{"data": …, "evidence": [{"field", "page", "quote"}]}`` around an output schema.

    :param schema_text: an output schema in which find_problems() finds nothing
    """
    inner: dict[str, Any] = json.loads(schema_text)
    references, data = References(inner), deepcopy(inner)
    for _, part in walk(data):
        if "$ref" in part and (path := references.path(part["$ref"])) is not None and path[:1] not in _HOISTED:
            part["$ref"] = pointer(("properties", _DATA, *path))
    hoisted = {name: data.pop(name) for name in _DEFINITIONS if name in data}
    data.pop("$schema", None)
    wrapped = {
        "type": "object",
        "properties": {_DATA: data, _QUOTES: _QUOTES_SCHEMA},
        "required": [_DATA, _QUOTES],
        "additionalProperties": False,
        **hoisted,
    }
    return json.dumps(wrapped, ensure_ascii=False)
