from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.emulator import Emulator

EXAMPLES = Path(__file__).with_name("examples")
ROOT = Path(__file__).parents[2]


def test_own_requests_are_sent_in_their_own_batch(
    run_dag: Callable[..., Any], connections: pytest.MonkeyPatch, emulator: Emulator
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from claude_batch.connections.gateways import open_lake

    assert run_dag(EXAMPLES / "own_requests.py").state == "success"
    lake = open_lake("aws_default")
    (results,) = lake.list("results/own_questions/")
    outcomes = pq.read_table(pa.BufferReader(lake.read(results)))
    assert outcomes["outcome"].to_pylist() == ["succeeded", "succeeded"]
    assert all(text.startswith("simulated") for text in outcomes["output"].to_pylist())


#: Airflow calls what is in these by a name of its own.
HOOKS = {"run_notes.py", "report_page.py", "evaluation_page.py", "timetable.py"}
MODULES = sorted(file for file in (ROOT / "plugins/claude_batch").rglob("[!_]*.py") if file.name not in HOOKS)


@pytest.mark.parametrize("module", MODULES, ids=lambda file: file.stem)
def test_every_public_name_is_used(module: Path) -> None:
    public = [
        node.name
        for node in ast.parse(module.read_text()).body
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_")
    ]
    files = [*(ROOT / "dags").glob("*.py"), *EXAMPLES.glob("*.py"), *(ROOT / "plugins/claude_batch").rglob("*.py")]
    used = {
        node.id if isinstance(node, ast.Name) else node.attr
        for file in files
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Name | ast.Attribute)
    }
    assert [name for name in public if name not in used] == []
