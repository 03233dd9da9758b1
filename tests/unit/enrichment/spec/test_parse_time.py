"""parse_time.py: the settings that a Dag reads while Airflow parses it, whatever state the files are in."""

from __future__ import annotations

from pathlib import Path

import pytest

from include.enrichment.answers.schema.output import TextOutput
from include.enrichment.spec.parse_time import (
    budget_ceiling,
    column_names,
    model_names,
    pass_names,
    read_setting,
    source_tables,
    variant_names,
)

DEFAULT_PASSES = ["canary", "main", "retry"]


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
def test_it_finds_a_setting_at_any_depth(file: Path, names: list[str], found: object) -> None:
    file.write_text("reuse: false\nrequest: {model: m}\n")
    assert read_setting(file, *names) == found


@pytest.mark.parametrize("content", [b"", b"hello", b"{", b"a: &a [*a]\n", b"\xff\xfe"])
def test_an_unreadable_file_has_no_settings(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    assert read_setting(file, "request", "model") is None
    assert source_tables(file) == []
    assert model_names(file) == model_names(file.parent / "nowhere") == []


@pytest.mark.parametrize(
    ("tables", "found"),
    [
        ({"a": "b", "b": "c"}, ["b", "c"]),
        ({"a": "a"}, ["a"]),
        ({"a": "b", "b": "a"}, ["b", "a"]),
        ({"a": "b", "b": "c", "c": "b"}, ["b", "c", "b"]),
        ({"a": "5"}, []),
        ({}, []),
    ],
)
def test_tables_are_followed_until_one_occurs_twice(tmp_path: Path, tables: dict[str, str], found: list[str]) -> None:
    for name, table in tables.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "pipeline.yaml").write_text(f"source: {{table: {table}}}\n")
    assert source_tables(tmp_path / "a" / "pipeline.yaml") == found


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
def test_the_models_are_the_pipelines_own_then_the_others_without_repeats(
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
def test_the_form_gets_the_budget_ceiling_unless_it_is_invalid(file: Path, limits: str, ceiling: float | None) -> None:
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


def test_without_an_output_schema_the_column_is_that_of_the_text(file: Path) -> None:
    file.write_text("source: {key: [ticket]}\n")
    assert column_names(file.parent) == ["ticket", *(field.name for field in TextOutput().fields)]


@pytest.mark.parametrize("carry", ["[price, sold]", "{price: double, sold: date}"])
def test_the_carried_columns_stand_between_key_and_output(file: Path, carry: str) -> None:
    file.write_text(f"source: {{key: [ticket], carry: {carry}}}\n")
    (file.parent / "output.schema.json").write_text('{"properties": {"topic": {}}}')
    assert column_names(file.parent) == ["ticket", "price", "sold", "topic"]


def test_the_names_of_for_each_follow_the_key(file: Path) -> None:
    file.write_text("source: {key: [ticket], carry: [price]}\nfor_each: {tone: [a, b], locale: {column: locales}}\n")
    (file.parent / "output.schema.json").write_text('{"properties": {"topic": {}}}')
    assert column_names(file.parent) == ["ticket", "tone", "locale", "price", "topic"]


@pytest.mark.parametrize("carry", ["3", "price"])
def test_no_columns_are_known_while_the_carried_ones_are_invalid(file: Path, carry: str) -> None:
    file.write_text(f"source: {{key: [ticket], carry: {carry}}}\n")
    (file.parent / "output.schema.json").write_text('{"properties": {"topic": {}}}')
    assert column_names(file.parent) == []


def test_no_columns_are_known_without_a_key(file: Path) -> None:
    file.write_text("source: {}\n")
    (file.parent / "output.schema.json").write_text('{"properties": {"topic": {}}}')
    assert column_names(file.parent) == column_names(file.parent / "nowhere") == []


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("limits: {}", ["canary", "main", "retry"]),
        ("limits: {canary_rows: 0}", ["main", "retry"]),
        ("limits: {canary_rows: 1}", ["canary", "main", "retry"]),
        ("limits: {canary_rows: 1000}", ["canary", "main", "retry"]),
        ("limits: {retry_passes: 0}", ["canary", "main"]),
        ("limits: {retry_passes: 2}", ["canary", "main", "retry_1", "retry_2"]),
        ("limits: {canary_rows: 0, retry_passes: 0}", ["main"]),
        ("limits: {retry_passes: 5, canary_rows: 0}", ["main", *(f"retry_{number}" for number in range(1, 6))]),
    ],
)
def test_the_limits_decide_the_passes(file: Path, text: str, names: list[str]) -> None:
    file.write_text(f"source: {{connection: warehouse}}\n{text}\n")
    assert pass_names(file) == names


