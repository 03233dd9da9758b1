"""checks_file.py: checks.yaml becomes the pipeline's checks, or an error lists its mistakes with their lines."""

from __future__ import annotations

import json

import pytest

from include.enrichment.spec.pipeline import Pipeline
from tests.fixtures.folder import SCHEMA, YAML, Load, Mistakes

CHECKS = """\
- name: short
  field: label
  characters: {max: 20}
- name: honest
  field: label
  forbidden: {words: [best], file: words.txt}
"""


def test_a_pipeline_without_the_file_has_no_checks(load: Load) -> None:
    pipeline = load()
    assert pipeline.checks == []
    assert pipeline.read_checks() is None


def test_the_checks_are_stored_with_the_run_words_and_lines_included(load: Load) -> None:
    pipeline = load(checks=CHECKS, words="# claims\ncheapest\n\nmoney back  # refund\n")
    stored = Pipeline.model_validate_json(pipeline.model_dump_json())
    assert stored == pipeline
    assert stored.checks[1].forbidden is not None
    assert stored.checks[1].forbidden.words == ["best", "cheapest", "money back"]
    assert stored.check_lines["1.forbidden"] == 6


def test_a_run_stored_before_there_were_checks_has_none(load: Load) -> None:
    stored = json.loads(load().model_dump_json())
    del stored["checks"], stored["check_lines"]
    assert Pipeline.model_validate(stored) == load()


def test_the_columns_of_checks_are_read_from_the_source(load: Load) -> None:
    checks = "- {name: sku, field: label, must_contain: ['{{ sku }}']}\n"
    assert load().columns == {"id", "text"}
    assert load(checks=checks).columns == {"id", "text", "sku"}


ONE = "- name: a\n  field: label\n"


@pytest.mark.parametrize(
    ("checks", "line", "fact"),
    [
        ("", 1, "must be a list of checks, each with a name"),
        ("[]", 1, "has no checks: add one, or delete the file"),
        ("a: b", 1, "must be a list of checks"),
        ("- foo\n", 1, "check 1: Input should be a valid dictionary"),
        ("- name: a\n\tfield: label\n", 2, "the line begins with a tab"),
        (f"{ONE}  pattern: a\n  pattern: b\n", 4, "duplicate key 'pattern'"),
        (f"{ONE}  words: {{mix: 3}}\n", 3, "a.words.mix: unknown key; did you mean 'min'? Known keys: min, max"),
        (f"{ONE}  words: {{max: three}}\n", 3, "a.words.max: Input should be a valid integer"),
        ("- field: label\n  pattern: a\n", 1, "check 1.name: is missing"),
        (f"{ONE}  pattern: a\n{ONE}  pattern: b\n", 4, "another check is also named 'a'"),
        (f"{ONE}  pattern: '('\n", 3, "a.pattern: is not a valid RE2 pattern"),
        (f"{ONE}  language: german\n", 3, "a.language: 'german' is not a known language"),
        (f"{ONE}  must_contain: ['{{{{ }}']\n", 3, "unexpected"),
        ("- name: a\n  sql: output.lable = 'x'\n", 2, 'Could not find key "lable"'),
        (f"{ONE}  forbidden: {{file: word.txt}}\n", 3, "a.forbidden.file: there is no word.txt in the pipeline's"),
        (f"{ONE}  forbidden: {{file: ../words.txt}}\n", 3, "a.forbidden.file: String should match pattern"),
        (f'{ONE}  forbidden: {{file: "a\\0b"}}\n', 3, "a.forbidden.file: String should match pattern"),
        ("- name: a\n  field: lable\n  pattern: a\n", 2, "the output has no 'lable'; did you mean 'label'? It has:"),
        ("- name: a\n  field: label.text\n  pattern: a\n", 2, "the output has no 'label.text'"),
        (f"{ONE}  unique: samples\n", 3, "a.unique: each row has one sample: raise `samples` in pipeline.yaml"),
        (
            f"{ONE}  unique: {{among: rows, at_most: 0.5}}\n",
            3,
            "a.unique.at_most: Input should be greater than or equal",
        ),
        (f"{ONE}  unique: {{among: rows, most: 1}}\n", 3, "a.unique.most: unknown key"),
        (f"{ONE}  forbidden: [' ']\n", 3, "a.forbidden: ' ' is only white space: give a word"),
        ("- name: a\n  sql: price > 1\n", 2, "once `columns` names it with its type"),
        (f"{ONE}  items: {{max: 3}}\n", 2, "a.field: 'label' is string, not a list"),
    ],
    ids=str,
)
def test_a_mistake_is_told_with_its_line(mistakes: Mistakes, checks: str, line: int, fact: str) -> None:
    (mistake,) = mistakes(checks=checks)
    assert mistake.startswith(f"checks.yaml:{line}: ")
    assert fact in mistake


