"""
Answers to requests with documents: values that stand in them where possible, and where each of them stands.

A value is looked for after a label of its property (documents/finding.py). Where none is found, it is null if it may
be, else something of its kind from the document, else what it would be without one. A list of objects has an item for
each row of a table. Where the schema asks for evidence as ``{data, evidence: [{field, page, quote}]}``, each value but
null has its line quoted; a scan has no text that the emulator could read, so its quotes are simulated.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, NamedTuple

from include.emulator.answers.bad_evidence import Evidence
from include.emulator.answers.instructions import NONE, read_instructions
from include.emulator.answers.schema_values import Maker, compile_schema, flatten
from include.emulator.answers.source import Source
from include.emulator.answers.structured_outputs import Schema, types_of
from include.emulator.documents.document import Line
from include.emulator.documents.finding import MOST_QUOTED, Text
from include.emulator.documents.rows import Row
from include.emulator.documents.values import dates_in, numbers_in
from include.emulator.draws import Draws

_NULL_PERCENT = 10
_MOST_ROWS = 20  # of a list, so that an answer with its evidence stays within the usual max_tokens
_MOST_CHARACTERS = 80
_CURRENCIES = {"€": "EUR", "$": "USD", "£": "GBP", "¥": "JPY", "zł": "PLN", "CHF": "CHF", "kr": "SEK"}
_CODE_WORDS = frozenset({"number", "no", "nr", "id", "code", "reference", "iban"})
_COLUMN_GAP = re.compile(r"\s{3,}|\t")
#: The numbers of a row, from the left: the quantity, …, the price, the amount.
_PLACES = {"quantity": 0, "qty": 0, "count": 0, "hours": 0, "price": -2, "rate": -2, "cost": -2}


@dataclass
class _Reading:
    """One answer in the making."""

    draws: Draws
    source: Source
    text: Text
    evidence: list[Evidence] = field(default_factory=list)

    def note(self, path: str, line: Line | None) -> None:
        """Give the evidence of a value; None: it stands in no text that the emulator can read."""
        page, quote = (1, self.source.write(NONE, self.draws)) if line is None else (line.page, line.text)
        if len(quote) > MOST_QUOTED:  # cut between words, as a number would be another one without its end
            quote = quote[:MOST_QUOTED].rpartition(" ")[0] or quote[:MOST_QUOTED]
        self.evidence.append(Evidence(path, page, quote))

    def any_line(self) -> Line | None:
        """Draw a line of the documents."""
        return self.draws.pick(self.text.lines) if self.text.lines else None


class _Place(NamedTuple):
    """What a value is made for: the path of its field, its name, its row of a table, and whether it may be null."""

    path: str
    name: str
    row: Row | None = None
    nullable: bool = False


_Finder = Callable[[_Reading, _Place], Any]


def compile_answer(schema: Schema) -> Maker:
    """Compile a maker of values that fit a schema, from the documents of the request if it has any."""
    without_documents = compile_schema(schema)
    evident = _asks_for_evidence(schema)
    wanted = flatten(schema, schema)["properties"]["data"] if evident else schema
    finder = _compile(wanted, schema)

    def make(draws: Draws, source: Source) -> Any:
        if not source.documents and not evident:
            return without_documents(draws, source)
        reading = _Reading(draws, source, source.document_text)
        value = finder(reading, _Place("", ""))
        if not evident:
            return value
        given = reading.evidence
        if source.misquote:
            given = [source.misquote(one, draws, reading.text.pages_with(one.quote)) for one in given]
        return {"data": value, "evidence": [one._asdict() for one in given]}

    return make


def _asks_for_evidence(schema: Schema) -> bool:
    properties = flatten(schema, schema).get("properties", {})
    if set(properties) != {"data", "evidence"}:
        return False
    items = flatten(properties["evidence"], schema).get("items", {})
    return isinstance(items, Mapping) and set(flatten(items, schema).get("properties", {})) == set(Evidence._fields)


def _compile(node: Schema, root: Schema) -> _Finder:
    node = flatten(node, root)
    if "const" not in node and "enum" not in node:
        if "anyOf" in node:
            return _one_of([flatten(part, root) for part in node["anyOf"]], root)
        types = types_of(node)
        if len(types) > 1:
            return _one_of([{**node, "type": one} for one in types], root)
        if "properties" in node or types == ("object",):
            return _object(node, root)
        if types == ("array",):
            return _array(node, root)
    return _leaf(node)


def _one_of(parts: list[Schema], root: Schema) -> _Finder:
    """Return a finder of the first alternative that is not null; null is for what is not found."""
    values = [part for part in parts if types_of(part) != ("null",)]
    if not values:
        return lambda reading, place: None
    nullable = len(values) < len(parts)
    finder = _compile(values[0], root)
    return lambda reading, place: finder(reading, place._replace(nullable=nullable or place.nullable))


def _object(node: Schema, root: Schema) -> _Finder:
    required = set(node.get("required", ()))
    finders = {name: _compile(inner, root) for name, inner in node.get("properties", {}).items()}
    # The API writes the required properties first, each group in the schema's order.
    ordered = sorted(finders.items(), key=lambda one: one[0] not in required)

    def find(reading: _Reading, place: _Place) -> dict[str, Any]:
        value = {}
        for name, finder in ordered:
            path = f"{place.path}.{name}" if place.path else name
            found = finder(reading, _Place(path, name, place.row, nullable=name not in required))
            if found is not None or name in required:
                value[name] = found
        return value

    return find


def _array(node: Schema, root: Schema) -> _Finder:
    items = node.get("items")
    item = _compile(items if isinstance(items, Mapping) else {"type": "string"}, root)
    least = int(node.get("minItems", 0))
    bounds = read_instructions(node.get("description", "")).items

    def find(reading: _Reading, place: _Place) -> list[Any]:
        rows: list[Row | None] = [*reading.text.rows(_MOST_ROWS)]
        if bounds is not None or not rows or not _is_object(items, root):
            low, high = bounds or (least, 3)
            rows = [None] * (low + reading.draws.below(high - low + 1))
        return [item(reading, _Place(f"{place.path}[{index}]", place.name, row)) for index, row in enumerate(rows)]

    return find


def _is_object(items: object, root: Schema) -> bool:
    return isinstance(items, Mapping) and "object" in types_of(flatten(items, root))


def _leaf(node: Schema) -> _Finder:
    # Its references are resolved already, so it is compiled without the root.
    simulated = compile_schema(node)
    read = _reader(node)

    def find(reading: _Reading, place: _Place) -> Any:
        searched = read is not None and bool(reading.text.lines)
        if read is not None and searched and (found := read(reading, place)):
            reading.note(place.path, found[1])
            return found[0]
        if place.nullable and (searched or reading.draws.chance(_NULL_PERCENT)):
            return None
        value = simulated(reading.draws, reading.source)
        if value is not None:
            reading.note(place.path, reading.any_line())
        return value

    return find


_Read = Callable[[_Reading, _Place], tuple[Any, Line] | None]


def _reader(node: Schema) -> _Read | None:
    """Return what finds a value of this schema, and its line, in documents with text; None: nothing looks for it."""
    if "const" in node or "enum" in node:
        return _choice([node["const"]] if "const" in node else node["enum"])
    kind = (*types_of(node), "string")[0]
    if kind in ("integer", "number"):
        return _number(whole=kind == "integer")
    if kind == "string" and node.get("format") == "date":
        return _date
    if kind == "string" and "format" not in node and read_instructions(node.get("description", "")) == NONE:
        return _words(str(node["pattern"]) if "pattern" in node else None)
    return None


def _choice(options: list[Any]) -> _Read:
    texts = [option for option in options if isinstance(option, str)]

    def read(reading: _Reading, place: _Place) -> tuple[Any, Line] | None:
        found = _most_named(reading.text, texts)
        if found is None:
            return None
        return found[0].swapcase() if reading.source.wrong_case else found[0], found[1]

    return read


def _most_named(text: Text, options: Sequence[str]) -> tuple[str, Line] | None:
    """Return the option that the most lines name, and the first of them; a sign names its currency."""
    found = [(option, lines) for option in options if (lines := _naming(text, option))]
    if not found:
        return None
    option, lines = max(found, key=lambda one: len(one[1]))
    return option, lines[0]


def _naming(text: Text, option: str) -> list[Line]:
    signs = [sign for sign, code in _CURRENCIES.items() if code == option]
    return next((lines for name in (option, *signs) if (lines := text.naming(name))), [])


def _number(*, whole: bool) -> _Read:
    def fits(numbers: Iterable[float]) -> list[float]:
        values = [number for number in numbers if not whole or number.is_integer()]
        return [int(value) for value in values] if whole else values

    def last(text: str) -> float | None:
        values = fits(number.value for number in numbers_in(text, spaced=True))
        return values[-1] if values else None

    def read(reading: _Reading, place: _Place) -> tuple[Any, Line] | None:
        if place.row is not None:
            in_row = fits(place.row.numbers)
            at = next((_PLACES[word] for word in re.split(r"[_\W]", place.name.lower()) if word in _PLACES), -1)
            return (in_row[max(at, -len(in_row))], place.row.line) if in_row else None
        if found := reading.text.labelled(place.name, last):
            return found
        return None if place.nullable else _drawn(reading, last)

    return read


def _date(reading: _Reading, place: _Place) -> tuple[Any, Line] | None:
    def first(text: str) -> str | None:
        days: list[date] = dates_in(text, month_first=reading.text.month_first)
        return days[0].isoformat() if days else None

    if place.row is not None:
        day = first(place.row.line.text)
        return None if day is None else (day, place.row.line)
    if found := reading.text.labelled(place.name, first):
        return found
    return None if place.nullable else _drawn(reading, first)


def _words(pattern: str | None) -> _Read:
    fits = re.compile(pattern or "").search

    def read(reading: _Reading, place: _Place) -> tuple[Any, Line] | None:
        def value(text: str) -> str | None:
            words = _code(text) if _CODE_WORDS & set(re.split(r"[_\W]", place.name.lower())) else _phrase(text)
            return words if words and fits(words) else None

        if place.row is not None:
            words = value(place.row.words)
            return (words, place.row.line) if words else None
        if "currency" in place.name.lower():
            return _most_named(reading.text, [code for code in _CURRENCIES.values() if fits(code)])
        if found := reading.text.labelled(place.name, value):
            return found
        if pattern is not None or place.nullable:
            return None
        # Letters of a company begin with its name.
        named = re.search("vendor|supplier|seller|company|name|title|issuer", place.name, re.IGNORECASE)
        line = reading.text.lines[0] if named else reading.draws.pick(reading.text.lines)
        return line.text[:_MOST_CHARACTERS].strip(), line

    return read


def _drawn(reading: _Reading, read: Callable[[str], Any]) -> tuple[Any, Line] | None:
    """Draw a line, and return the first value of this kind in it or after it."""
    start = reading.draws.below(len(reading.text.lines))
    lines = [*reading.text.lines[start:], *reading.text.lines[:start]]
    return next(((value, line) for line in lines if (value := read(line.text)) is not None), None)


def _code(text: str) -> str | None:
    """Return the first word that has a digit, or the groups of an IBAN."""
    if iban := re.search(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b", text):
        return iban[0]
    return next((word.strip(",;:.()") for word in text.split() if re.search(r"\d", word)), None)


def _phrase(text: str) -> str | None:
    words = _COLUMN_GAP.split(text.strip(" :.#\t"))[0][:_MOST_CHARACTERS].strip()
    return words if re.search(r"\w", words) else None
