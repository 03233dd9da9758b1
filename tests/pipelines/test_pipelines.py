"""
Checks every pipeline folder, its cases and every Dag file. A failure says what to add, with an example.
"""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from include.enrichment.answers.checks.checks import Verdict
from include.enrichment.answers.evidence.evidence_output import EvidenceOutput
from include.enrichment.answers.evidence.page_search import SearchableDocument
from include.enrichment.answers.outcome import decode_line, judge
from include.enrichment.answers.table import SAMPLE
from include.enrichment.documents.document import Page
from include.enrichment.errors import SpecError
from include.enrichment.spec.pipeline import Pipeline
from include.enrichment.spec.pipeline_folder import load_pipeline
from include.enrichment.spec.variants.files import CHECKS, CONTEXT, EXAMPLES, FILES, SCHEMA, SYSTEM, USER
from include.evaluation.spec.evaluation_file import read_evaluation
from include.evaluation.spec.settings import FILE as EVALUATION

ROOT = Path(__file__).resolve().parents[2]
PIPELINES = sorted(path for path in (ROOT / "include/pipelines").iterdir() if path.is_dir())
CASES = [case for folder in PIPELINES for case in sorted((folder / "cases").glob("*.yaml"))]
DAGS = sorted((ROOT / "dags").glob("*.py"))
MAX_DAG_LINES = 60
GRAIN = "| | |\n|---|---|\n| grain | one row for each product that changed on the day |\n| owner | data-engineering |"
PROMPT_LOG = "## Prompt log\n\n| version | change |\n|---|---|\n| 2026-11-22 | first version |"
CASE = """\
row:                        # as the source returns it: the key, and each column that a prompt or a check uses
  package: vlc
  summary: Media player
prompt_contains:            # optional; prompt_lacks: too
  - Media player
answer: '{"category": "films"}'
outcome: invalid            # or succeeded
reason_contains: category   # optional, the name of a failed check for example; warnings, a list of checks: too"""


