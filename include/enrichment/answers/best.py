"""The best of several candidates for one published row (``keep``): the expression that gives each its score."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pyarrow as pa

from include.enrichment.answers.table import SAMPLE, WARNINGS
from include.enrichment.errors import SpecError, nearest, sentence
from include.enrichment.requests.row_expression import columns_in, type_of, unknown_columns

#: The types of DuckDB that a double can order: numbers and booleans.
_NUMBERS = re.compile(r"BOOLEAN|U?(TINY|SMALL|BIG|HUGE)INT|U?INTEGER|BIGNUM|FLOAT|DOUBLE|DECIMAL\(.*\)")


@dataclass(frozen=True, kw_only=True)
class Best:
    """
    How the best candidate is chosen: the highest score wins, NULL is worst, and of equal scores the candidate with the
    lowest value of ``among`` wins.

    :param text: the SQL expression that gives the score: a number or a boolean
    :param among: the key column that tells the candidates for one row apart
    :param location: the file, line and setting of the expression, for errors
    """

    text: str
    among: str
    location: str

    def columns(self, table: pa.Schema) -> list[str]:
        """Return the columns of the table that the expression reads."""
        return columns_in(self.text, table.names)

    def check(self, columns: Mapping[str, pa.DataType | None]) -> None:
        """
        Check the expression against the columns of the table. Raises SpecError.

        :param columns: those of Shape.judged by name; None for a type that is not known yet
        """
        if facts := list(self._problems(columns)):
            raise SpecError("\n".join(f"{self.location}: {sentence(fact)} Nothing was sent." for fact in facts))

    def _problems(self, columns: Mapping[str, pa.DataType | None]) -> Iterator[str]:
        """Yield why the expression gives no score. Types are checked once those of all its columns are known."""
        unknown = unknown_columns(self.text, columns.keys())
        for name in unknown:
            if name.startswith("_") and name not in (WARNINGS, SAMPLE):
                yield f"{name!r} is not known yet when the score is made: use the key, the answer or carried columns"
                continue
            hint = " (no check has `warn: true`)" if name == WARNINGS else nearest(name, columns.keys())
            yield f"the table has no column {name!r}{hint}"
        types = {name: columns[name] for name in columns_in(self.text, columns.keys())}
        if not unknown and None not in types.values():
            try:
                kind = type_of(self.text, pa.schema(types.items()))
            except ValueError as error:
                yield str(error)
            else:
                if not _NUMBERS.fullmatch(kind):
                    yield f"is {kind}, not a number or a boolean, so it cannot be ordered as a score"
