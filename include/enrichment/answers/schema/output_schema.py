"""The output schema of a pipeline: checks answers and gives them Arrow types."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jsonschema_rs
import msgspec
import pyarrow as pa

from include.enrichment.answers.schema.column import column_type, object_converter
from include.enrichment.answers.schema.duplicate_keys import count_keys, find_duplicate_key, has_unique_keys
from include.enrichment.answers.schema.fast_validation import compile_fast_check
from include.enrichment.answers.schema.json_schema import Schema, with_uri_refs
from include.enrichment.answers.schema.kind import Kind, kind_of

#: No real output is nested this deeply. The validator fails at 255 levels, the JSON decoder later.
_MAX_DEPTH = 100
_TOO_DEEP = f"nested too deeply: more than {_MAX_DEPTH} levels"


class OutputSchema:
    """
    An output schema without find_problems(). See Output.
    """

    def __init__(self, schema: Schema) -> None:
        self._kind = kind_of(schema, schema)
        self._validator = jsonschema_rs.Draft202012Validator(with_uri_refs(schema), validate_formats=True)
        self._to_row = object_converter(self._kind.properties)
        #: Whether a text certainly fits and needs no change, as nearly all do. check() decides about the others.
        self.surely_fits: Callable[[bytes], bool] = compile_fast_check(schema)

    @property
    def fields(self) -> list[pa.Field]:
        """One Arrow field per property, in the schema's order. All are nullable: a property may be optional."""
        return [pa.field(name, column_type(kind)) for name, kind in self._kind.properties.items()]

    @property
    def properties(self) -> Mapping[str, Kind]:
        """The kind of each property, by name."""
        return self._kind.properties

    def answer_in(self, texts: Sequence[str]) -> str:
        """Return the last of the texts, which is the one that the API makes fit."""
        return texts[-1]

    def check(self, text: str) -> tuple[str, None] | tuple[None, str]:
        """
        Return the output in ``text`` as JSON, or the reason why it is unusable: exactly one of the two is None.

        If the answer does not fit, enum and const values that differ from the schema only in case are corrected first,
        because the API does not guarantee their case.
        """
        try:
            value = msgspec.json.decode(text)
        except (msgspec.DecodeError, UnicodeEncodeError) as error:
            return None, f"not JSON: {_why_not(text) or error}"
        except RecursionError:
            return None, _TOO_DEEP
        if text.count("[") + text.count("{") > _MAX_DEPTH and _deeper(value, _MAX_DEPTH):
            return None, _TOO_DEEP
        if not has_unique_keys(text.encode(), count_keys(value)) and (name := find_duplicate_key(text)) is not None:
            return None, f"ambiguous: the key {name!r} occurs twice in one object"
        fixed = value
        if not self._validator.is_valid(value):
            fixed = _fix_case(value, self._kind)
            if mistake := next(iter(self._validator.iter_errors(fixed)), None):
                where = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in mistake.instance_path)
                return None, f"violates the schema: ${where}: {mistake.message}"
        try:
            self._to_row(fixed)
        except ValueError as error:
            return None, f"not storable: {error}"
        return text if fixed is value else msgspec.json.encode(fixed).decode(), None

    def values(self, outputs: Sequence[str]) -> list[dict[str, Any]]:
        """Return ``outputs``, texts from check(), decoded: each property by its name."""
        return list(map(msgspec.json.decode, outputs))

    def check_json(self, text: str) -> tuple[str, None] | tuple[None, str]:
        """Return the output in ``text``: an answer is JSON itself."""
        return self.check(text)

    def accept(self, texts: pa.ChunkedArray) -> pa.ChunkedArray | pa.Array:
        """Return the output in each of ``texts`` as check() does, null where one is null or unusable."""
        # As bytes: as text they would be decoded and encoded once more.
        answers = texts.combine_chunks().view(pa.binary()).to_pylist()
        surely_fits = self.surely_fits
        doubtful = [number for number, answer in enumerate(answers) if answer is not None and not surely_fits(answer)]
        if not doubtful:
            return texts
        outputs = texts.to_pylist()
        for number in doubtful:
            outputs[number] = self.check(outputs[number])[0]
        return pa.array(outputs, pa.string())

    def columns(self, outputs: Sequence[str]) -> list[pa.Array]:
        """Return the typed columns of ``outputs``, texts from check(), in the order of ``fields``."""
        rows = [self._to_row(msgspec.json.decode(output)) for output in outputs]
        return [pa.array([row.get(field.name) for row in rows], field.type) for field in self.fields]


def _why_not(text: str) -> str | None:
    """Return why a text is not JSON, where the decoder's own message is misleading."""
    try:
        json.dumps(json.loads(text), ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        return f"\\u{ord(error.object[error.start]):x} is a lone surrogate, which is not valid text"
    except (ValueError, RecursionError):
        pass
    return None


def _fix_case(value: Any, kind: Kind) -> Any:
    if isinstance(value, str):
        words = {word for word in kind.named if isinstance(word, str)} if not kind.free else set()
        same = [word for word in words if word.lower() == value.lower()]
        return value if value in words or len(same) != 1 else same[0]
    if isinstance(value, list) and kind.items:
        return [_fix_case(item, kind.items) for item in value]
    if isinstance(value, dict):
        known = kind.properties
        return {name: _fix_case(item, known[name]) if name in known else item for name, item in value.items()}
    return value


def _deeper(value: Any, levels: int) -> bool:
    """Return whether lists and objects are nested more than ``levels`` deep."""
    nodes = [value]
    for _ in range(levels + 1):
        containers = [node for node in nodes if isinstance(node, list | dict)]
        nodes = [child for node in containers for child in (node.values() if isinstance(node, dict) else node)]
        if not containers:
            return False
    return True
