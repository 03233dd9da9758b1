"""The names of the values within an answer: ``total``, ``line_items[2].amount``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

#: Other ways to write a path, which Claude may use: ``$.a.b``, ``data.a``, ``a.0.b``, ``a['b']``, ``/a/0/b``.
_ROOT = re.compile(r"^(?:\$\.?|data(?=[.\[/])[./]?)+")
_QUOTED = re.compile(r"\[\s*(['\"])(.+?)\1\s*\]")
_INDEX = re.compile(r"\.(\d+)(?=[.\[]|$)")
_SPACES = re.compile(r"\s*([.\[\]])\s*")
_POSITION = re.compile(r"\[\d+\]")


def values_in(data: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """
    Yield each value in an answer with its path: text that is not empty, number or boolean. Null, ``""`` and empty lists
    do not count as values.
    """
    if isinstance(data, dict):
        for name, value in data.items():
            yield from values_in(value, f"{path}.{name}" if path else name)
    elif isinstance(data, list):
        for number, value in enumerate(data):
            yield from values_in(value, f"{path}[{number}]")
    elif data is not None and data != "":
        yield path, data


def plain_path(field: str) -> str:
    """Return the path that Claude means, as values_in() writes it."""
    path = field.strip().strip("`")
    if path.startswith("/"):
        path = path[1:].replace("/", ".")
    path = _QUOTED.sub(r".\2", path)
    path = _SPACES.sub(r"\1", path)
    path = _INDEX.sub(r"[\1]", _ROOT.sub("", path))
    return path.lstrip(".")


def without_positions(path: str) -> str:
    """Return a path with its lists as a whole: ``line_items[2].amount`` is ``line_items.amount``."""
    return _POSITION.sub("", path)


def is_within(path: str, outer: str) -> bool:
    """Return whether a value is another one or a part of it: ``a[1].b`` is within ``a[1].b``, ``a[1]`` and ``a``."""
    return path == outer or (bool(outer) and path.startswith(outer) and path[len(outer)] in ".[")