@pytest.mark.parametrize("name", ["canary_rows", "retry_passes"])
@pytest.mark.parametrize("value", ["-1", "1001", "1.0", "0.0", "true", "no", '"0"', "[0]", "{a: 0}", "", "2026-11-21"])
def test_an_invalid_limit_counts_as_its_default(file: Path, name: str, value: str) -> None:
    file.write_text(f"limits: {{{name}: {value}}}")
    assert pass_names(file) == DEFAULT_PASSES


def test_an_invalid_limit_does_not_change_the_other(file: Path) -> None:
    file.write_text("limits: {canary_rows: many, retry_passes: 0}")
    assert pass_names(file) == ["canary", "main"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello",
        b"[limits]",
        b"5",
        b"limits:",
        b"limits: [canary_rows]",
        b"limits: 0",
        b"limits: {canary_rows: 0",
        b"\tlimits: {canary_rows: 0}",
        b"limits: {canary_rows: 0}\n--- {}\n",
        b"limits: {canary_rows: 0}\nday: 2026-13-45\n",
        b"limits: {canary_rows: " + b"9" * 5_000 + b"}",
        b"limits: {canary_rows: 0}\n? [a]\n: b\n",
        b"limits: {canary_rows: 0}\nx: !!python/object:os.system y\n",
        b"a: &a [*a]\n",
        b"[" * 10_000,
        "limits: {canary_rows: 0} # Gr\u00fc\u00dfe".encode("latin-1"),
        b"limits: !!int ''",
        b"a: !!float ''",
        b"a: !!bool x",
        b"a: !!timestamp x",
    ],
    ids=lambda content: repr(content[:30]),
)
def test_an_invalid_file_gives_the_default(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    assert pass_names(file) == DEFAULT_PASSES


def test_a_missing_file_gives_the_default(tmp_path: Path) -> None:
    assert pass_names(tmp_path / "nowhere" / "pipeline.yaml") == DEFAULT_PASSES
    assert pass_names(tmp_path) == DEFAULT_PASSES


def test_a_byte_order_mark_is_ignored(file: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbflimits: {canary_rows: 0}\r\n")
    assert pass_names(file) == ["main", "retry"]


@pytest.mark.parametrize(
    ("variants", "names"),
    [
        ("", []),
        ("{}", []),
        ("[a]", []),
        ("{short: {system: short.md}}", ["current", "short"]),
        ("{short: {system: short.md}, today: {}}", ["short", "today"]),
        ("{today: , 7: {model: m}}", ["today"]),
    ],
)
def test_the_pipelines_own_settings_are_among_its_variants(file: Path, variants: str, names: list[str]) -> None:
    file.write_text(f"variants: {variants}\n")
    assert variant_names(file) == names


def test_a_table_has_the_columns_of_all_variants(tmp_path: Path) -> None:
    (tmp_path / "pipeline.yaml").write_text("source: {key: [id]}\nvariants: {a: {schema: a.json}, b: }\n")
    (tmp_path / "output.schema.json").write_text('{"properties": {"x": {}}}')
    (tmp_path / "a.json").write_text('{"properties": {"y": {}, "x": {}}}')
    assert column_names(tmp_path) == ["id", "x", "y"]
    (tmp_path / "output.schema.json").unlink()
    assert column_names(tmp_path) == ["id", "text"]
