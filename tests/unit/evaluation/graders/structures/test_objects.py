"""graders/structures/objects.py: objects, field by field, and lists of them."""

from __future__ import annotations

import time
from typing import Any

import pytest

from include.enrichment.answers.schema.kind import Kind
from include.evaluation.graders.structures.objects import Object
from include.evaluation.graders.values.exact import Exact
from include.evaluation.graders.values.number import Number
from include.evaluation.graders.values.text import Text

_LINE = Object(fields={"name": Text(), "amount": Number(tolerance=0.01)})


@pytest.mark.parametrize(
    ("expected", "answer", "score", "detail"),
    [
        ({"name": "Tea", "amount": 2}, {"name": "tea", "amount": 2.01, "more": 1}, 1, ""),
        ({"name": "Tea", "amount": 2}, {"name": "tea", "amount": 3}, 0.5, "amount differs by 1"),
        ({"name": None, "amount": 2}, {"name": None, "amount": 2}, 1, ""),
        ({"name": None, "amount": 2}, {"amount": 2}, 1, ""),
        ({"name": None, "amount": 2}, {"name": "tea", "amount": 2}, 0.5, "name is not null"),
        ({"name": "Tea", "amount": 2}, {"amount": 2}, 0.5, "name is null"),
        ('{"name": "Tea", "amount": 2}', {"name": "tea", "amount": 2}, 1, ""),
        ({"name": "Tea", "amount": 2}, "tea", 0, "is not an object"),
    ],
)
def test_an_object_is_scored_by_its_fields(expected: Any, answer: Any, score: float, detail: str) -> None:
    grade = _LINE.grade(expected, answer)
    assert grade.score == score
    assert grade.detail == detail


def _lines(*pairs: tuple[str, float]) -> list[dict[str, Any]]:
    return [{"name": name, "amount": amount} for name, amount in pairs]


_WANTED = _lines(("tea", 1), ("milk", 2), ("bread", 3))


@pytest.mark.parametrize(
    ("answer", "score", "detail"),
    [
        (_lines(("tea", 1), ("milk", 2), ("bread", 3)), 1, ""),
        (_lines(("bread", 3), ("tea", 1), ("milk", 2)), 1, ""),
        (_lines(("tea", 1), ("bread", 3)), 2 / 3, "1 missing"),
        (_lines(("tea", 1), ("milk", 2), ("bread", 3), ("jam", 9)), 3 / 4, "1 not expected"),
        (_lines(("tea", 1), ("milk", 5), ("bread", 3)), 5 / 6, "[1] amount differs by 3"),
        ([], 0, "3 missing"),
        (["tea", {"name": "milk", "amount": 2}], 1 / 3, "[0] name is null; amount is null; 1 missing"),
    ],
)
def test_a_list_of_objects_is_compared_with_those_most_like_them(answer: Any, score: float, detail: str) -> None:
    grade = _LINE.grade(_WANTED, answer)
    assert grade.score == pytest.approx(score)
    assert grade.detail == detail


def test_no_objects_are_right_where_none_are_expected() -> None:
    assert _LINE.grade([], []).score == 1
    assert _LINE.grade([], _WANTED).score == 0


def test_an_object_may_have_a_list_of_objects() -> None:
    order = Object(fields={"number": Exact(), "lines": _LINE})
    wanted = {"number": "7", "lines": _WANTED}
    assert order.grade(wanted, {"number": "7", "lines": _WANTED[:2]}).score == pytest.approx(5 / 6)


def test_a_field_that_cannot_be_graded_does_not_count() -> None:
    assert _LINE.grade({"name": "tea", "amount": "?"}, {"name": "tea", "amount": 2}).score == 1
    assert Object(fields={"amount": Number()}).grade({"amount": "?"}, {"amount": 2}).status == "unscored"
    only = Object(fields={"amount": Number()})
    assert only.grade([{"amount": "?"}, {"amount": 1}], [{"amount": 2}, {"amount": 1}]).score == 1
    assert only.grade([{"amount": "?"}], [{"amount": 2}]).status == "unscored"


@pytest.mark.parametrize("expected", [3, "tea", ["tea"]])
def test_an_expected_value_without_objects_leaves_the_answer_unscored(expected: Any) -> None:
    assert _LINE.grade(expected, {"name": "tea"}).status == "unscored"


def test_a_reason_names_a_few_objects() -> None:
    wanted = _lines(*((f"name {number}", number) for number in range(9)))
    found = [{**one, "amount": one["amount"] + 20} for one in wanted]
    assert _LINE.grade(wanted, found).detail.endswith("[4] amount differs by 20; 4 more")


def test_long_lists_are_compared_in_place() -> None:
    wanted = _lines(*((f"name {number}", number) for number in range(2_000)))
    started = time.monotonic()
    assert _LINE.grade(wanted, wanted[1:]).score == 0
    assert time.monotonic() - started < 5


_KIND = Kind(type="object", properties={"name": Kind(type="string"), "amount": Kind(type="number")})


def test_a_field_that_the_schema_lacks_is_reported_also_in_a_list() -> None:
    wrong = Object(fields={"nam": Text()})
    assert _LINE.kind_problem("'line'", _KIND) is None
    told = "'line': the output has no field 'nam'; did you mean 'name'? There are: name, amount"
    assert wrong.kind_problem("'line'", _KIND) == told
    assert wrong.kind_problem("'line'", Kind(type="array", items=_KIND)) == told


def test_objects_of_any_shape_may_have_the_fields() -> None:
    assert _LINE.kind_problem("'line'", Kind(type="object")) is None
    assert (
        _LINE.kind_problem("'line'", Kind(type="number"))
        == "'line' is number; this grader is for object, array, string"
    )


def test_a_field_has_a_type_that_its_grader_can_grade() -> None:
    kind = Kind(type="object", properties={"name": Kind(type="array"), "amount": Kind(type="number")})
    assert _LINE.kind_problem("'line'", kind) == (
        "'line': 'name' is array; this grader is for string, integer, number, boolean"
    )
