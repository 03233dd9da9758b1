"""The names that columns of files and tables have in a pipeline: ``source.rename``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from include.enrichment.errors import SpecError, nearest, sentence


@dataclass(frozen=True, kw_only=True)
class Renaming:
    """
    The new names of a checked pipeline.

    :param names: the new name of each renamed column
    :param location: the file, line and setting, for errors
    """

    names: Mapping[str, str] = field(default_factory=dict)
    location: str = ""

    def of(self, columns: Iterable[str]) -> list[str]:
        """Return the columns of the source with their new names."""
        return [self.names.get(name, name) for name in columns]

    def problems(self, columns: Sequence[str]) -> Iterator[tuple[str, str]]:
        """Yield each renamed column that the source does not have, or whose new name is taken, with the fact."""
        for old, new in self.names.items():
            if old not in columns:
                yield old, f"the source has no column {old!r}{nearest(old, columns)}"
            elif new in columns and new not in self.names:
                yield old, f"{old!r} cannot become {new!r}: the source has a column of that name; choose another name"

    def stored(self, schema: pa.Schema) -> dict[str, str]:
        """
        Return the column of the source for each column of the pipeline.

        Raises SpecError for a renamed column that the source does not have, or whose new name another column has.
        """
        if facts := [fact for _, fact in self.problems(schema.names)]:
            raise SpecError(
                f"{self.location}: {sentence('; '.join(facts))} Columns of the source: {', '.join(schema.names)}."
                " Nothing was sent."
            )
        return dict(zip(self.of(schema.names), schema.names, strict=True))
