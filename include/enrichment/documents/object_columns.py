"""The columns of ``source.objects``: each object is a row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from include.enrichment.errors import nearest

#: The column that says which object a row is of.
OBJECT_URI = "uri"
#: The columns that the listing has, and those that are known once an object was read.
LISTED_COLUMNS = (OBJECT_URI, "name", "size_bytes", "modified_at")
READ_COLUMNS = ("media_type", "sha256", "pages")
_ALL = (*LISTED_COLUMNS, *READ_COLUMNS)


def key_problems(names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Find the columns that cannot be in the key of objects, and say why: they are null if an object cannot be read."""
    for name in names:
        if name in READ_COLUMNS:
            yield name, f"{name!r} is unknown for an object that cannot be read: use name or uri"
        else:
            yield from ((name, fact) for fact in _unknown(name))


def column_problems(names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Find the columns that objects do not have."""
    for name in names:
        yield from ((name, fact) for fact in _unknown(name))


def _unknown(name: str) -> Iterator[str]:
    if name not in _ALL:
        yield f"source.objects has no column {name!r}{nearest(name, _ALL) or '.'} It has: {', '.join(_ALL)}"
