"""Reads a JSON Schema of the supported subset: the schemas within it, and the target of each $ref."""

from __future__ import annotations

import re
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

Schema = dict[str, Any]
#: A place in a schema, as the keys from the root down.
Path = tuple[str | int, ...]


def walk(schema: Schema, path: Path = ()) -> Iterator[tuple[Path, Schema]]:
    """Return the schema and all schemas within it, each with its path."""
    yield path, schema
    for keyword in ("properties", "$defs", "definitions"):
        for name, child in schema.get(keyword, {}).items():
            yield from walk(child, (*path, keyword, name))
    for keyword in ("anyOf", "allOf"):
        for number, child in enumerate(schema.get(keyword, ())):
            yield from walk(child, (*path, keyword, number))
    if "items" in schema:
        yield from walk(schema["items"], (*path, "items"))


class References:
    """
    The target of each $ref of a schema.

    The names in a $ref may be escaped and percent-encoded (RFC 6901) or plain, as many tools write them.
    """

    def __init__(self, root: Schema) -> None:
        self._schemas = dict(walk(root))
        self._paths: dict[str, Path] = {"/".join(("#", *map(str, path))): path for path in self._schemas}
        self._paths |= {pointer(path): path for path in self._schemas}

    @property
    def known(self) -> list[str]:
        """The valid $ref values, in one spelling each."""
        return [pointer(path) for path in self._schemas]

    def path(self, ref: str) -> Path | None:
        """Return the path of the schema that ``ref`` refers to; None if there is none."""
        return self._paths.get(_percent_decoded(ref), self._paths.get(ref))

    def schema(self, ref: str) -> Schema:
        """Return the schema that ``ref`` refers to. Raises LookupError if there is none."""
        if (path := self.path(ref)) is None:
            raise LookupError(f"{ref} refers to no schema")
        return self._schemas[path]

    def resolve(self, schema: Schema) -> Schema:
        """Return the schema, with its $ref or its only allOf member resolved."""
        while "$ref" in schema or len(schema.get("allOf", ())) == 1:
            if "$ref" in schema:
                schema = self.schema(schema["$ref"])
            else:
                around = {key: value for key, value in schema.items() if key != "allOf"}
                schema = {**around, **schema["allOf"][0]}
        return schema

    def circle(self) -> Path | None:
        """Return the path of the first schema that refers back to itself; None if there is none."""
        done: set[Path] = set()

        def visit(path: Path, above: frozenset[Path]) -> Path | None:
            schema, within = self._schemas[path], above | {path}
            target = self.path(schema["$ref"]) if "$ref" in schema else None
            if path in above or target in within:
                return path
            if path not in done:
                for part in (*([] if target is None else [target]), *_part_paths(schema, path)):
                    if (found := visit(part, within)) is not None:
                        return found
                done.add(path)
            return None

        return next((found for path in self._schemas if (found := visit(path, frozenset())) is not None), None)


def pointer(path: Path) -> str:
    """Return a JSON Pointer that begins with ``#``; not percent-encoded."""
    return "#" + "".join(f"/{str(step).replace('~', '~0').replace('/', '~1')}" for step in path)


def _percent_decoded(ref: str) -> str:
    return _ENCODED.sub(lambda found: bytes.fromhex(found[0].replace("%", "")).decode(errors="replace"), ref)


def _percent_encoded(found: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in found[0].encode())


_ENCODED = re.compile("(?:%[0-9A-Fa-f]{2})+")
#: Characters that must be encoded in a URI; a slash need not.
_OUTSIDE_URI = re.compile("[^A-Za-z0-9_.~$/-]")


def _part_paths(schema: Schema, path: Path) -> Iterator[Path]:
    """Return the paths of the schemas that a value, or a part of it, has to fit."""
    yield from ((*path, "properties", name) for name in schema.get("properties", ()))
    for keyword in ("anyOf", "allOf"):
        yield from ((*path, keyword, number) for number in range(len(schema.get(keyword, ()))))
    if "items" in schema:
        yield (*path, "items")


def with_uri_refs(schema: Schema) -> Schema:
    """Return a copy in which each $ref is a URI, as the validator requires."""
    references, copy = References(schema), deepcopy(schema)
    for _, part in walk(copy):
        if "$ref" in part and (path := references.path(part["$ref"])) is not None:
            part["$ref"] = "#" + _OUTSIDE_URI.sub(_percent_encoded, pointer(path)[1:])
    return copy


def types_of(schema: Schema) -> list[Any]:
    """Return the types that the schema names, if any."""
    named = schema.get("type", [])
    return named if isinstance(named, list) else [named]
