"""evaluation_file.py: evaluation.yaml becomes settings that fit its pipeline, or all its mistakes are reported."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from include.enrichment.errors import SpecError
from include.enrichment.spec.pipeline import Pipeline
from include.enrichment.spec.variants.asking import Variant
from include.evaluation.spec.evaluation_file import read_evaluation
from include.evaluation.spec.settings import EvaluationSettings
from tests.fixtures.folder import YAML, Load, load

__all__ = ["load"]

WHOLE = """\
metrics:
  label: {expected: shelf, grade: exact}
  worded:
    field: label
    expected: shelf
    grade: {text: {ignore: [case]}}
  liked: {judge: judge, grade: {field: grade, points: {good: 1}}}
  preferred: {pairwise: judge}
by: [shelf]
cluster: supplier
gate:
  - {metric: label, margin: 0.02, baseline: current, on: fail}
"""
Read = Callable[..., EvaluationSettings]


@pytest.fixture
def pipeline(load: Load) -> Pipeline:
    """It carries ``shelf`` and ``supplier``, and has the variants ``current`` and ``short``."""
    whole = load(yaml=YAML.replace("key: {id: int64}", "key: {id: int64}\n  carry: [shelf, supplier]"))
    same = Variant(request=whole.settings.request, system=whole.system, user=whole.user, schema_text=whole.schema_text)
    return whole.model_copy(update={"variants": {"current": same, "short": same}})


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Reads evaluation.yaml with a text, beside a pipeline ``judge``."""
    (tmp_path / "judge").mkdir()
    (tmp_path / "judge/pipeline.yaml").touch()

    def reads(pipeline: Pipeline, text: str) -> EvaluationSettings:
        (tmp_path / "tickets").mkdir(exist_ok=True)
        (tmp_path / "tickets/evaluation.yaml").write_text(text)
        return read_evaluation(tmp_path / "tickets", pipeline)

    return reads


def test_a_whole_file_is_read(read: Read, pipeline: Pipeline) -> None:
    settings = read(pipeline, WHOLE)
    assert list(settings.metrics) == ["label", "worded", "liked", "preferred"]
    assert settings.gate[0].on == "fail"


def test_without_the_file_there_is_no_evaluation(tmp_path: Path, pipeline: Pipeline) -> None:
    with pytest.raises(SpecError, match=r"^tickets/evaluation.yaml: is missing"):
        read_evaluation(tmp_path / "tickets", pipeline)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (
            {"  label: {expected": "  labl: {expected", "metric: label": "metric: labl"},
            "2: metrics.labl: variant 'current': the output has no field 'labl'; did you mean 'label'?",
        ),
        ({"field: label": "field: text"}, "4: metrics.worded.field: variant 'current': the output has no field 'text'"),
        ({"{expected: shelf, ": "{expected: shelves, "}, "2: metrics.label.expected: 'shelves' is neither carried nor"),
        ({"{expected: shelf, ": "{"}, "2: metrics.label: its grader compares: set `expected`"),
        ({"grade: exact": "grade: exat"}, "2: metrics.label.grade: unknown grader 'exat'; did you mean 'exact'?"),
        (
            {"grade: exact": "grade: date, field: id"},
            "2: metrics.label.field: variant 'current': the output has no field",
        ),
        ({"grade: exact": "grade: evidence"}, "2: metrics.label.grade: needs output.evidence: true in pipeline.yaml"),
        ({"grade: exact": "grade: {sql: labl = shelf}"}, "2: metrics.label.grade: the table has no column 'labl'; did"),
        (
            {"grade: exact": "grade: {sql: label = shelf}, field: label"},
            "2: metrics.label.field: is not used by this grader: remove it",
        ),
        ({", grade: exact": ""}, "2: metrics.label: needs one of grade, judge and pairwise"),
        ({"ignore: [case]": "ignore: [cases]"}, "6: metrics.worded.grade.text.ignore.0: Input should"),
        (
            {"{judge: judge": "{judge: juge"},
            "7: metrics.liked.judge: there is no pipeline 'juge'; did you mean 'judge'?",
        ),
        (
            {"{pairwise: judge": "{pairwise: x"},
            "8: metrics.preferred.pairwise: there is no pipeline 'x'. There are: judge",
        ),
        ({"{pairwise: judge": "{judge: judge, pairwise: judge"}, "8: metrics.preferred.pairwise: a metric has either"),
        ({"by: [shelf]": "by: [self]"}, "9: by.0: 'self' is neither carried nor a key: add it to source.carry"),
        ({"cluster: supplier": "cluster: suplier"}, "10: cluster: 'suplier' is neither carried nor a key"),
        ({"{metric: label": "{metric: lable"}, "12: gate.0.metric: there is no metric 'lable'; did you mean 'label'?"),
        ({"baseline: current": "baseline: curent"}, "12: gate.0.baseline: there is no variant 'curent'; did you"),
        ({"on: fail": "variant: shrt"}, "12: gate.0.variant: there is no variant 'shrt'; did you mean 'short'?"),
        ({"on: fail": "variant: current"}, "12: gate.0.variant: is its own baseline"),
        ({"on: fail": "at: 1"}, "12: gate.0.at: unknown key. Known keys: metric, margin, baseline, variant, on"),
        ({"margin: 0.02": "margin: 2"}, "12: gate.0.margin: Input should be less than 1, got 2"),
        ({"cluster: supplier": "clusters: supplier"}, "10: clusters: unknown key; did you mean 'cluster'?"),
        (
            {"judge: judge, grade": "judges: judge, grade"},
            "7: metrics.liked.judges: unknown key; did you mean 'judge'?",
        ),
    ],
)
def test_a_mistake_is_reported_with_its_line(
    read: Read, pipeline: Pipeline, changed: dict[str, str], told: str
) -> None:
    text = WHOLE
    for old, new in changed.items():
        text = text.replace(old, new)
    with pytest.raises(SpecError) as raised:
        read(pipeline, text)
    assert str(raised.value).startswith(f"tickets/evaluation.yaml:{told}")
    assert "\n" not in str(raised.value)


