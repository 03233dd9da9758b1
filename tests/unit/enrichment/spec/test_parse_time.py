"""glance.py: what a Dag is told of a pipeline's file, whatever state the file is in. More of that in test_passes.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from include.enrichment.spec.parse_time import budget_ceiling, column_names, model_names, read_setting


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "pipeline.yaml"


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["reuse"], False),
        (["request", "model"], "m"),
        (["request"], {"model": "m"}),
        ([], {"reuse": False, "request": {"model": "m"}}),
        (["request", "max_tokens"], None),
        (["limits", "canary_rows"], None),
        (["reuse", "model"], None),
    ],
)
def test_it_finds_what_stands_below_the_names(file: Path, names: list[str], found: object) -> None:
    file.write_text("reuse: false\nrequest: {model: m}\n")
    assert read_setting(file, *names) == found


@pytest.mark.parametrize("content", [b"", b"hello", b"{", b"a: &a [*a]\n", b"\xff\xfe"])
def test_a_file_that_cannot_be_read_says_nothing(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    assert read_setting(file, "request", "model") is None
    assert model_names(file) == model_names(file.parent / "nowhere") == []


@pytest.mark.parametrize(
    ("request_yaml", "models"),
    [
        ("{model: m}", ["m"]),
        ("{model: m, other_models: [n, o]}", ["m", "n", "o"]),
        ("{model: m, other_models: [n, m, n]}", ["m", "n"]),
        ("{other_models: [n]}", ["n"]),
        ("{model: 5, other_models: [n, 6, null]}", ["n"]),
        ("{model: m, other_models: n}", ["m"]),
        ("[m]", []),
    ],
)
def test_the_models_are_the_pipelines_own_and_then_the_others_each_once(
    file: Path, request_yaml: str, models: list[str]
) -> None:
    file.write_text(f"request: {request_yaml}\n")
    assert model_names(file) == models


@pytest.mark.parametrize(
    ("limits", "ceiling"),
    [
        ("{budget_usd: 25}", 25.0),
        ("{budget_usd: 25, budget_ceiling_usd: 100.5}", 100.5),
        ("{budget_usd: 0}", 0.0),
        ("{budget_usd: 25, budget_ceiling_usd: -1}", 25.0),
        ("{budget_usd: true}", None),
        ("{budget_usd: .inf}", None),
        ("{budget_usd: .nan}", None),
        (f"{{budget_usd: {10**400}}}", None),
        ("{budget_usd: much}", None),
        ("{}", None),
    ],
)
def test_a_form_is_told_the_ceiling_of_a_budget_and_no_mistake(file: Path, limits: str, ceiling: float | None) -> None:
    file.write_text(f"limits: {limits}\n")
    assert budget_ceiling(file) == ceiling


@pytest.mark.parametrize(
    ("schema", "names"),
    [
        ('{"properties": {"topic": {}, "urgent": {}}}', ["ticket", "topic", "urgent"]),
        ('{"$ref": "#/$defs/answer", "$defs": {"answer": {"properties": {"topic": {}}}}}', ["ticket", "topic"]),
        ("{", []),
        ("[]", []),
        ('{"$ref": "#/$defs/nowhere"}', []),
    ],
)
@pytest.mark.parametrize("key", ["[ticket]", "{ticket: string}"])
def test_the_columns_are_the_key_and_the_properties_of_the_output(
    file: Path, key: str, schema: str, names: list[str]
) -> None:
    file.write_text(f"source: {{key: {key}}}\n")
    (file.parent / "output.schema.json").write_text(schema)
    assert column_names(file.parent) == names


def test_without_a_key_no_columns_are_known(file: Path) -> None:
    file.write_text("source: {}\n")
    (file.parent / "output.schema.json").write_text('{"properties": {"topic": {}}}')
    assert column_names(file.parent) == column_names(file.parent / "nowhere") == []
