"""Every pipeline folder is whole and its cases hold; every Dag file is short, named after its pipeline, and loads."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from include.enrichment.outcome import decode_line, judge
from include.enrichment.pipeline import FILES, Pipeline
from include.enrichment.spec import load_pipeline

ROOT = Path(__file__).resolve().parents[2]
PIPELINES = sorted(path for path in (ROOT / "include/pipelines").iterdir() if path.is_dir())
CASES = [case for folder in PIPELINES for case in sorted((folder / "cases").glob("*.yaml"))]
DAGS = sorted((ROOT / "dags").glob("*.py"))
#: Rows of a README's first table, as an analyst looks for them.
GRAIN_TABLE = ("grain", "source", "key", "Dag", "table", "owner")
MAX_DAG_LINES = 60


class Case(BaseModel):
    """
    One row, what Claude is asked about it, and what becomes of one answer.

    :param row: the row as extract.sql gives it
    :param prompt_contains: texts that the user message must hold
    :param prompt_lacks: texts that it must not hold
    :param answer: Claude's text
    :param outcome: what it is judged to be
    :param reason_contains: a part of the reason why it is not usable
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    row: dict[str, Any]
    prompt_contains: list[str] = []
    prompt_lacks: list[str] = []
    answer: str
    outcome: Literal["succeeded", "invalid"]
    reason_contains: str | None = None


def _name(path: Path) -> str:
    return f"{path.parent.parent.name}/{path.stem}" if path.suffix == ".yaml" else path.stem


def _load_case(path: Path) -> Case:
    try:
        return Case.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        raise AssertionError(f"{path.relative_to(ROOT)} is not a case: {error}") from error


def _user_message(pipeline: Pipeline, row: dict[str, Any]) -> str:
    request = pipeline.renderer(list(row), run_id="case").render(row)
    return str(json.loads(request.params)["messages"][0]["content"])


def _result_line(text: str) -> bytes:
    message = {"model": "m", "content": [{"type": "text", "text": text}], "stop_reason": "end_turn", "usage": {}}
    return json.dumps({"custom_id": "case", "result": {"type": "succeeded", "message": message}}).encode()


@pytest.mark.parametrize("folder", PIPELINES, ids=_name)
class TestPipeline:
    def test_it_loads_under_its_folders_name(self, folder: Path) -> None:
        assert load_pipeline(folder).name == folder.name

    def test_it_holds_its_files_its_cases_and_nothing_else(self, folder: Path) -> None:
        assert {path.name for path in folder.iterdir()} == {*FILES, "README.md", "cases"}
        assert {path.suffix for path in (folder / "cases").iterdir()} == {".yaml"}

    def test_its_readme_tells_the_grain_and_keeps_a_prompt_log(self, folder: Path) -> None:
        readme = (folder / "README.md").read_text(encoding="utf-8")
        assert readme.startswith(f"# {folder.name}\n"), f"the README does not begin with `# {folder.name}`"
        head, _, log = readme.partition("\n## Prompt log\n")
        rows = re.findall(r"^\| (\w+) \| \S.*\|$", head.partition("\n## ")[0], re.MULTILINE)
        assert tuple(rows) == GRAIN_TABLE, f"the README's first table has the rows {', '.join(GRAIN_TABLE)}"
        assert re.search(r"^\| \d{4}-\d{2}-\d{2} \| \S", log, re.MULTILINE), "the prompt log has no dated version"

    def test_it_has_a_dag_of_its_own(self, folder: Path) -> None:
        assert ROOT / f"dags/{folder.name}.py" in DAGS


@pytest.mark.parametrize("path", CASES, ids=_name)
class TestCase:
    def test_the_row_is_asked_about_as_it_should_be(self, path: Path) -> None:
        case, pipeline = _load_case(path), load_pipeline(path.parents[1])
        assert set(pipeline.settings.source.key) <= set(case.row), "the case's row lacks the business key"
        prompt = _user_message(pipeline, case.row)
        assert [text for text in case.prompt_contains if text not in prompt] == [], prompt
        assert [text for text in case.prompt_lacks if text in prompt] == [], prompt

    def test_the_answer_has_the_outcome_that_it_should_have(self, path: Path) -> None:
        case, pipeline = _load_case(path), load_pipeline(path.parents[1])
        outcome = judge(decode_line(_result_line(case.answer)), pipeline.output)
        assert outcome.outcome == case.outcome, outcome.reason
        assert (case.reason_contains or "") in (outcome.reason or ""), outcome.reason


@pytest.mark.parametrize(
    "change",
    [
        {"prompt_contain": ["x"]},
        {"outcome": "ok"},
        {"prompt_lacks": "x"},
        {"answer": {"a": 1}},
        {"row": None},
        {"answer": None},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_case_with_a_mistake_in_it_is_not_passed_over(change: dict[str, object]) -> None:
    whole = {"row": {"id": 1}, "answer": "{}", "outcome": "invalid"}
    Case.model_validate(whole)
    with pytest.raises(ValidationError):
        Case.model_validate(whole | change)


def test_a_pipeline_that_lacks_a_file_does_not_load(tmp_path: Path) -> None:
    """What the tests above rely on."""
    folder = shutil.copytree(PIPELINES[0], tmp_path / "copy")
    (folder / "user.md").unlink()
    with pytest.raises(Exception, match=r"user\.md: is missing"):
        load_pipeline(folder)


@pytest.mark.parametrize("path", DAGS, ids=_name)
class TestDagFile:
    def test_it_is_short(self, path: Path) -> None:
        source = path.read_text(encoding="utf-8")
        tree = ast.parse(source)
        imports = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
        imported = {line for node in imports for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)}
        assert len(source.splitlines()) - len(imported) < MAX_DAG_LINES

    def test_its_docstring_says_what_to_do_when_it_fails(self, path: Path) -> None:
        docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        assert re.search(r"^Triage: \S", docstring, re.MULTILINE)

    def test_a_dag_that_enriches_has_its_pipelines_name(self, path: Path) -> None:
        enriched = re.findall(r'\benrich\("(\w+)"', path.read_text(encoding="utf-8"))
        assert set(enriched) <= {path.stem}
        assert [name for name in enriched if ROOT / "include/pipelines" / name not in PIPELINES] == []


_LIST_DAGS = """
import json, os, sys
from airflow.utils.db import initdb
initdb()
from airflow.dag_processing.dagbag import DagBag
bag = DagBag(sys.argv[1])
dags = {os.path.basename(dag.fileloc): dag_id for dag_id, dag in bag.dags.items()}
undocumented = [dag_id for dag_id, dag in bag.dags.items() if "Triage:" not in (dag.doc_md or "")]
print("found:" + json.dumps([bag.import_errors, dags, undocumented]))
"""


def test_every_dag_file_loads_as_one_dag_of_its_own_name(tmp_path: Path) -> None:
    """In a process of its own: what other tests have imported must not help it."""
    environment = {"AIRFLOW_HOME": str(tmp_path), "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{tmp_path}/a.db"}
    command = [sys.executable, "-c", _LIST_DAGS, str(ROOT / "dags")]
    finished = subprocess.run(
        command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr
    (found,) = (line for line in finished.stdout.splitlines() if line.startswith("found:"))
    import_errors, dags, undocumented = json.loads(found.removeprefix("found:"))
    assert import_errors == {}
    assert dags == {path.name: path.stem for path in DAGS}
    assert undocumented == []
