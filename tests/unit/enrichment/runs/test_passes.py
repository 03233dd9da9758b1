"""passes.py: the passes of a run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from include.enrichment.runs.passes import (
    CANARY,
    DEFAULT_CANARY_ROWS,
    DEFAULT_RETRY_PASSES,
    MAIN,
    MAX_CANARY_ROWS,
    MAX_RETRY_PASSES,
    is_retry,
    names,
)
from include.enrichment.spec.settings import Limits

ROOT = Path(__file__).resolve().parents[4]


@pytest.mark.parametrize(
    ("canary_rows", "retry_passes", "expected"),
    [
        (5, 1, ["canary", "main", "retry"]),
        (1, 0, ["canary", "main"]),
        (1000, 2, ["canary", "main", "retry_1", "retry_2"]),
        (0, 0, ["main"]),
        (0, 5, ["main", "retry_1", "retry_2", "retry_3", "retry_4", "retry_5"]),
    ],
)
def test_the_limits_decide_the_passes(canary_rows: int, retry_passes: int, expected: list[str]) -> None:
    assert names(canary_rows=canary_rows, retry_passes=retry_passes) == expected
    assert sum(map(is_retry, expected)) == retry_passes


def test_only_retry_passes_are_retries() -> None:
    assert [name for name in ("retry", "retry_1", "retry_5") if is_retry(name)] == ["retry", "retry_1", "retry_5"]
    assert not any(is_retry(name) for name in (CANARY, MAIN, "", "retrying", "main_retry"))


def test_the_dag_and_the_checked_pipeline_have_the_same_defaults_and_bounds() -> None:
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
