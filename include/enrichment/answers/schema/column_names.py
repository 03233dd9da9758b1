"""The allowed column names of the published table: names that every reader returns unchanged and distinguishes."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence

import pyarrow as pa

#: Each object of a table is in a folder ``dt=<day>``, which readers turn into a column.
PARTITION_COLUMN = "dt"
#: Names that a published column of the source must not have, like those that begin with an underscore: the rows of a
#: run and the rejects already have columns of these names.
RESERVED_NAMES = frozenset({"request_id", "params", "problem", "outcome", "reason", "text", "count"})
_ALIAS = "give it an alias in extract.sql, or another name in the export"
#: The remedy for a column of files or of another pipeline's table, which can have no alias.
RENAME_COLUMN = "give it another name with source.rename"
_CHOOSE = "choose another name"
_RENAME = "rename the property"


def fold_case(name: str) -> str:
    """
    Return the form of a name that ignores case and the composition of accents, which nobody can see.

    Athena, Hive and Spark lower all letters, DuckDB those of ASCII, and none goes further: ß is not ss.
    """
    return unicodedata.normalize("NFC", name.lower())


def sibling_problems(names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Find the problems of the names in a table or in one object: each name with the fact."""
    seen: dict[str, str] = {}
    for name in names:
        if not name.strip():
            yield name, f"{name!r} is not a name for a column"
        elif broken := next((letter for letter in name if unicodedata.category(letter) in ("Cc", "Cs")), None):
            yield name, f"{name!r} contains {broken!r}, where readers cut the name or fail (DuckDB, pandas)"
        if (other := seen.setdefault(fold_case(name), name)) != name:
            yield name, _same_to_readers(name, other)


def key_problems(key: Sequence[str], remedy: str = _ALIAS) -> Iterator[tuple[str, str]]:
    """Find the key columns that cannot be published, and say how to fix each."""
    for name in key:
        if fold_case(name) == PARTITION_COLUMN:
            yield name, f"{_partition(name)}: {remedy}"
        elif fold_case(name) in RESERVED_NAMES or name.startswith("_"):
            yield name, f"{name!r} is a reserved column name: {remedy}"
    for name, fact in sibling_problems(key):
        yield name, f"{fact}: {remedy}"


def rename_problems(rename: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Find the columns whose new name is none, or that of two columns: each old name with the fact."""
    unnamed = dict(sibling_problems(rename.values()))
    seen: dict[str, str] = {}
    for old, new in rename.items():
        if old == new:
            yield old, f"{old!r} keeps its name: leave it out"
        elif new in unnamed:
            yield old, f"{unnamed[new]}: {_CHOOSE}"
        elif new.startswith("_"):
            yield old, f"{new!r} begins with an underscore, which is reserved: {_CHOOSE}"
        elif (other := seen.setdefault(new, old)) != old:
            yield old, f"{other!r} has the new name {new!r} too: {_CHOOSE}"


def carry_problems(carry: Iterable[str], key: Sequence[str], remedy: str = _ALIAS) -> Iterator[tuple[str, str]]:
    """Find the carried columns that cannot be published with this key, and say how to fix each."""
    return _added_problems(carry, key, "the table has it anyway, so leave it out here", remedy)


def for_each_problems(names: Iterable[str], key: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Find the names of for_each that cannot be published with this key, and say how to fix each."""
    return _added_problems(names, key, _CHOOSE, _CHOOSE)


def _added_problems(names: Iterable[str], key: Sequence[str], if_key: str, remedy: str) -> Iterator[tuple[str, str]]:
    others = []
    for name in names:
        if name in key:
            yield name, f"{name!r} is a key column: {if_key}"
        else:
            others.append(name)
    yield from ((name, fact) for name, fact in key_problems([*key, *others], remedy) if name in others)


def output_problems(
    fields: Sequence[pa.Field], key: Sequence[str], carry: Iterable[str] = ()
) -> Iterator[tuple[str, str]]:
    """Find the properties of the output that cannot be published with these columns, and say how to fix each."""
    taken = {fold_case(name): (name, "carried column", "source.carry") for name in carry}
    taken |= {fold_case(name): (name, "key column", "the key") for name in key}
    for field in fields:
        name = field.name
        if fold_case(name) == PARTITION_COLUMN:
            yield name, f"{_partition(name)}: {_RENAME}"
        elif name.startswith("_"):
            yield name, f"{name!r} begins with an underscore, which is reserved (_request_id, …): {_RENAME}"
        if found := taken.get(fold_case(name)):
            column, kind, setting = found
            fact = (
                f"{name!r} is also a {kind}"
                if column == name
                else f"compared with {setting}, {_same_to_readers(name, column)}"
            )
            yield name, f"{fact}: rename the output"
        for _, fact in _nested_problems(field.type):
            yield name, f"in {name!r}, {fact}: {_RENAME}"
    for name, fact in sibling_problems(field.name for field in fields):
        yield name, f"{fact}: {_RENAME}"


def _nested_problems(kind: pa.DataType) -> Iterator[tuple[str, str]]:
    children = [kind.field(number) for number in range(kind.num_fields)]
    if pa.types.is_struct(kind):
        yield from sibling_problems(child.name for child in children)
    for child in children:
        yield from _nested_problems(child.type)


def _same_to_readers(name: str, other: str) -> str:
    if name.lower() == other.lower():
        return f"{name!r} and {other!r} are the same column to readers that ignore case (Athena, Hive, DuckDB)"
    return f"{name!a} and {other!a} look the same: only the composition of their accents differs"


def _partition(name: str) -> str:
    return f"{name!r} is the partition column, because the table is in folders {PARTITION_COLUMN}=<day>"
