"""One judge: its pipeline, what it has published, and which of its columns are those of the answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from include.enrichment.answers.table import SAMPLE, VARIANT
from include.enrichment.spec.pipeline import Pipeline
from include.enrichment.spec.variants import CURRENT
from include.evaluation.cases import Cases


@dataclass(frozen=True, kw_only=True)
class Judge:
    """
    A judge with its published partition.

    :param table: one row for each graded answer or pair
    :param rejects: those whose grade could not be read
    """

    pipeline: Pipeline
    table: pa.Table
    rejects: pa.Table

    @property
    def name(self) -> str:
        """The name of its pipeline."""
        return self.pipeline.name


@dataclass(frozen=True, kw_only=True)
class JudgedRow:
    """
    One row of a judge.

    :param case: the position of the case
    :param names: the variants of the columns that were asked for
    :param grade: as the judge wrote it; None if there is none
    :param reason: what the judge says about it, or why there is no grade
    """

    case: int
    sample: int
    names: tuple[str, ...]
    grade: Any
    reason: str


def judged_rows(judge: Judge, field: str, cases: Cases, *, names: Sequence[str]) -> Iterator[JudgedRow]:
    """
    Yield the rows of a judge, first those with a grade. Rows of cases that the evaluation does not have are left out.

    :param field: the column with the grade
    :param names: the columns with the names of variants; one that the judge does not have is the only variant
    """
    rename = judge.pipeline.settings.source.rename
    for rows, graded in ((judge.table, True), (judge.rejects, False)):
        count = len(rows)
        keys = rows.select([rename.get(name, name) for name in cases.key]).rename_columns(list(cases.key))
        samples = _values(rows, rename.get(SAMPLE), 1)
        variants = [_values(rows, name, CURRENT) for name in names]
        grades = rows[field].to_pylist() if graded else [None] * count
        reasons = _reasons(judge, rows, field) if graded else _reject_reasons(rows)
        for place, case in enumerate(cases.positions(keys).tolist()):
            if case >= 0:
                yield JudgedRow(
                    case=case,
                    sample=samples[place],
                    names=tuple(column[place] for column in variants),
                    grade=grades[place],
                    reason=reasons[place],
                )


def variant_column(judge: Judge) -> str:
    """
    Return the column of a judge with the variant of an answer.

    A column that begins with an underscore is never a key, so a ``_variant`` is one of the judge's own.
    """
    return judge.pipeline.settings.source.rename.get(VARIANT, "")


def _values(rows: pa.Table, column: str | None, otherwise: Any) -> list[Any]:
    known = column and column in rows.column_names
    return rows[column].to_pylist() if known else [otherwise] * len(rows)


def _reasons(judge: Judge, rows: pa.Table, field: str) -> list[str]:
    """Return the texts that a judge wrote beside each grade."""
    kinds = judge.pipeline.output.properties
    texts = [name for name, kind in kinds.items() if name != field and kind.type == "string" and not kind.named]
    columns = [rows[name].to_pylist() for name in texts]
    return [" ".join(text for text in line if text) for line in zip(*columns, strict=True)] or [""] * len(rows)


def _reject_reasons(rows: pa.Table) -> list[str]:
    outcomes, reasons = rows["outcome"].to_pylist(), rows["reason"].to_pylist()
    return [f"the judge's answer is {one}: {why}" for one, why in zip(outcomes, reasons, strict=True)]
