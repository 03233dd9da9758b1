"""Published rows as lines of evidence: one for each quote, with the value that it stands for."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa

from include.enrichment.answers.evidence.quote import EVIDENCE, UNGROUNDED
from include.enrichment.answers.table import PART, SAMPLE, VARIANT

_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")
#: What is shown instead of null.
_NOT_FOUND, _NO_QUOTE = "not found", "no quote"


def evidence_rows(rows: pa.Table) -> pa.Table:
    """
    Return a line for each quote of the rows, in their order, and one for each value that has none: the row's first
    column, the field, its value, the page, how the quote was found, and the quote.

    :param rows: of a published table that has EVIDENCE
    """
    names = [rows.column_names[0], *(name for name in (PART, VARIANT, SAMPLE) if name in rows.column_names)]
    schema = pa.schema([*(rows.schema.field(name) for name in names), *_fields()])
    lines = [{**{name: row[name] for name in names}, **line} for row in rows.to_pylist() for line in _lines(row)]
    return pa.Table.from_pylist(lines, schema=schema)


def _fields() -> list[pa.Field]:
    return [
        *(pa.field(name, pa.string()) for name in ("field", "value")),
        pa.field("page", pa.int64()),
        *(pa.field(name, pa.string()) for name in ("found", "quote")),
    ]


def _lines(row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    evidence = row[EVIDENCE] or []
    for each in evidence:
        found = each["found"] or _NOT_FOUND
        yield {**each, "value": _text(_value_at(row, each["field"])), "found": found}
    quoted = {each["field"] for each in evidence}
    for path in row[UNGROUNDED] or []:
        if path not in quoted:
            yield {"field": path, "value": _text(_value_at(row, path)), "page": None, "found": _NO_QUOTE, "quote": None}


def _value_at(row: Any, path: str) -> Any:
    """Return the value at a path; None if there is none, as Claude may name any."""
    value = row
    for name, number in _STEP.findall(path):
        if name:
            value = value.get(name) if isinstance(value, dict) else None
        else:
            value = value[int(number)] if isinstance(value, list) and int(number) < len(value) else None
    return value


def _text(value: Any) -> str:
    if value is None or isinstance(value, dict | list | bool):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)
