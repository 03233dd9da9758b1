"""Finds keys that occur twice in one object of a JSON text. Decoders silently keep the last of the two."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from msgspec import UNSET
from msgspec.structs import astuple

from include.enrichment.answers.schema.kind import Kind

_SPACE = b" \t\r\n"


def count_keys(value: Any) -> int:
    """Count the keys of a decoded value, including those of all objects in it."""
    if isinstance(value, dict):
        return len(value) + sum(map(count_keys, value.values()))
    if isinstance(value, list):
        return sum(map(count_keys, value))
    return 0


def key_counter(kind: Kind) -> Callable[[Any], int]:
    """
    Return count_keys() for values of one kind, decoded to structs or dictionaries. It visits only parts with keys.

    Nulls may occur anywhere, and structs have their fields in the order of the properties.
    """
    if kind.items is not None:
        of_item, of_each = key_counter(kind.items), kind.items.keys
        if of_each is not None:
            return lambda values: len(values) * of_each if values else 0
        return lambda values: sum(map(of_item, values)) if values else 0
    inner = [
        (number, name, key_counter(prop))
        for number, (name, prop) in enumerate(kind.properties.items())
        if prop.keys != 0
    ]

    def count(value: Any) -> int:
        if not value:  # null or missing
            return 0
        if isinstance(value, dict):
            return len(value) + sum([of_property(value.get(name)) for _, name, of_property in inner])
        fields = astuple(value)
        keys: int = len(fields) - fields.count(UNSET)
        return keys + sum([of_property(fields[number]) for number, _, of_property in inner]) if inner else keys

    return count


def has_unique_keys(text: bytes, keys: int) -> bool:
    """
    Return whether the JSON text certainly has no duplicate key. Nearly always, counting the colons proves it.

    :param keys: count_keys() of the value that was decoded from it
    """
    # A colon follows each key, with at most space between them, so counting colons counts every key, and perhaps colons
    # in strings. If there are as many colons as decoded keys, no key was dropped as a duplicate.
    return text.count(b":") == keys or text.translate(None, _SPACE).count(b'":') == keys


def find_duplicate_key(text: str) -> str | None:
    """Return the first key that occurs twice in one object of the JSON text; None if there is none."""
    twice: list[str] = []

    def look(pairs: list[tuple[str, Any]]) -> None:
        names = [name for name, _ in pairs]
        if len(names) != len(set(names)):
            twice.append(next(name for number, name in enumerate(names) if name in names[:number]))

    # Numbers stay text: they are not needed here, and a long one would raise.
    json.loads(text, object_pairs_hook=look, parse_int=str, parse_float=str)
    return twice[0] if twice else None