def test_an_expression_may_use_every_column_of_the_table(read: Read, pipeline: Pipeline) -> None:
    used = "id > 0 and shelf = label and supplier is null and _model = 'x' and _cost_usd > 0"
    settings = read(pipeline, f"metrics:\n  a:\n    grade:\n      sql: {used}\n")
    assert settings.metrics["a"].grade == {"sql": used}


def test_all_mistakes_are_reported_at_once(read: Read, pipeline: Pipeline) -> None:
    with pytest.raises(SpecError) as raised:
        read(pipeline, WHOLE.replace("shelf", "shelves").replace("metric: label", "metric: x"))
    assert str(raised.value).count("\n") == 3


@pytest.mark.parametrize("text", ["", "metrics: 3", "metrics: {label: [", "- a"])
def test_a_file_that_is_no_evaluation_is_reported(read: Read, pipeline: Pipeline, text: str) -> None:
    with pytest.raises(SpecError, match=r"^tickets/evaluation.yaml:1"):
        read(pipeline, text)


@pytest.mark.parametrize("baseline", ["latest", "20261130T120000Z-ab12"])
def test_a_baseline_may_be_an_earlier_evaluation(read: Read, pipeline: Pipeline, baseline: str) -> None:
    assert read(pipeline, WHOLE.replace("baseline: current", f"baseline: {baseline}")).gate[0].baseline == baseline


def test_a_pipeline_without_variants_is_compared_with_an_earlier_evaluation(read: Read, pipeline: Pipeline) -> None:
    alone = pipeline.model_copy(update={"variants": {}})
    with pytest.raises(SpecError, match=r"12: gate.0.baseline: the pipeline has no variants to compare"):
        read(alone, WHOLE)
    assert read(alone, WHOLE.replace("baseline: current", "baseline: latest")).gate[0].baseline == "latest"


def test_a_field_is_in_the_output_of_every_variant(read: Read, pipeline: Pipeline) -> None:
    other = (pipeline.schema_text or "").replace("label", "topic")
    short = pipeline.variants["short"].model_copy(update={"schema_text": other})
    varied = pipeline.model_copy(update={"variants": {**pipeline.variants, "short": short}})
    with pytest.raises(SpecError, match=r"2: metrics.label: variant 'short': the output has no field 'label'"):
        read(varied, WHOLE)


def test_evidence_may_be_graded_as_a_whole_where_the_output_has_it(read: Read, load: Load) -> None:
    yaml = YAML.replace("key: {id: int64}", "key: {id: int64}\n  carry: [pages]")
    with_evidence = load(yaml=f"{yaml}attachments: {{columns: [text], connection: aws}}\noutput: {{evidence: true}}\n")
    text = "metrics: {pages: {field: _evidence, expected: pages, grade: evidence}}"
    assert read(with_evidence, text).metrics["pages"].field == "_evidence"
    with pytest.raises(SpecError, match=r"needs output\.evidence: true in pipeline\.yaml"):
        read(load(yaml=yaml), text)
