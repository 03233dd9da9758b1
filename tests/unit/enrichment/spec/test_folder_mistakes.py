"""folder_mistakes.py: the mistakes in the files of variants; test_pipeline_folder.py has those of a single way."""

from __future__ import annotations

import pytest

from include.enrichment.errors import SpecError
from include.enrichment.spec.pipeline_folder import find_warnings
from tests.fixtures.folder import SCHEMA, YAML, Load, Mistakes, in_schema

SHORT = "variants:\n  short:\n    user: short.md\n"


def test_a_variants_prompt_is_checked_like_the_pipelines_own(mistakes: Mistakes) -> None:
    assert mistakes(yaml=YAML + SHORT, more={"short.md": "{{ text"})[0].startswith("short.md:1: ")
    assert mistakes(yaml=YAML + SHORT, more={"short.md": " "}) == [
        "short.md:1: is empty: write what Claude is to do with a row"
    ]


def test_a_mistake_in_a_shared_file_is_reported_once(mistakes: Mistakes) -> None:
    found = mistakes(yaml=YAML + SHORT, more={"short.md": "{{ text }}"}, system="{{ oops")
    assert len(found) == 1


def test_a_prompt_that_cannot_be_cached_names_the_setting_of_its_variant(mistakes: Mistakes) -> None:
    variants = "variants: {short: {system: short.md, cache: 1h}}\n"
    assert mistakes(yaml=YAML + variants, more={"short.md": "{{ text }}"}) == [
        "short.md:1: the column 'text' differs from row to row, so the prompt cannot be cached: move it to user.md, or"
        " set variants.short.cache: off instead of 1h"
    ]


def test_each_variant_uses_the_names_of_for_each(mistakes: Mistakes) -> None:
    found = mistakes(
        yaml=f"{YAML}for_each: {{tone: [warm, cold]}}\n{SHORT}",
        user="{{ text }} {{ tone }}",
        more={"short.md": "{{ text }}"},
    )
    assert found == ["pipeline.yaml:7: for_each: 'tone' changes no request: write {{ tone }} in short.md, or remove it"]


SCHEMAS = "variants: {short: {schema: short.json}}\n"


def test_a_field_has_the_same_type_in_all_schemas(mistakes: Mistakes) -> None:
    number = in_schema('"string"', '"number"')
    assert mistakes(yaml=YAML + SCHEMAS, more={"short.json": number}) == [
        "short.json:6: 'label' is double, but string in output.schema.json. All variants are published in one table:"
        " use one type, or another name"
    ]


def test_a_check_is_of_a_field_that_every_schema_has(mistakes: Mistakes) -> None:
    checks = "- {name: brief, field: label, words: {max: 3}}\n"
    renamed = SCHEMA.replace("label", "tag")
    assert mistakes(yaml=YAML + SCHEMAS, checks=checks, more={"short.json": renamed}) == [
        "checks.yaml:1: brief.field: the output of short.json has no 'label'. It has: tag"
    ]


def test_text_and_json_are_not_mixed(mistakes: Mistakes) -> None:
    (found,) = mistakes(yaml=YAML + SCHEMAS, schema=None, more={"short.json": SCHEMA})
    assert found.startswith("pipeline.yaml:7: variants.short.schema: the answers of the pipeline itself are text")


@pytest.mark.parametrize(
    ("variants", "expected"),
    [
        ("{short: {system: shrt.md}}", "variants.short.system: there is no file 'shrt.md'; did you mean 'short.md'?"),
        ("{short: {context: contxt}}", "variants.short.context: there is no folder with *.md files 'contxt'; did you"),
        ("{short: {context: empty}}", "variants.short.context: there is no folder with *.md files 'empty'"),
    ],
)
def test_a_missing_file_is_reported_with_the_nearest_name(mistakes: Mistakes, variants: str, expected: str) -> None:
    (found,) = mistakes(
        yaml=f"{YAML}variants: {variants}\n", more={"short.md": "x", "context/a.md": "x", "empty/.keep": ""}
    )
    assert found.startswith(f"pipeline.yaml:7: {expected}")
    assert "did you mean 'empty'" not in found


def test_the_schema_of_a_variant_is_no_misnamed_schema(load: Load) -> None:
    added = SCHEMA.replace("label", "tag")
    pipeline = load(
        yaml=f"{YAML}variants: {{tagged: {{schema: tagged.schema.json}}}}\n", more={"tagged.schema.json": added}
    )
    assert [field.name for field in pipeline.output.fields] == ["label", "tag"]


def test_examples_are_checked_against_the_prompt_and_the_schema_of_their_variant(
    load: Load, mistakes: Mistakes
) -> None:
    yaml = f"{YAML}variants: {{shown: {{examples: shown.jsonl, context: words}}}}\n"
    good = {"shown.jsonl": '{"input": {"text": "Hi"}, "output": {"label": "a"}}\n', "words/a.md": "# Words"}
    shown = load(yaml=yaml, more=good).variants["shown"]
    assert shown.shared.startswith("# Words\n\n<examples>")
    assert load(yaml=yaml, more=good).shared == ""
    assert mistakes(yaml=yaml, more=good | {"shown.jsonl": "{}"})[0].startswith("shown.jsonl:1: is not an example")


def test_doubtful_parts_of_a_variant_give_warnings_with_its_files(load: Load) -> None:
    yaml = f"{YAML}variants: {{shown: {{context: words, cache: off, schema: other.json}}}}\n"
    more = {"words/a.md": "A rule that all rows share. " * 1_000, "other.json": in_schema("label", "größe")}
    odd, cache = find_warnings(load(yaml=yaml, more=more))
    assert odd.startswith("tickets/other.json:6: the API may reject 'größe'")
    assert cache.startswith("tickets/pipeline.yaml:7: variants.shown.cache: is off, so every request pays the full")


def test_a_check_by_sql_may_use_a_field_that_a_variant_lacks(load: Load) -> None:
    yaml, more = f"{YAML}variants: {{other: {{schema: other.json}}}}\n", {"other.json": in_schema("label", "tag")}
    pipeline = load(yaml=yaml, more=more, checks="- {name: short, sql: length(output.tag) < 3}\n")
    checks = pipeline.read_checks()
    assert checks
    facts = checks.facts({"id": 1, "text": "a"})
    verdicts = checks.new_judge().judge([facts] * 2, ['{"label": "long"}', '{"tag": "long"}'], [None] * 2)
    assert [verdict.failed for verdict in verdicts] == [(), ["short"]]


def test_a_column_of_the_source_is_used_if_any_variant_does(load: Load) -> None:
    pipeline = load(yaml=YAML + SHORT, more={"short.md": "{{ text }} {{ mood }}"})
    assert pipeline.columns == {"id", "text", "mood"}
    with pytest.raises(SpecError, match=r"tickets/short\.md:1: the query has no column 'mood'"):
        pipeline.renderers(["id", "text"], run_id="run-1")
