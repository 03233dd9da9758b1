"""graders/registry.py: a setting becomes a grader, or its mistakes are told with their place."""

from __future__ import annotations

import pytest

from include.evaluation.graders.exact import Exact
from include.evaluation.graders.registry import GraderMistakes, read_grader
from include.evaluation.graders.text import Text


def test_a_name_is_a_grader_without_options() -> None:
    assert read_grader("exact") == Exact()
    assert read_grader({"text": None}) == Text()


def test_a_mapping_gives_its_options() -> None:
    assert read_grader({"text": {"ignore": ["punctuation"]}}) == Text(ignore=["punctuation"])


@pytest.mark.parametrize(
    ("setting", "path", "fact"),
    [
        ("exat", (), "unknown grader 'exat'; did you mean 'exact'?"),
        ({"text": {"ignored": []}}, ("text", "ignored"), "unknown key; did you mean 'ignore'?"),
        ({"text": {"ignore": ["colour"]}}, ("text", "ignore", 0), "got 'colour'"),
        ({"text": "case"}, ("text",), "must be a mapping of options: ignore"),
        ({"text": {}, "exact": {}}, (), "must be the name of one grader"),
        (3, (), "must be the name of one grader"),
    ],
)
def test_a_mistake_is_told_with_its_place(setting: object, path: tuple[str | int, ...], fact: str) -> None:
    with pytest.raises(GraderMistakes) as raised:
        read_grader(setting)
    ((found, told),) = raised.value.mistakes
    assert found == path
    assert fact in told
