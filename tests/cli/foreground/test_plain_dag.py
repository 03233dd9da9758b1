from __future__ import annotations

import ast
from pathlib import Path

from include.cli.foreground.plain_dag import write_plain_dag


def test_the_dag_has_the_name_of_its_pipeline_and_no_schedule(tmp_path: Path) -> None:
    file = write_plain_dag(tmp_path / "dags", "pitch_judge")
    source = file.read_text()
    ast.parse(source)
    assert file.name == "pitch_judge.py"
    assert "dag_id='pitch_judge', schedule=None" in source
