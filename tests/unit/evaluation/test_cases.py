"""cases.py: rows of all variants and samples become cases."""

from __future__ import annotations

from uuid import UUID

import pyarrow as pa
import pytest

from include.enrichment.spec.pipeline import Pipeline
from include.evaluation.cases import Cases, number_cases, samples_of, variants_of
from include.evaluation.spec.settings import EvaluationSettings
from tests.fixtures.folder import YAML, Load, load

__all__ = ["load"]

_SETTINGS = EvaluationSettings.model_validate(
    {"metrics": {"label": {"grade": "exact"}}, "by": ["shelf"], "cluster": "supplier"}
)
_TABLE = pa.table(
    {
        "id": [7, 7, 5, 5],
        "_variant": ["a", "b", "a", "a"],
        "_sample": [1, 1, 1, 2],
        "shelf": ["x", "x", "y", "y"],
        "supplier": [None, None, 3, 3],
        "label": ["p", "q", "r", "s"],
    }
)
_REJECTS = pa.table(
    {"id": [5, 9], "_variant": ["b", "a"], "_sample": [1, 1], "shelf": ["y", "z"], "supplier": [3, 4], "text": ["", ""]}
)


@pytest.fixture
def pipeline(load: Load) -> Pipeline:
    """Its key is ``id``."""
    return load(yaml=YAML.replace("key: {id: int64}", "key: {id: int64}\n  carry: [shelf, supplier]"))


@pytest.fixture
def cases(pipeline: Pipeline) -> Cases:
    """The cases 7 and 5, which have published rows, and 9, which has a reject only."""
    return number_cases(_TABLE, _REJECTS, _SETTINGS, pipeline)


def test_a_case_has_its_key_and_its_groups_once(cases: Cases) -> None:
    assert cases.key == ["id"]
    assert cases.frame.to_dict("list") == {"id": [7, 5, 9], "shelf": ["x", "y", "z"], "supplier": [None, 3, 4]}


def test_rows_are_found_by_their_key(cases: Cases) -> None:
    assert cases.positions(_TABLE).tolist() == [0, 0, 1, 1]
    assert cases.positions(_REJECTS).tolist() == [1, 2]


def test_a_row_of_no_case_is_reported(cases: Cases) -> None:
    assert cases.positions(pa.table({"id": [8, 9]})).tolist() == [-1, 2]


def test_a_key_may_be_a_uuid(pipeline: Pipeline) -> None:
    ids = [UUID(int=2), UUID(int=1), UUID(int=2)]
    table = pa.table({"id": pa.array([one.bytes for one in ids], pa.uuid()), "shelf": ["a"] * 3, "supplier": [1] * 3})
    cases = number_cases(table, table.slice(0, 0), _SETTINGS, pipeline)
    assert cases.positions(table).tolist() == [0, 1, 0]


def test_a_pipeline_without_variants_and_samples_has_one_of_each() -> None:
    rows = _TABLE.select(["id"])
    assert variants_of(rows) == ["current"] * 4
    assert samples_of(rows) == [1] * 4
    assert variants_of(_TABLE) == ["a", "b", "a", "a"]
    assert samples_of(_TABLE) == [1, 1, 1, 2]


def test_rejects_may_have_wider_types(pipeline: Pipeline) -> None:
    wide = _REJECTS.set_column(3, "shelf", _REJECTS["shelf"].cast(pa.large_string()))
    assert number_cases(_TABLE, wide, _SETTINGS, pipeline).frame["shelf"].tolist() == ["x", "y", "z"]
