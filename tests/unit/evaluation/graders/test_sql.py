"""graders/sql.py: a SQL expression over the row and its answer."""

from __future__ import annotations

import pyarrow as pa
import pytest

from include.enrichment.errors import SpecError
from include.evaluation.graders.grader import Gradable
from include.evaluation.graders.sql import Sql
from include.evaluation.scores import Grade

_ROWS = pa.table(
    {"id": ["b", "a", "c"], "total": [10.0, 20.0, None], "lines": [[4.0, 6.0], [5.0], []], "Truth": [10, 21, 3]}
)


def _grades(expression: str) -> list[Grade]:
    return Sql(expression=expression).grade_all(Gradable(field="", values=[None] * 3, expected=[None] * 3, rows=_ROWS))


def test_true_is_right_false_is_wrong_and_null_is_unscored() -> None:
    found = _grades("total = truth")
    assert [grade.score for grade in found] == [1, 0, None]
    assert [grade.status for grade in found] == ["scored", "scored", "unscored"]
    assert found[1].detail == "is false"


def test_a_number_is_the_score() -> None:
    found = _grades("1 - abs(list_sum(lines) - truth) / truth -- share")
    assert [grade.score for grade in found] == [1, pytest.approx(5 / 21), None]
    assert found[1].detail == "is 0.238"


def test_an_expression_may_use_no_column() -> None:
    assert [grade.score for grade in _grades("true")] == [1, 1, 1]


@pytest.mark.parametrize(
    ("expression", "fact"),
    [
        ("totl > 1", "the table has no column 'totl'; did you mean 'total'?"),
        ("total", "gives 10, but a score is from 0 to 1"),
        ("id", "Could not convert string 'b' to DOUBLE"),
        ("sum(total)", "sum"),
        ("no_such(total)", "Function with name no_such does not exist"),
    ],
)
def test_an_expression_that_gives_no_score_is_reported(expression: str, fact: str) -> None:
    with pytest.raises(SpecError) as raised:
        _grades(expression)
    assert fact in str(raised.value)
    assert "Nothing was evaluated." in str(raised.value)


@pytest.mark.parametrize(
    "expression", ["(select 1)", "random() < 1", "total >", "total, id", "read_text('/etc/passwd')"]
)
def test_an_expression_sees_nothing_but_its_row(expression: str) -> None:
    with pytest.raises((ValueError, SpecError)):
        _grades(expression)