class Case(BaseModel):
    """
    One row with expectations of its prompt, and one answer with its expected outcome.

    :param row: as extract.sql returns it, with one value for each name of for_each
    :param pages: the text of each page of its document, in which the quotes of the answer are looked for
    :param prompt_contains: texts that the user message must contain
    :param prompt_lacks: texts that it must not contain
    :param answer: Claude's text
    :param outcome: the expected outcome, after the checks of checks.yaml
    :param reason_contains: a part of the reason why the answer is not usable
    :param warnings: the names of the checks that must warn of the answer; no others may
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    row: dict[str, Any]
    pages: list[str] = []
    prompt_contains: list[str] = []
    prompt_lacks: list[str] = []
    answer: str
    outcome: Literal["succeeded", "invalid"]
    reason_contains: str | None = None
    warnings: list[str] = []


def _name(path: Path) -> str:
    return f"{path.parent.parent.name}/{path.stem}" if path.suffix == ".yaml" else path.stem


def _load_case(path: Path) -> Case:
    try:
        return Case.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        found = [f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in error.errors()]
    except yaml.YAMLError as error:
        found = [f"not YAML: {error}"]
    mistakes = "\n".join(found)
    pytest.fail(f"{_file(path)} is not a case:\n{mistakes}\n\nA case looks like this:\n{CASE}", pytrace=False)


def _load_pipeline(folder: Path) -> Pipeline:
    try:
        return load_pipeline(folder)
    except SpecError as error:
        mistakes = str(error)
    pytest.fail(mistakes, pytrace=False)


def _file(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _require(found: object, message: str) -> None:
    """Fail with this message and without a traceback, because the mistake is in another file than this one."""
    if not found:
        pytest.fail(message, pytrace=False)


def _user_message(pipeline: Pipeline, case: Case, path: Path) -> str:
    for_each = pipeline.settings.for_each
    missing = [name for name in sorted({*pipeline.columns, *for_each}) if name not in case.row]
    _require(
        not missing,
        f"{_file(path)}: the row lacks {', '.join(missing)}: it needs the key, each column that a prompt or a check"
        " uses or that is carried, and a value for each name of for_each",
    )
    columns = [name for name in case.row if name not in for_each]
    request = pipeline.renderer(columns, run_id="case").render(case.row)
    return str(json.loads(request.params)["messages"][0]["content"])


def _result_line(text: str) -> bytes:
    message = {"model": "m", "content": [{"type": "text", "text": text}], "stop_reason": "end_turn", "usage": {}}
    return json.dumps({"custom_id": "case", "result": {"type": "succeeded", "message": message}}).encode()


def _verdict(pipeline: Pipeline, row: Mapping[str, Any], text: str, pages: Sequence[str] = ()) -> Verdict:
    """Judge an answer by the output schema, then by the checks, which see NULL where the row lacks a column."""
    output = pipeline.output
    outcome = judge(decode_line(_result_line(text)), output)
    checks = pipeline.read_checks()
    if outcome.output is None or checks is None:
        return Verdict(reason=outcome.reason)
    facts = checks.facts({**dict.fromkeys(checks.columns), SAMPLE: 1, **row})
    document = SearchableDocument.of("case", [Page(number=at, text=each) for at, each in enumerate(pages, start=1)])
    grounded = [output.ground(outcome.output, [document])] if isinstance(output, EvidenceOutput) else None
    (verdict,) = checks.new_judge().judge([facts], [outcome.output], ["case"], grounded=grounded)
    return verdict


@pytest.mark.parametrize("folder", PIPELINES, ids=_name)
class TestPipeline:
    def test_it_has_its_folders_name(self, folder: Path) -> None:
        assert _load_pipeline(folder).name == folder.name

    def test_it_has_no_other_files(self, folder: Path) -> None:
        pipeline = _load_pipeline(folder)
        words = {check.forbidden.file for check in pipeline.checks if check.forbidden}
        named = {file for variant in pipeline.settings.variants.values() for file in dict(variant.named_files).values()}
        of_cases = {(pipeline.settings.source.cases or "").partition("/")[0]}
        known = {*FILES, CONTEXT, EXAMPLES, CHECKS, EVALUATION, *words, *named, *of_cases, "README.md", "cases"}
        known |= {"tools.py", "__pycache__"} if pipeline.tools else set()
        unknown = {path.name for path in folder.iterdir()} - known
        _require(not unknown, f"{_file(folder)} has unused files: {', '.join(sorted(unknown))}. Move or delete them")

    def test_its_evaluation_is_valid(self, folder: Path) -> None:
        if (folder / EVALUATION).exists():
            read_evaluation(folder, _load_pipeline(folder))

    def test_it_has_cases(self, folder: Path) -> None:
        first = f"{_file(folder)}/cases/first.yaml"
        files = list((folder / "cases").glob("*"))
        _require(files, f"{folder.name} has no cases. Add one, for example {first}:\n{CASE}")
        others = [_file(path) for path in files if path.suffix != ".yaml"]
        _require(not others, f"{', '.join(others)} would be ignored: a case ends in .yaml")

    def test_its_readme_has_the_grain_and_a_prompt_log(self, folder: Path) -> None:
        path = folder / "README.md"
        readme = path.read_text(encoding="utf-8") if path.exists() else ""
        head, _, log = readme.partition("\n## Prompt log\n")
        found = {
            f"the first line `# {folder.name}`": readme.startswith(f"# {folder.name}\n"),
            "a table with the row `grain` before the first `##`": re.search(r"^\| grain \| \S", head, re.MULTILINE),
            "a prompt log with a dated version": re.search(r"^\| \d{4}-\d{2}-\d{2} \| \S", log, re.MULTILINE),
        }
        missing = [part for part, is_there in found.items() if not is_there]
        example = f"# {folder.name}\n\n{GRAIN}\n\n{PROMPT_LOG}"
        _require(not missing, f"{_file(path)} lacks {'; '.join(missing)}. The minimum is:\n\n{example}")

    def test_its_examples_pass_its_checks(self, folder: Path) -> None:
        pipeline, path = _load_pipeline(folder), folder / EXAMPLES
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        for number, line in enumerate(lines, start=1):
            example = json.loads(line)
            verdict = _verdict(pipeline, example["input"], json.dumps(example["output"]))
            found = verdict.reason or ", ".join(verdict.warnings)
            _require(not found, f"{_file(path)}:{number}: Claude would learn an answer that its checks reject: {found}")

    def test_it_has_a_dag_of_its_own(self, folder: Path) -> None:
        dag = f"dags/{folder.name}.py"
        _require(ROOT / dag in DAGS, f"{folder.name} has no Dag: copy dags/catalogue.py to {dag}")


@pytest.mark.parametrize(
    ("evaluation", "evaluated"), [("catalogue_evaluation", "catalogue"), ("invoices_evaluation", "invoices")]
)
def test_an_evaluation_asks_what_the_pipeline_asks_that_it_evaluates(evaluation: str, evaluated: str) -> None:
    one, other = (ROOT / "include/pipelines" / name for name in (evaluation, evaluated))
    for file in (SYSTEM, USER, SCHEMA):
        _require(
            (one / file).read_bytes() == (other / file).read_bytes(),
            f"{_file(one / file)} differs from {_file(other / file)}, so another prompt is evaluated than the one that"
            f" runs every night. Copy the file from {evaluated}, or make the change a variant of {evaluation}",
        )


@pytest.mark.parametrize("path", CASES, ids=_name)
class TestCase:
    def test_the_prompt_is_as_expected(self, path: Path) -> None:
        case = _load_case(path)
        prompt = _user_message(_load_pipeline(path.parents[1]), case, path)
        for text in case.prompt_contains:
            _require(text in prompt, f"{_file(path)}: prompt_contains: {text!r} is not in the prompt:\n{prompt}")
        for text in case.prompt_lacks:
            _require(text not in prompt, f"{_file(path)}: prompt_lacks: {text!r} is in the prompt:\n{prompt}")

    def test_the_outcome_is_as_expected(self, path: Path) -> None:
        case, pipeline = _load_case(path), _load_pipeline(path.parents[1])
        verdict = _verdict(pipeline, case.row, case.answer, case.pages)
        outcome, reason = ("invalid" if verdict.reason else "succeeded"), verdict.reason or ""
        found = f"{_file(path)}: the answer is {outcome}{reason and f' ({reason})'}"
        _require(outcome == case.outcome, f"{found}; the case expects {case.outcome}")
        expected = case.reason_contains or ""
        _require(expected in reason, f"{found}; the case expects a reason with {expected!r}")
        warnings = ", ".join(verdict.warnings) or "none"
        expected = ", ".join(case.warnings) or "none"
        _require(warnings == expected, f"{found} with the warnings {warnings}; the case expects {expected}")


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
def test_an_invalid_case_fails(change: dict[str, object]) -> None:
    whole = {"row": {"id": 1}, "answer": "{}", "outcome": "invalid"}
    Case.model_validate(whole)
    with pytest.raises(ValidationError):
        Case.model_validate(whole | change)


def test_a_new_pipeline_fails_with_what_it_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    (folder := tmp_path / "mist").mkdir()
    checks = TestPipeline()
    for check, message in (
        (checks.test_it_has_cases, r"^mist has no cases\. Add one, for example mist/cases/first\.yaml:\nrow:"),
        (checks.test_its_readme_has_the_grain_and_a_prompt_log, "^mist/README.md lacks the first line `# mist`"),
        (checks.test_it_has_a_dag_of_its_own, r"^mist has no Dag: copy dags/catalogue\.py to dags/mist\.py"),
    ):
        with pytest.raises(pytest.fail.Exception, match=message):
            check(folder)


def test_the_examples_in_the_messages_are_valid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    Case.model_validate(yaml.safe_load(CASE))
    (tmp_path / "README.md").write_text(f"# {tmp_path.name}\n\n{GRAIN}\n\n{PROMPT_LOG}\n")
    TestPipeline().test_its_readme_has_the_grain_and_a_prompt_log(tmp_path)


def test_a_pipeline_without_a_file_does_not_load(tmp_path: Path) -> None:
    """The tests above rely on it."""
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
        lines = len(source.splitlines()) - len(imported)
        _require(
            lines < MAX_DAG_LINES,
            f"{_file(path)} has {lines} lines without its imports; {MAX_DAG_LINES - 1} are allowed: a Dag file says"
            " when to run, and the pipeline's folder says what",
        )

    def test_its_docstring_says_what_to_do_on_failure(self, path: Path) -> None:
        docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        _require(
            re.search(r"^Triage: \S", docstring, re.MULTILINE),
            f"{_file(path)}: the docstring does not say what to do when a run fails. Add a paragraph like:\n\n"
            "Triage: clearing any task is safe. If `publish` says that too many rows were rejected, read the rejects.",
        )


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
    """In its own process, so that imports of other tests do not help."""
    environment = {"AIRFLOW_HOME": str(tmp_path), "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{tmp_path}/a.db"}
    command = [sys.executable, "-c", _LIST_DAGS, str(ROOT / "dags")]
    finished = subprocess.run(
        command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr
    (found,) = (line for line in finished.stdout.splitlines() if line.startswith("found:"))
    import_errors, dags, undocumented = json.loads(found.removeprefix("found:"))
    _require(not import_errors, "\n".join(import_errors.values()))
    wrong = [f"dags/{file} makes the Dag {dag!r}, not {file[:-3]!r}" for file, dag in dags.items() if file[:-3] != dag]
    _require(not wrong, f"{'; '.join(wrong)}: say dag_id=Path(__file__).stem")
    assert dags.keys() == {path.name for path in DAGS}
    _require(not undocumented, f"{', '.join(undocumented)}: say doc_md=__doc__, so that Airflow shows what to do")