def test_an_unknown_setting_is_told_with_the_nearest_known_one(mistakes: Mistakes) -> None:
    assert mistakes(checks=f"{ONE}  patern: a\n")[0].startswith(
        "checks.yaml:3: a.patern: unknown key; did you mean 'pattern'? Known keys: name, field"
    )


def test_files_that_are_not_utf_8_are_mistakes(mistakes: Mistakes) -> None:
    assert mistakes(checks=b"\xff")[0].startswith("checks.yaml: is not UTF-8")
    (mistake,) = mistakes(checks=CHECKS, words=b"\xff")
    assert mistake.startswith("checks.yaml:6: honest.forbidden.file: words.txt is not UTF-8")


def test_a_file_without_words_is_a_mistake(mistakes: Mistakes) -> None:
    assert mistakes(checks=CHECKS, words="# nothing yet\n") == [
        "checks.yaml:6: honest.forbidden.file: words.txt lists no words"
    ]


def test_a_setting_that_yaml_merges_in_has_the_line_of_its_check(mistakes: Mistakes) -> None:
    merged = "- &first\n  name: a\n  field: label\n  pattern: x\n- <<: *first\n  name: b\n  pattern: '('\n"
    assert mistakes(checks=merged)[0].startswith("checks.yaml:7: b.pattern: is not")
    assert mistakes(checks=merged.replace("  pattern: '('\n", "").replace("label", "lable")) == [
        "checks.yaml:3: a.field: the output has no 'lable'; did you mean 'label'? It has: label",
        "checks.yaml:5: b.field: the output has no 'lable'; did you mean 'label'? It has: label",
    ]


def test_mistakes_of_several_files_are_told_together(mistakes: Mistakes) -> None:
    found = mistakes(yaml=YAML.replace("max_tokens", "max_token"), checks="- {name: a, field: lable, pattern: a}\n")
    assert [mistake.partition(":")[0] for mistake in found] == ["pipeline.yaml", "pipeline.yaml", "checks.yaml"]


def test_a_field_that_is_a_truth_value_has_no_text(mistakes: Mistakes) -> None:
    schema = SCHEMA.replace('"type": "string"', '"type": "boolean"')
    assert mistakes(schema=schema, checks="- {name: a, field: label, pattern: a}\n") == [
        "checks.yaml:1: a.field: 'label' is boolean, which has no text"
    ]


def test_numbers_of_the_row_are_those_of_prompts_key_and_for_each_and_not_those_carried(load: Load) -> None:
    yaml = YAML.replace("{id: int64}", "{id: int64}\n  carry: [price]") + "for_each: {size: [40, 80]}\n"
    pipeline = load(
        yaml=yaml, user="{{ text }}, {{ size }} ml", checks="- {name: real, field: label, numbers_from: row}\n"
    )
    checks = pipeline.read_checks()
    assert checks
    facts = checks.facts({"id": 7, "text": "Soap", "price": 12, "size": 40})
    verdicts = checks.new_judge().judge([facts] * 2, ['{"label": "40 ml"}', '{"label": "12 EUR"}'], [None] * 2)
    assert [verdict.failed for verdict in verdicts] == [(), ["real"]]
    assert pipeline.columns == {"id", "text", "price"}


def test_checks_are_made_once_and_again_for_a_changed_pipeline(load: Load) -> None:
    pipeline = load(checks=CHECKS, words="cheapest\n")
    assert pipeline.read_checks() is pipeline.read_checks()
    changed = pipeline.model_copy(update={"checks": pipeline.checks[:1]})
    assert changed.read_checks() is not pipeline.read_checks()


GROUNDED = "- {name: quoted, grounded: [label]}\n"


def test_a_check_of_evidence_needs_an_output_with_evidence(mistakes: Mistakes) -> None:
    assert mistakes(checks=GROUNDED) == [
        "checks.yaml:1: quoted.grounded: needs output.evidence: true in pipeline.yaml",
    ]


def test_a_check_of_evidence_names_fields_of_the_output(mistakes: Mistakes) -> None:
    assert mistakes(checks=GROUNDED.replace("label", "lable"))[0] == (
        "checks.yaml:1: quoted.grounded: the output has no 'lable'; did you mean 'label'? It has: label"
    )
