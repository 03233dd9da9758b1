"""passes.py: a pipeline's file gives a run its passes, whatever state the file is in."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from include.enrichment.runs import passes
from include.enrichment.runs.passes import (
    CANARY,
    DEFAULT_CANARY_ROWS,
    DEFAULT_RETRY_PASSES,
    MAIN,
    MAX_CANARY_ROWS,
    MAX_RETRY_PASSES,
    is_retry,
)
from include.enrichment.spec.parse_time import pass_names
from include.enrichment.spec.settings import Limits

ROOT = Path(__file__).resolve().parents[4]
DEFAULT = ["canary", "main", "retry"]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "pipeline.yaml"


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
def test_the_limits_decide_which_passes_there_are(file: Path, text: str, names: list[str]) -> None:
    file.write_text(f"source: {{connection: warehouse}}\n{text}\n")
    assert pass_names(file) == names


@pytest.mark.parametrize("name", ["canary_rows", "retry_passes"])
@pytest.mark.parametrize("value", ["-1", "1001", "1.0", "0.0", "true", "no", '"0"', "[0]", "{a: 0}", "", "2026-11-21"])
def test_a_limit_that_is_no_whole_number_within_its_bounds_counts_as_its_default(
    file: Path, name: str, value: str
) -> None:
    file.write_text(f"limits: {{{name}: {value}}}")
    assert pass_names(file) == DEFAULT


def test_a_wrong_limit_leaves_the_other_as_it_is(file: Path) -> None:
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
        b"[" * 100_000,
        "limits: {canary_rows: 0} # Gr\u00fc\u00dfe".encode("latin-1"),
    ],
    ids=lambda content: repr(content[:30]),
)
def test_a_file_that_is_not_what_it_should_be_gives_the_default(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    assert pass_names(file) == DEFAULT


def test_a_file_that_is_not_there_gives_the_default(tmp_path: Path) -> None:
    assert pass_names(tmp_path / "nowhere" / "pipeline.yaml") == DEFAULT
    assert pass_names(tmp_path) == DEFAULT


def test_a_byte_order_mark_does_no_harm(file: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbflimits: {canary_rows: 0}\r\n")
    assert pass_names(file) == ["main", "retry"]


def test_only_retry_passes_try_again() -> None:
    assert [name for name in ("retry", "retry_1", "retry_5") if is_retry(name)] == ["retry", "retry_1", "retry_5"]
    assert not any(is_retry(name) for name in (CANARY, MAIN, "", "retrying", "main_retry"))


@pytest.mark.parametrize("retry_passes", range(MAX_RETRY_PASSES + 1))
def test_there_are_as_many_retry_passes_as_the_file_says_each_by_its_own_name(file: Path, retry_passes: int) -> None:
    file.write_text(json.dumps({"limits": {"retry_passes": retry_passes}}))
    names = pass_names(file)
    assert names[:2] == [CANARY, MAIN]
    assert sum(map(is_retry, names)) == retry_passes == len(set(names)) - 2


@pytest.mark.parametrize(("canary_rows", "retry_passes"), [(0, 0), (0, 1), (5, 0), (5, 1), (1, 2), (0, 5)])
def test_a_checked_pipelines_limits_give_the_passes_that_its_file_gives(
    file: Path, canary_rows: int, retry_passes: int
) -> None:
    file.write_text(json.dumps({"limits": {"canary_rows": canary_rows, "retry_passes": retry_passes}}))
    assert passes.names(canary_rows=canary_rows, retry_passes=retry_passes) == pass_names(file)


def test_the_shape_and_the_checked_pipeline_have_the_same_defaults_and_bounds() -> None:
    assert Limits() == Limits(canary_rows=DEFAULT_CANARY_ROWS, retry_passes=DEFAULT_RETRY_PASSES)
    Limits(canary_rows=MAX_CANARY_ROWS, retry_passes=MAX_RETRY_PASSES)
    for limit in ({"canary_rows": MAX_CANARY_ROWS + 1}, {"retry_passes": MAX_RETRY_PASSES + 1}):
        with pytest.raises(ValueError, match="less than or equal to"):
            Limits.model_validate(limit)


def test_it_is_light_enough_to_be_imported_while_dags_are_parsed() -> None:
    code = "import sys, include.enrichment.runs.passes; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=600
    )
    assert not set(done.stdout.split()) & {"pyarrow", "pydantic", "msgspec", "jinja2", "jsonschema_rs"}


@pytest.mark.parametrize("text", ["limits: !!int ''", "a: !!float ''", "a: !!bool x", "a: !!timestamp x"])
def test_whatever_the_yaml_library_makes_of_a_file_the_dag_has_a_shape(tmp_path: Path, text: str) -> None:
    (tmp_path / "pipeline.yaml").write_text(text)
    assert pass_names(tmp_path / "pipeline.yaml") == ["canary", "main", "retry"]
