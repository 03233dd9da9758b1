"""graders/registry.py: a setting becomes a grader, or its mistakes are reported with their place."""

from __future__ import annotations

import pytest

from include.evaluation.graders.registry import read_grader
from include.evaluation.graders.sql import Sql
from include.evaluation.graders.structures.objects import Object
from include.evaluation.graders.values.exact import Exact
from include.evaluation.graders.values.number import Number
from include.evaluation.graders.values.text import Text
from include.evaluation.options import OptionMistakes


def test_a_name_is_a_grader_without_options() -> None:
    assert read_grader("exact") == Exact()
    assert read_grader({"text": None}) == Text()


def test_a_mapping_gives_its_options() -> None:
    assert read_grader({"text": {"ignore": ["punctuation"]}}) == Text(ignore=["punctuation"])


def test_a_plain_value_is_the_main_option() -> None:
    assert read_grader({"sql": "total > 0"}) == Sql(expression="total > 0")
    assert read_grader({"pattern": "^A"}) == read_grader({"pattern": {"pattern": "^A"}})


def test_fields_of_an_object_have_graders_of_their_own() -> None:
    setting = {"object": {"fields": {"a": "exact", "b": {"number": {"tolerance": 1}}}}}
    assert read_grader(setting) == Object(fields={"a": Exact(), "b": Number(tolerance=1)})


def test_mistakes_of_several_fields_are_reported_together() -> None:
    with pytest.raises(OptionMistakes) as raised:
        read_grader({"object": {"fields": {"a": "exat", "b": "txt"}}})
    assert len(raised.value.mistakes) == 2


@pytest.mark.parametrize(
    ("setting", "path", "fact"),
    [
        ("exat", (), "unknown grader 'exat'; did you mean 'exact'?"),
        ({"text": {"ignored": []}}, ("text", "ignored"), "unknown key; did you mean 'ignore'?"),
        ({"text": {"ignore": ["colour"]}}, ("text", "ignore", 0), "got 'colour'"),
        ({"number": {"tolerance": -1}}, ("number", "tolerance"), "greater than or equal to 0, got -1"),
        ({"pattern": "("}, ("pattern", "pattern"), "is not a valid RE2 pattern"),
        ({"sql": "total >"}, ("sql", "expression"), "is not an SQL expression"),
        ({"pattern": {}}, ("pattern", "pattern"), "is missing"),
        ({"object": {}}, ("object", "fields"), "is missing"),
        ({"object": {"fields": {"a": "exat"}}}, ("object", "fields", "a"), "unknown grader 'exat'"),
        ({"object": {"fields": {"a": {"sql": "true"}}}}, ("object", "fields", "a"), "this grader is for whole answers"),
        (
            {"object": {"fields": {"a": {"object": {"fields": {"b": {"number": {"tol": 1}}}}}}}},
            ("object", "fields", "a", "object", "fields", "b", "number", "tol"),
            "unknown key",
        ),
        ({"text": "case"}, ("text",), "must be a mapping of options: ignore"),
        ({"text": {}, "exact": {}}, (), "must be the name of one grader"),
        (3, (), "must be the name of one grader"),
    ],
)
def test_a_mistake_is_reported_with_its_place(setting: object, path: tuple[str | int, ...], fact: str) -> None:
    with pytest.raises(OptionMistakes) as raised:
        read_grader(setting)
    ((found, told),) = raised.value.mistakes
    assert found == path
    assert fact in told
