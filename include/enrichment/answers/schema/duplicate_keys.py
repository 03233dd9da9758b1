"""Whether a key stands twice in one object of a JSON text. Decoders keep the last of the two, and do not say so."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from msgspec import UNSET
from msgspec.structs import astuple

from include.enrichment.answers.schema.kind import Kind

_SPACE = b" \t\r\n"


def count_keys(value: Any) -> int:
    """How many keys a decoded value has, with those of all objects in it."""
    if isinstance(value, dict):
        return len(value) + sum(map(count_keys, value.values()))
    if isinstance(value, list):
        return sum(map(count_keys, value))
    return 0


def key_counter(kind: Kind) -> Callable[[Any], int]:
    """
    count_keys() for values of one kind, decoded to structs or to dictionaries: it looks only where there may be keys.

    Nulls may stand anywhere, and structs have their fields in the order of the properties.
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
        if not value:  # null, or a property that is not there
            return 0
        if isinstance(value, dict):
            return len(value) + sum([of_property(value.get(name)) for _, name, of_property in inner])
        fields = astuple(value)
        keys: int = len(fields) - fields.count(UNSET)
        return keys + sum([of_property(fields[number]) for number, _, of_property in inner]) if inner else keys

    return count


def has_unique_keys(text: bytes, keys: int) -> bool:
    """
    Whether the text of a value with so many keys surely has none twice. Nearly always a look at the colons shows it.

    :param keys: count_keys() of the value that was decoded from it
    """
    # Behind each key there is a colon, and between the two at most space: who counts them counts every key, and
    # perhaps more, in texts. The decoded keys are all there are if there are no more of those than of them.
    return text.count(b":") == keys or text.translate(None, _SPACE).count(b'":') == keys


def find_duplicate_key(text: str) -> str | None:
    """The first key found that stands twice in one object of the JSON text; None if none does."""
    twice: list[str] = []

    def look(pairs: list[tuple[str, Any]]) -> None:
        names = [name for name, _ in pairs]
        if len(names) != len(set(names)):
            twice.append(next(name for number, name in enumerate(names) if name in names[:number]))

    # Numbers stay text: nobody needs them here, and a long one would raise.
    json.loads(text, object_pairs_hook=look, parse_int=str, parse_float=str)
    return twice[0] if twice else None
