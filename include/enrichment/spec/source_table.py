"""``source.table``: the pipeline whose table another one reads, and the columns of that table."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from functools import cached_property
from typing import TYPE_CHECKING

from include.enrichment.answers.table import SAMPLE, VARIANT
from include.enrichment.errors import nearest, nearest_of
from include.enrichment.requests.row_expression import expression_problems
from include.enrichment.requests.template import Template
from include.enrichment.spec.parse_time import (
    column_names,
    read_setting,
    source_column_names,
    source_tables,
    variant_names,
)
from include.enrichment.spec.renaming import Renaming
from include.enrichment.spec.settings import FromColumn, Settings
from include.enrichment.spec.sources.pairs import FIRST, SECOND, PairSettings, split_side
from include.enrichment.spec.where import Where

if TYPE_CHECKING:
    from pathlib import Path


class SourceTable:
    """
    The table that a pipeline reads, as the folders of the pipelines describe it.

    :param settings: those of the pipeline that reads it, with a table
    :param folder: of that pipeline
    :param others: the names of all other pipelines
    """

    def __init__(self, settings: Settings, *, folder: Path, others: Collection[str]) -> None:
        self._source = settings.source
        self._renaming = Renaming(names=settings.source.rename)
        self._table = settings.source.table or ""
        self._pairs = settings.source.pairs
        self._for_each = settings.for_each
        self._keep = settings.keep
        self._folder = folder
        self._others = others

    @cached_property
    def unreadable(self) -> str:
        """Why no run can read the table: it is its own, an unknown one, or reads this one in turn; empty if it can."""
        table, name = self._table, self._folder.name
        chain = [name, *source_tables(self._folder / "pipeline.yaml")]
        if table == name:
            return "a pipeline cannot read its own table: name another pipeline"
        if table not in self._others:
            return f"there is no pipeline {table!r}{nearest_of(table, self._others)}"
        if chain[-1] in chain[:-1]:
            return f"the pipelines read each other in a cycle: {' reads '.join(chain)}"
        return ""

    @cached_property
    def columns(self) -> list[str]:
        """
        The columns of the table by their names here, without those that begin with an underscore; none if they cannot
        be known. With pairs, those of the pairs.
        """
        table = self._of_table
        if not self._pairs or not table:
            return table
        shared = self._renaming.of([*source_column_names(self._folder.parent / self._table), *self._source.rename])
        return self._pairs.of(table, shared=[name for name in dict.fromkeys(shared) if name in table])

    @cached_property
    def _of_table(self) -> list[str]:
        """The columns of a row of the table by their names here, also with pairs."""
        return self._renaming.of(self._stored)

    @cached_property
    def _stored(self) -> list[str]:
        """
        The columns by their names in the table. Of those that begin with an underscore only the renamed ones: no folder
        lists them all.
        """
        found = [] if self.unreadable else column_names(self._folder.parent / self._table)
        return [*found, *(name for name in self._source.rename if name.startswith("_"))] if found else []

    def problems(self) -> Iterator[tuple[tuple[str, ...], str]]:
        """
        Yield why the table cannot be read, and each column of the new names, the key, the carried columns, for_each and
        the condition that it does not have, each fact with its place in pipeline.yaml.
        """
        if self.unreadable:
            yield ("source", "table"), self.unreadable
        if self._stored:
            yield from ((("source", "rename", name), fact) for name, fact in self._renaming.problems(self._stored))
        for setting, columns in (("key", self._source.key), ("carry", self._source.carry)):
            for column in columns:
                yield from ((("source", setting, column), fact) for fact in self._unknown([column]))
        for name, values in self._for_each.items():
            if isinstance(values, FromColumn):
                yield from ((("for_each", name), fact) for fact in self._unknown([values.column]))
        if (
            self._keep
            and not self.unreadable
            and self._renaming.names.get(among := self._kept, among) == self._keep.among
        ):
            yield (
                ("keep", "among"),
                f"{self._table!r} publishes only the best {among!r} itself, so there is nothing to choose from: remove"
                " `keep` from its pipeline.yaml, so that it publishes all",
            )
        where = self._source.where
        if where and self._of_table and not any(expression_problems(where)):
            unknown = Where(text=where, location="").unknown_columns(self._of_table)
            yield from ((("source", "where"), fact) for fact in self._unknown(unknown, self._of_table))
        if self._pairs and not self.unreadable:
            yield from self._pair_problems(self._pairs)

    def _pair_problems(self, pairs: PairSettings) -> Iterator[tuple[tuple[str, ...], str]]:
        table = self._folder.parent / self._table
        variants = variant_names(table / "pipeline.yaml") or None
        yield from pairs.problems(self._of_table, key=self._source.key, variants=variants)
        place = ("source", "pairs", "column")
        yield from ((place, fact) for fact in self._unknown([pairs.column], self._of_table))
        if self._renaming.names.get(kept := self._kept, kept) == pairs.column:
            yield (
                place,
                f"{self._table!r} publishes only the best {pairs.column!r}: remove `keep` from its pipeline.yaml",
            )
        if pairs.column == VARIANT and variants and pairs.baseline and pairs.baseline not in variants:
            fact = f"{self._table!r} has no variant {pairs.baseline!r}{nearest(pairs.baseline, variants)}"
            yield ("source", "pairs", "baseline"), fact

    @property
    def _kept(self) -> str:
        """The column of the table whose best value alone is published; empty if all are."""
        keep = read_setting(self._folder.parent / self._table / "pipeline.yaml", "keep")
        return str(keep.get("among", SAMPLE)) if isinstance(keep, dict) else ""

    def prompt_problems(self, text: str) -> Iterator[tuple[int, str]]:
        """Yield each column of a prompt that the table does not have, with its line. Raises SpecError as Template."""
        for column, line in Template(text, file="").columns.items():
            if column not in self._for_each:
                yield from ((line, fact) for fact in self._unknown([column]))

    def _unknown(self, names: Collection[str], known: Collection[str] | None = None) -> Iterator[str]:
        """Yield the names that are no column of ``known``; None: of ``columns``."""
        known = self.columns if known is None else known
        for name in names:
            # The columns that begin with an underscore are those that every table has.
            plain = split_side(name)[1] if self._pairs else name
            if not known or name in known or plain.startswith("_"):
                continue
            if self._pairs and name in self._of_table:
                yield f"{name!r} is a column of one answer: write {FIRST}_{name} and {SECOND}_{name}"
                continue
            here = self._source.rename.get(name)
            hint = f": source.rename calls it {here!r}" if here else nearest(name, known)
            yield f"the table of {self._table!r} has no column {name!r}{hint}"
