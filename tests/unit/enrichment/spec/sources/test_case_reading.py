"""case_reading.py: a pipeline whose rows are in a file of its folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from include.enrichment.spec.pipeline import Pipeline
from tests.fixtures.folder import YAML, Load, Mistakes

CASES = '{"id": 1, "text": "broken pump", "truth": "repair"}\n{"id": 2, "text": "hello"}\n'


def reads(file: str = "evaluation/cases.jsonl", more: str = "  carry: {truth: string}\n") -> str:
    return YAML.replace("connection: warehouse", f"cases: {file}").replace("request:", f"{more}request:")


@pytest.fixture
def write_cases(tmp_path: Path) -> Callable[..., None]:
    def written(text: str = CASES, name: str = "evaluation/cases.jsonl") -> None:
        path = tmp_path / "tickets" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    written()
    return written


@pytest.mark.usefixtures("write_cases")
def test_cases_need_neither_query_nor_connection_and_are_stored_with_the_run(load: Load) -> None:
    pipeline = load(yaml=reads(), sql=None)
    assert (pipeline.settings.source.instead_of_query, pipeline.cases) == ("cases", CASES)
    assert Pipeline.model_validate_json(pipeline.model_dump_json()) == pipeline


@pytest.mark.usefixtures("write_cases")
def test_a_column_that_the_file_lacks_is_reported_where_it_is_used(mistakes: Mistakes) -> None:
    yaml = reads(more="  carry: [truths]\n").replace("id: int64", "ids: int64")
    assert mistakes(yaml=yaml, sql=None, user="{{ text }}\n{{ title }}") == [
        "pipeline.yaml:3: source.key: evaluation/cases.jsonl has no column 'ids'; did you mean 'id'?",
        "pipeline.yaml:4: source.carry: evaluation/cases.jsonl has no column 'truths'; did you mean 'truth'?",
        "user.md:2: evaluation/cases.jsonl has no column 'title'",
    ]


@pytest.mark.usefixtures("write_cases")
def test_an_unknown_file_is_reported_with_the_closest_name(mistakes: Mistakes) -> None:
    (line,) = mistakes(yaml=reads("evaluation/case.jsonl"), sql=None)
    assert line.endswith("there is no file 'evaluation/case.jsonl'; did you mean 'evaluation/cases.jsonl'?")
    assert line.startswith("pipeline.yaml:2: source.cases:")


def test_the_mistakes_of_the_file_are_reported_with_their_lines(
    mistakes: Mistakes, write_cases: Callable[..., None]
) -> None:
    write_cases('{"id": 1, "text": "a", "truth": "b"}\nnothing\n{"id": "x", "text": "c"}\n')
    first, second = mistakes(yaml=reads(), sql=None)
    assert first.startswith("evaluation/cases.jsonl:2: is not a case like")
    assert second.startswith("evaluation/cases.jsonl:3: 'id' is 'x' (str), which is not int64")


def test_each_case_has_a_key_of_its_own(mistakes: Mistakes, write_cases: Callable[..., None]) -> None:
    write_cases('{"id": 1, "text": "a", "truth": "b"}\n\n{"id": 1, "text": "c"}\n{"id": null, "text": "d"}\n')
    assert mistakes(yaml=reads(), sql=None) == [
        "evaluation/cases.jsonl:3: has the key of line 1: id=1 (int)",
        "evaluation/cases.jsonl:4: has no 'id', which is the key",
    ]


def test_an_object_without_columns_lacks_the_key(mistakes: Mistakes, write_cases: Callable[..., None]) -> None:
    write_cases("{}\n")
    assert (
        mistakes(yaml=reads(), sql=None)[0] == "pipeline.yaml:3: source.key: evaluation/cases.jsonl has no column 'id'"
    )
