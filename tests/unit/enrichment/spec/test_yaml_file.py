from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter

from include.enrichment.spec.yaml_file import DuplicateKey, error_line, line_of, read_model, read_yaml

TEXT = """\
- name: a
  words: {max: 3}
- name: b
"""
NUMBERS = TypeAdapter(dict[str, int])


def describe(problem: Any, _: object) -> str:
    return str(problem["loc"][0])


def mistakes(text: str) -> list[str]:
    return read_model(text, file="f.yaml", validate=NUMBERS.validate_python, describe=describe)[2]


def test_each_node_has_its_line() -> None:
    data, lines = read_yaml(TEXT)
    assert data == [{"name": "a", "words": {"max": 3}}, {"name": "b"}]
    assert lines[0, "words", "max"] == 2
    assert lines[1,] == lines[1, "name"] == 3


def test_a_path_that_the_file_lacks_has_the_line_of_what_it_has() -> None:
    _, lines = read_yaml(TEXT)
    assert line_of(lines, (1, "words", "max")) == 3
    assert line_of(lines, ("x",)) == 1


def test_a_key_that_occurs_twice_is_an_error_with_its_line() -> None:
    with pytest.raises(DuplicateKey) as caught:
        read_yaml("a: 1\nb: 2\na: 3\n")
    assert error_line(caught.value) == 3
    assert mistakes("a: 1\nb: 2\na: 3\n") == ["f.yaml:3: duplicate key 'a'"]


def test_aliases_that_grow_without_end_are_an_error() -> None:
    doubled = [f"k{number}: &k{number} [*k{number - 1}, *k{number - 1}]" for number in range(1, 40)]
    (mistake,) = mistakes("\n".join(["k0: &k0 x", *doubled]))
    assert mistake == "f.yaml:1: has more than 500,000 values: write out what its aliases (*name) repeat"


def test_a_document_that_nests_too_deep_is_an_error() -> None:
    (mistake,) = mistakes("[" * 100_000)
    assert mistake.startswith("f.yaml:1: is not YAML: maximum recursion depth exceeded")


def test_an_empty_file_has_no_nodes() -> None:
    assert read_yaml("# nothing\n") == (None, {})


def test_an_error_is_described_as_an_author_understands_it() -> None:
    assert mistakes("a: 1\n\tb: 2\n") == ["f.yaml:2: the line begins with a tab: indent with spaces"]


def test_a_document_that_does_not_fit_its_model_has_a_mistake_for_each_place() -> None:
    assert mistakes("a: x\n\nb: 2\nc: y\n") == ["f.yaml:1: a", "f.yaml:4: c"]
    assert read_model("a: 1\n", file="f.yaml", validate=NUMBERS.validate_python, describe=describe) == (
        {"a": 1},
        {(): 1, ("a",): 1},
        [],
    )
