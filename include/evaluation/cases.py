"""The cases of an evaluation: the rows of the source, each with answers of all variants and samples."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa

from include.enrichment.answers.table import SAMPLE, VARIANT
from include.enrichment.spec.pipeline import Pipeline
from include.enrichment.spec.variants import CURRENT
from include.evaluation.spec.settings import EvaluationSettings

Positions = np.ndarray[tuple[int], np.dtype[np.int64]]


@dataclass(frozen=True, kw_only=True)
class Cases:
    """
    The cases, numbered in the order in which the table and then the rejects have them.

    :param key: the key columns of a case: those of the table without variant and sample
    :param frame: Scores.cases
    """

    key: Sequence[str]
    frame: pd.DataFrame
    _positions: Mapping[tuple[Hashable, ...], int]

    def positions(self, rows: pa.Table) -> Positions:
        """Return the position of each row's case; -1 for a row of no case. The rows have the columns of ``key``."""
        known = self._positions
        return np.fromiter((known.get(key, -1) for key in _keys(rows, self.key)), np.int64, len(rows))


def number_cases(table: pa.Table, rejects: pa.Table, settings: EvaluationSettings, pipeline: Pipeline) -> Cases:
    """
    Return the cases of a published partition.

    :param table: its rows
    :param rejects: its rejects, which have the same key and carried columns
    """
    key = [name for name in pipeline.settings.key_types if name not in (VARIANT, SAMPLE) and name in table.column_names]
    cluster = [settings.cluster] if settings.cluster else []
    columns = list(dict.fromkeys([*key, *settings.by, *cluster]))
    # The types of the two may differ in width: string and large_string.
    rows = pa.concat_tables([table.select(columns), rejects.select(columns)], promote_options="permissive")
    positions: dict[tuple[Hashable, ...], int] = {}
    first: list[int] = []
    for place, one in enumerate(_keys(rows, key)):
        if positions.setdefault(one, len(positions)) == len(first):
            first.append(place)
    frame = rows.take(pa.array(first, pa.int64())).to_pandas(integer_object_nulls=True)
    return Cases(key=key, frame=frame, _positions=positions)


def variants_of(rows: pa.Table) -> list[str]:
    """Return the variant of each row: ``current`` for a pipeline without variants."""
    return rows[VARIANT].to_pylist() if VARIANT in rows.column_names else [CURRENT] * len(rows)


def samples_of(rows: pa.Table) -> list[int]:
    """Return the number of the sample of each row, from 1."""
    return rows[SAMPLE].to_pylist() if SAMPLE in rows.column_names else [1] * len(rows)


def _keys(rows: pa.Table, key: Sequence[str]) -> Iterator[tuple[Hashable, ...]]:
    return zip(*(rows[name].to_pylist() for name in key), strict=True)
