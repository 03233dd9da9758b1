"""graders/structures/json_equality.py: equality of JSON, but for what is ignored."""

from __future__ import annotations

from typing import Any

import pytest

from include.evaluation.graders.structures.json_equality import Json

_WANTED = {"id": 1, "lines": [{"id": 7, "name": "tea"}, {"id": 8, "name": None}], "meta": {"at": "now"}}


@pytest.mark.parametrize(
    ("changes", "detail"),
    [
        ({}, ""),
        ({"id": 1.0}, ""),
        ({"id": True}, "id is true instead of 1"),
        ({"lines": _WANTED["lines"][:1]}, "lines has 1 instead of 2 members"),  # type: ignore[index]
        (
            {"lines": [{"id": 7, "name": "milk"}, {"id": 8}]},
            "lines[0].name is milk instead of tea; lines[1].name is missing",
        ),
        ({"more": 1}, "more is not expected"),
        ({"meta": None}, 'meta is null instead of {"at":"now"}'),
    ],
)
def test_every_difference_is_wrong_and_named(changes: dict[str, Any], detail: str) -> None:
    grade = Json().grade(_WANTED, {**_WANTED, **changes})
    assert grade.score == (0 if detail else 1)
    assert grade.detail == detail


@pytest.mark.parametrize("path", ["lines.id", "lines[*].id", "$.lines.id"])
def test_an_ignored_path_in_a_list_is_that_of_each_member(path: str) -> None:
    changed = {**_WANTED, "lines": [{"id": 0, "name": "tea"}, {"name": None}]}
    assert Json(ignore=[path]).grade(_WANTED, changed).score == 1
    assert Json().grade(_WANTED, changed).score == 0


def test_an_ignored_object_is_ignored_with_all_in_it() -> None:
    assert Json(ignore=["meta"]).grade(_WANTED, {**_WANTED, "meta": 3}).score == 1


def test_texts_may_be_json() -> None:
    assert Json().grade('{"a": [1, 2]}', {"a": [1, 2]}).score == 1
    assert Json().grade('{"a": 1}', '{ "a": 1.0 }').score == 1
    assert Json().grade("a", "b").detail == "the value is b instead of a"
    assert Json().grade([1], [1, 2]).detail == "the list has 2 instead of 1 members"


def test_a_reason_names_a_few_differences() -> None:
    assert (
        Json().grade(dict.fromkeys("abcdefg", 1), dict.fromkeys("abcdefg", 2)).detail.endswith("2 instead of 1; more")
    )
