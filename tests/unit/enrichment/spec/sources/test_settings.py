"""settings.py: the settings of a source in a file of the folder. Those of all sources are in spec/test_settings.py."""

from __future__ import annotations

import pyarrow as pa
import pytest
from pydantic import ValidationError

from include.enrichment.spec.sources.settings import SourceSettings

CASES = {"cases": "evaluation/cases.csv", "key": {"id": "int64"}}


def test_cases_replace_the_query_and_need_no_connection() -> None:
    settings = SourceSettings.model_validate({**CASES, "carry": {"total": "double", "note": None}})
    assert settings.instead_of_query == "cases"
    assert settings.column_types == {"id": pa.int64(), "total": pa.float64()}


@pytest.mark.parametrize(
    ("changes", "setting", "fact"),
    [
        ({"cases": "../cases.csv"}, "cases", "must be a .jsonl or .csv file within the pipeline's folder"),
        ({"cases": "/tmp/cases.csv"}, "cases", "must be a .jsonl or .csv file within the pipeline's folder"),
        ({"cases": "cases\x00.csv"}, "cases", "must be a .jsonl or .csv file within the pipeline's folder"),
        ({"cases": "evaluation/cases.yaml"}, "cases", "must be a .jsonl or .csv file within the pipeline's folder"),
        ({"connection": "warehouse"}, "connection", "is not used, because source.cases is a file of the pipeline's"),
        ({"rename": {"a": "b"}}, "rename", "is for source.files and source.table only: remove it"),
        ({"where": "id > 1"}, "where", "filters source.files, source.objects and source.table only: delete the rows"),
        ({"table": "labels"}, "cases", "a source is either source.table or source.cases: remove one of the two"),
    ],
)
def test_a_setting_that_does_not_fit_cases_is_a_mistake(changes: dict[str, object], setting: str, fact: str) -> None:
    with pytest.raises(ValidationError) as raised:
        SourceSettings.model_validate({**CASES, **changes})
    (error,) = raised.value.errors()
    assert error["loc"] == (setting,)
    assert fact in error["msg"]
