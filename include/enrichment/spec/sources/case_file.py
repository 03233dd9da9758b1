"""``source.cases``: rows in a file of the pipeline's folder, as JSON lines or CSV."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pyarrow as pa

from include.enrichment.answers.schema.duplicate_keys import find_duplicate_key
from include.enrichment.answers.schema.keys import describe_value

#: A larger file is rejected: it is stored with every run, and every task of the run reads it.
MAX_CASE_BYTES = 5_000_000
_FORM = '{"<column>": <value>, …}'
#: The types of JSON values that have a column type of their own. Others, such as lists, get it as the rows of any
#: source do.
_SCALARS = {bool: pa.bool_(), int: pa.int64(), float: pa.float64(), str: pa.string()}
_decode = msgspec.json.Decoder(dict[str, Any]).decode


@dataclass(frozen=True, kw_only=True)
class Cases:
    """
    The cases of a file.

    :param columns: in the order of the file, each with its type; None: it has lists or objects
    :param rows: each with all columns, None where it has no value
    :param lines: that of each row
    :param mistakes: each with its line and the fact
    """

    columns: dict[str, pa.DataType | None] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    mistakes: list[tuple[int, str]] = field(default_factory=list)

    def key_mistakes(self, key: Sequence[str]) -> Iterator[tuple[int, str]]:
        """Yield each row without a key, or with that of a row above, by its line. The columns must be there."""
        known: dict[str, int] = {}
        for line, row in zip(self.lines, self.rows, strict=True):
            values = [(name, row.get(name)) for name in key]
            missing = [name for name, value in values if value is None]
            if missing:
                yield line, f"has no {', '.join(map(repr, missing))}, which is the key"
            elif (first := known.setdefault(repr(values), line)) != line:
                shown = ", ".join(f"{name}={describe_value(value)}" for name, value in values)
                yield line, f"has the key of line {first}: {shown}"


def read_cases(text: str, *, file: str, types: Mapping[str, pa.DataType]) -> Cases:
    """
    Return the cases in a file, and its mistakes.

    A text becomes the type that pipeline.yaml names for its column: JSON has no dates, and CSV has nothing but texts.
    Other columns of a CSV file are text. An empty cell of a CSV file is NULL, like a key that a line of JSON lacks.

    :param file: its name, which ends in .jsonl or .csv
    :param types: those that pipeline.yaml names, by column
    """
    if (size := len(text.encode())) > MAX_CASE_BYTES:
        fact = f"has {size:,} bytes, at most {MAX_CASE_BYTES:,} are allowed: put more cases into a table"
        return Cases(mistakes=[(1, fact)])
    lines, mistakes = (_csv_lines if file.endswith(".csv") else _json_lines)(text)
    if not lines and not mistakes:
        mistakes.append((1, "has no case"))
    columns: dict[str, pa.DataType | None] = {}
    for name in dict.fromkeys(name for _, row in lines for name in row):
        values = [(line, row.get(name)) for line, row in lines]
        converted, kind, found = _column(name, values, types.get(name))
        columns[name] = kind
        mistakes += found
        for (_, row), value in zip(lines, converted, strict=True):
            row[name] = value
    ordered = [{name: row[name] for name in columns} for _, row in lines]
    return Cases(columns=columns, rows=ordered, lines=[line for line, _ in lines], mistakes=sorted(mistakes))


_Lines = list[tuple[int, dict[str, Any]]]
_Mistakes = list[tuple[int, str]]


def _json_lines(text: str) -> tuple[_Lines, _Mistakes]:
    lines: _Lines = []
    mistakes: _Mistakes = []
    for number, line in enumerate(text.split("\n"), start=1):  # not splitlines(): JSON may contain U+2028
        if not line.strip():
            continue
        try:
            row = _decode(line)
        except (msgspec.DecodeError, UnicodeEncodeError, RecursionError) as error:
            mistakes.append((number, f"is not a case like {_FORM}: {error}"))
            continue
        if (name := find_duplicate_key(line)) is not None:
            mistakes.append((number, f"the key {name!r} occurs twice in one object"))
        lines.append((number, row))
    return lines, mistakes


def _csv_lines(text: str) -> tuple[_Lines, _Mistakes]:
    """Return the rows below the header. A row may span lines; its line is the last of them."""
    reader = csv.reader((f"{line}\n" for line in text.removesuffix("\n").split("\n")), strict=True)
    lines: _Lines = []
    try:
        header = next(reader, [])
        if twice := sorted({name for name in header if header.count(name) > 1}):
            return [], [(1, f"names the column {', '.join(map(repr, twice))} twice")]
        mistakes: _Mistakes = []
        for cells in filter(None, reader):
            if len(cells) == len(header):
                lines.append((reader.line_num, {name: cell or None for name, cell in zip(header, cells, strict=True)}))
            else:
                mistakes.append((reader.line_num, f"has {len(cells)} cells, but the header has {len(header)} columns"))
    except csv.Error as error:
        return [], [(reader.line_num, f"is not CSV: {error}")]
    return lines, mistakes


def _column(
    name: str, values: Sequence[tuple[int, Any]], named: pa.DataType | None
) -> tuple[list[Any], pa.DataType | None, _Mistakes]:
    """Return the values of a column in its type, the type, and the mistakes. ``values`` have their lines."""
    mistakes: _Mistakes = []
    if named is not None:
        converted = []
        for line, value in values:
            try:
                converted.append(_in_type(value, named))
            except (pa.ArrowException, ValueError, TypeError, OverflowError):
                mistakes.append((line, f"{name!r} is {describe_value(value)}, which is not {named}"))
                converted.append(None)
        return converted, named, mistakes
    present = [(line, value) for line, value in values if value is not None]
    kinds = {type(value) for _, value in present}
    kind = _SCALARS[float] if kinds == {int, float} else _SCALARS.get(next(iter(kinds))) if len(kinds) == 1 else None
    if len(kinds) > 1 and kinds & _SCALARS.keys() and kind is None:
        mistakes += _mixed(name, present)
    return [value for _, value in values], kind, mistakes


def _in_type(value: Any, kind: pa.DataType) -> Any:
    """Return a value in the type of its column. Raises TypeError or the errors of Arrow if it is not of that type."""
    if value is None or (isinstance(value, str) and kind == pa.string()):
        return value
    if not isinstance(value, str):
        if isinstance(value, list | dict) or isinstance(value, bool) is not (kind == pa.bool_()) or kind == pa.string():
            raise TypeError
        if kind not in (pa.int64(), pa.float64()):  # a decimal, which is converted like that of any source
            return value
    return pa.scalar(value).cast(kind).as_py()


def _mixed(name: str, present: Sequence[tuple[int, Any]]) -> Iterator[tuple[int, str]]:
    first_line, first = present[0]
    line, other = next((line, value) for line, value in present if type(value) is not type(first))
    yield line, f"{name!r} is {describe_value(other)}, but {describe_value(first)} in line {first_line}"
