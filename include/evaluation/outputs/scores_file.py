"""
scores.parquet: every score of an evaluation with its case and its texts.

The columns of the case keep their names.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pyarrow as pa

from include.enrichment.answers.table import SAMPLE, VARIANT
from include.enrichment.errors import LakeError
from include.enrichment.storage.version import check_stamp, with_stamp
from include.evaluation.scores import Scores

_CASE = "_case"
#: The columns of Scores.scores and Scores.texts, with their names in the file.
_SCORES = {"variant": VARIANT, "sample": SAMPLE, "metric": "_metric", "status": "_status", "score": "_score"}
_TEXTS = {"expected": "_expected", "answer": "_answer", "detail": "_detail"}
_TYPES = {"variant": pa.string(), "sample": pa.int64(), "metric": pa.string(), "status": pa.string()} | {
    "score": pa.float64()
}
#: The names in the metadata of two lists: the columns that identify a case, and all columns of a case.
_KEY, _CASE_COLUMNS = "key", "case"


def scores_table(scores: Scores, *, key: Sequence[str]) -> pa.Table:
    """
    Return the content of scores.parquet, one row per score in the order of ``scores``.

    :param key: the columns of ``scores.cases`` that identify a case
    """
    position = pa.array(scores.scores["case"], pa.int64())
    cases = pa.Table.from_pandas(scores.cases, preserve_index=False).replace_schema_metadata().take(position)
    columns = dict(zip(cases.column_names, cases.columns, strict=True)) | {_CASE: position}
    for name, stored in _SCORES.items():
        column = pa.array(scores.scores[name], from_pandas=True)
        columns[stored] = column.cast(_TYPES[name]) if len(column) else pa.array([], _TYPES[name])
    for name, stored in _TEXTS.items():
        # The texts of one partition may exceed the 2 GiB of a string column.
        columns[stored] = pa.array(scores.texts[name], pa.large_string(), from_pandas=True)
    table = pa.table(columns)
    facts = {_KEY: json.dumps(list(key)), _CASE_COLUMNS: json.dumps(cases.column_names)}
    return table.cast(with_stamp(table.schema, facts))


def read_scores(table: pa.Table, *, name: str) -> tuple[Scores, list[str]]:
    """
    Return the scores in a scores.parquet, and the columns that identify a case.

    Raises LakeError if a newer version of the project wrote it, or if it is no such file.

    :param name: the file's name in messages
    """
    metadata = table.schema.metadata or {}
    check_stamp(metadata, name)
    missing = [column for column in (_CASE, *_SCORES.values(), *_TEXTS.values()) if column not in table.column_names]
    if missing or not {_KEY.encode(), _CASE_COLUMNS.encode()} <= metadata.keys():
        raise LakeError(
            f"{name} is not the scores of an evaluation: it lacks {', '.join(missing) or 'the names of its key'}.",
            retryable=False,
        )
    frame = table.select([_CASE, *_SCORES.values()]).to_pandas()
    frame = frame.rename(columns={_CASE: "case"} | {stored: column for column, stored in _SCORES.items()})
    for column in ("variant", "metric", "status"):
        frame[column] = frame[column].astype("category")
    texts = table.select(list(_TEXTS.values())).to_pandas()
    texts = texts.rename(columns={stored: column for column, stored in _TEXTS.items()})
    columns = json.loads(metadata[_CASE_COLUMNS.encode()])
    cases = _cases(table.select(columns), frame["case"])
    return Scores(scores=frame, texts=texts, cases=cases), json.loads(metadata[_KEY.encode()])


def _cases(columns: pa.Table, position: pd.Series[int]) -> pd.DataFrame:
    """One row per case, in the order of its positions. A case that no metric has scored has only missing values."""
    known, rows = np.unique(position.to_numpy(), return_index=True)
    cases: pd.DataFrame = columns.take(pa.array(rows, pa.int64())).to_pandas()
    cases.index = pd.Index(known)
    return cases.reindex(range(int(known[-1]) + 1 if len(known) else 0))
