"""pairs.py: a judge's rows are pairs of answers, and what cannot be paired is reported with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from include.enrichment.spec.sources.pairs import PairSettings, split_side
from tests.fixtures.flow import write_pipeline
from tests.fixtures.folder import SCHEMA, YAML, Load, Mistakes

SOURCE = "  connection: warehouse\n  key: {id: int64}\n"
LABELS = """\
source: {connection: warehouse, key: [id], carry: [name]}
request: {model: claude-haiku-5-5, max_tokens: 200}
variants: {brief: {max_tokens: 100}, long: {max_tokens: 300}}
"""
PROMPT = "{{ name }}: {{ first_label }} or {{ second_label }}"


@pytest.fixture(autouse=True)
def labels(tmp_path: Path) -> Path:
    """A pipeline that publishes ``id``, ``name`` and ``label`` of three variants."""
    return write_pipeline(tmp_path / "labels", pipeline_yaml=LABELS, output_schema_json=SCHEMA)


def judge(pairs: str = "{baseline: current}", key: str = "[id, first, second]", more: str = "") -> str:
    return YAML.replace(SOURCE, f"  table: labels\n  pairs: {pairs}\n  key: {key}\n{more}")


def test_a_pair_has_the_columns_of_its_case_and_those_of_each_answer() -> None:
    columns = PairSettings().of(["id", "_variant", "label"], shared=["id", "_variant"])
    assert columns == ["id", "first", "second", "first_id", "first_label", "second_id", "second_label"]


def test_a_column_of_a_pair_is_taken_from_a_column_of_the_table() -> None:
    assert [PairSettings().stored(name) for name in ("id", "first", "second_label", "first__model")] == [
        *("id", "_variant", "label", "_model")
    ]
    assert (split_side("second_label"), split_side("firstborn")) == (("second", "label"), ("", "firstborn"))


def test_a_judge_of_pairs_is_accepted(load: Load) -> None:
    more = "  carry: [name, first_label]\n  where: label <> ''\n"
    pipeline = load(yaml=judge(more=more), sql=None, user=f"{PROMPT} {{{{ first__model }}}}")
    assert pipeline.settings.source.pairs == PairSettings(column="_variant", baseline="current")


def test_columns_that_no_pair_has_are_reported(mistakes: Mistakes) -> None:
    yaml = judge(key="[idd, first, second]", more="  carry: [first_lable]\n  where: first_label <> ''\n")
    assert mistakes(yaml=yaml, sql=None, user="{{ label }} {{ first_lable }}") == [
        "pipeline.yaml:4: source.key: the table of 'labels' has no column 'idd'; did you mean 'id'?",
        "pipeline.yaml:5: source.carry: the table of 'labels' has no column 'first_lable'; did you mean 'first_label'?",
        "pipeline.yaml:6: source.where: the table of 'labels' has no column 'first_label'; did you mean 'label'?",
        "user.md:1: 'label' is a column of one answer: write first_label and second_label",
        "user.md:1: the table of 'labels' has no column 'first_lable'; did you mean 'first_label'?",
    ]


@pytest.mark.parametrize(
    ("key", "fact"),
    [
        ("[id, first]", "lacks 'second': with source.pairs, the key is that of the case, then 'first' and 'second'"),
        ("[id]", "lacks 'first' and 'second': with source.pairs"),
        ("[first, second]", "lacks the columns of the case: add them before 'first' and 'second'"),
    ],
)
def test_the_key_names_the_case_and_both_answers(mistakes: Mistakes, key: str, fact: str) -> None:
    (line,) = mistakes(yaml=judge(key=key), sql=None, user=PROMPT)
    assert line.startswith(f"pipeline.yaml:4: source.key: {fact}")


def test_an_unknown_baseline_is_reported_with_the_closest_variant(mistakes: Mistakes) -> None:
    assert mistakes(yaml=judge("{baseline: brieff}"), sql=None, user=PROMPT) == [
        "pipeline.yaml:3: source.pairs: 'labels' has no variant 'brieff'; did you mean 'brief'?"
    ]


def test_a_table_without_variants_has_no_pairs_of_them(mistakes: Mistakes, labels: Path) -> None:
    (labels / "pipeline.yaml").write_text(LABELS.partition("variants")[0], encoding="utf-8")
    assert mistakes(yaml=judge(), sql=None, user=PROMPT) == [
        "pipeline.yaml:3: source.pairs: there are no variants to compare: the pipeline publishes no '_variant'"
    ]


def test_another_column_may_be_compared_under_its_new_name(load: Load, labels: Path) -> None:
    (labels / "pipeline.yaml").write_text(f"{LABELS.partition('variants')[0]}samples: 2\n", encoding="utf-8")
    more = "  rename: {_sample: sample}\n"
    assert load(yaml=judge("{column: sample}", more=more), sql=None, user=PROMPT).settings.source.pairs


def test_names_that_could_be_two_columns_are_reported(mistakes: Mistakes, labels: Path) -> None:
    yaml = LABELS.replace("[name]", "[name, first_label, second]")
    (labels / "pipeline.yaml").write_text(yaml, encoding="utf-8")
    assert mistakes(yaml=judge(), sql=None, user=PROMPT) == [
        "pipeline.yaml:3: source.pairs: 'first_label' is a column of the table and 'label' of an answer: rename one"
        " with source.rename",
        "pipeline.yaml:3: source.pairs: the table has a column 'second': give it another name with source.rename",
    ]


def test_pairs_are_of_a_table_only(mistakes: Mistakes) -> None:
    (line,) = mistakes(yaml=YAML.replace("  key:", "  pairs: {}\n  key:"))
    assert line == "pipeline.yaml:3: source.pairs: is for source.table only: remove it, got {}"


def test_an_unknown_setting_is_reported_with_the_closest_name(mistakes: Mistakes) -> None:
    (line,) = mistakes(yaml=judge("{base: current}"), sql=None, user=PROMPT)
    assert line.startswith("pipeline.yaml:3: source.pairs.base: unknown key; did you mean 'baseline'?")


def test_answers_of_which_only_the_best_is_published_cannot_be_paired(mistakes: Mistakes, labels: Path) -> None:
    (labels / "pipeline.yaml").write_text(f"{LABELS}keep: {{best: label, among: _variant}}\n", encoding="utf-8")
    assert mistakes(yaml=judge(), sql=None, user=PROMPT) == [
        "pipeline.yaml:3: source.pairs: 'labels' publishes only the best '_variant': remove `keep` from its"
        " pipeline.yaml"
    ]
