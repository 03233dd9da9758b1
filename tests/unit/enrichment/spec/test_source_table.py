"""source_table.py: a table that no run can read is a mistake with its line."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from include.enrichment.spec.pipeline import Pipeline
from tests.fixtures.flow import FILES, write_pipeline
from tests.fixtures.folder import SCHEMA, YAML, Load, Mistakes, in_yaml

SOURCE = "  connection: warehouse\n  key: {id: int64}\n"
LABELS = "source: {connection: warehouse, key: [id]}\nrequest: {model: claude-haiku-5-5, max_tokens: 200}\n"


def reads(table: str, more: str = "", key: str = "{id: int64}") -> str:
    return YAML.replace(SOURCE, f"  table: {table}\n  key: {key}\n{more}")


@pytest.fixture(autouse=True)
def labels(tmp_path: Path) -> Path:
    """A pipeline that publishes ``id`` and ``label``, next to the pipeline ``tickets``."""
    return write_pipeline(tmp_path / "labels", pipeline_yaml=LABELS, output_schema_json=SCHEMA)


def write_chain(folder: Path, *names: str) -> None:
    """Pipelines of which each reads the table of the next."""
    for name, table in pairwise(names):
        settings = FILES["pipeline.yaml"].replace("connection: warehouse", f"table: {table}")
        write_pipeline(folder / name, pipeline_yaml=settings)


def test_the_table_of_another_pipeline_needs_neither_query_nor_connection(load: Load) -> None:
    pipeline = load(yaml=reads("labels", "  where: label <> 'other'\n"), sql=None, user="{{ label }} {{ _model }}")
    assert pipeline.settings.source.table == "labels"
    assert pipeline.where
    assert pipeline.where.location == "tickets/pipeline.yaml:4: source.where"
    assert Pipeline.model_validate_json(pipeline.model_dump_json()) == pipeline


def test_a_query_next_to_it_is_a_mistake(mistakes: Mistakes) -> None:
    (line,) = mistakes(yaml=reads("labels"), user="{{ label }}")
    assert line.startswith("extract.sql:1: is not used, because source.table replaces it")


def test_a_pipeline_cannot_read_its_own_table(mistakes: Mistakes) -> None:
    assert mistakes(yaml=reads("tickets"), sql=None) == [
        "pipeline.yaml:2: source.table: a pipeline cannot read its own table: name another pipeline"
    ]


@pytest.mark.parametrize("table", ["label", "../labels", "labels/"])
def test_an_unknown_pipeline_is_reported_with_the_closest_name(mistakes: Mistakes, table: str) -> None:
    assert mistakes(yaml=reads(table), sql=None) == [
        f"pipeline.yaml:2: source.table: there is no pipeline {table!r}; did you mean 'labels'? There are: labels"
    ]


def test_a_cycle_is_shown(mistakes: Mistakes, tmp_path: Path) -> None:
    write_chain(tmp_path, "first", "second", "tickets")
    assert mistakes(yaml=reads("first"), sql=None) == [
        "pipeline.yaml:2: source.table: the pipelines read each other in a cycle: tickets reads first reads second"
        " reads tickets"
    ]


def test_so_is_a_cycle_of_the_others(mistakes: Mistakes, tmp_path: Path) -> None:
    write_chain(tmp_path, "first", "second", "first")
    (line,) = mistakes(yaml=reads("first"), sql=None, user="{{ topic }}")
    assert line.endswith("a cycle: tickets reads first reads second reads first")


def test_a_chain_may_be_long(load: Load, tmp_path: Path) -> None:
    write_chain(tmp_path, "first", "second", "labels")
    load(yaml=reads("first", key="[ticket]"), sql=None, user="{{ topic }}")


def test_a_column_that_the_table_does_not_have_is_reported_with_its_line(mistakes: Mistakes) -> None:
    settings = reads("labels", "  where: |\n    lable = 'x'\n    and _cost_usd > 0\n", key="[idd]")
    assert mistakes(yaml=settings, sql=None, system="{{ id }}", user="Hello\n{{ lable }} {{ text }}") == [
        "pipeline.yaml:3: source.key: the table of 'labels' has no column 'idd'; did you mean 'id'?",
        "pipeline.yaml:4: source.where: the table of 'labels' has no column 'lable'; did you mean 'label'?",
        "user.md:2: the table of 'labels' has no column 'lable'; did you mean 'label'?",
        "user.md:2: the table of 'labels' has no column 'text'",
    ]


def test_a_carried_column_that_the_table_does_not_have_is_reported_with_its_line(mistakes: Mistakes) -> None:
    (line,) = mistakes(yaml=reads("labels", "  carry: [labels]\n"), sql=None, user="{{ label }}")
    assert line == (
        "pipeline.yaml:4: source.carry: the table of 'labels' has no column 'labels'; did you mean 'label'?"
    )


def test_a_reserved_name_of_the_table_gets_no_advice_about_a_query(mistakes: Mistakes) -> None:
    settings = reads("labels", "  carry: [_model]\n", key="[id, _sample]")
    reserved = "is a reserved column name: give it another name with source.rename"
    assert mistakes(yaml=settings, sql=None, user="{{ label }}") == [
        f"pipeline.yaml:3: source.key: '_sample' {reserved}",
        f"pipeline.yaml:4: source.carry: '_model' {reserved}",
    ]


def test_a_column_has_its_new_name_wherever_it_is_used(load: Load) -> None:
    more = "  carry: [page]\n  where: page <> '' and sample > 1\n  rename: {label: page, _sample: sample}\n"
    load(yaml=reads("labels", more, key="[id, sample]"), sql=None, user="{{ page }} {{ _model }}")


def test_a_column_that_is_renamed_has_no_other_name(mistakes: Mistakes) -> None:
    settings = reads("labels", "  rename: {label: page}\n  where: label = 'x'\n")
    assert mistakes(yaml=settings, sql=None, user="{{ pages }} {{ label }}") == [
        "pipeline.yaml:5: source.where: the table of 'labels' has no column 'label': source.rename calls it 'page'",
        "user.md:1: the table of 'labels' has no column 'pages'; did you mean 'page'?",
        "user.md:1: the table of 'labels' has no column 'label': source.rename calls it 'page'",
    ]


def test_a_wrong_new_name_is_reported_with_the_line_of_its_column(mistakes: Mistakes) -> None:
    names = {"lable": "page", "label": "id", "_sample": "_s", "_model": "", "_score": "page", "_batch_id": "_batch_id"}
    lines = "".join(f"    {old}: '{new}'\n" for old, new in names.items())
    found = mistakes(yaml=reads("labels", f"  rename:\n{lines}"), sql=None, user="{{ id }}")
    assert sorted(found) == [
        "pipeline.yaml:10: source.rename: '_batch_id' keeps its name: leave it out",
        "pipeline.yaml:5: source.rename: the source has no column 'lable'; did you mean 'label'?",
        "pipeline.yaml:6: source.rename: 'label' cannot become 'id': the source has a column of that name; choose"
        " another name",
        "pipeline.yaml:7: source.rename: '_s' begins with an underscore, which is reserved: choose another name",
        "pipeline.yaml:8: source.rename: '' is not a valid column name: choose another name",
        "pipeline.yaml:9: source.rename: 'lable' has the new name 'page' too: choose another name",
    ]


def test_the_names_of_for_each_are_no_columns_of_the_table(load: Load) -> None:
    yaml = reads("labels") + "for_each: {locale: [de-DE, fr-FR]}\n"
    assert load(yaml=yaml, sql=None, user="{{ label }} {{ locale }}").settings.for_each


def test_a_column_of_for_each_that_the_table_does_not_have_is_reported_with_its_line(mistakes: Mistakes) -> None:
    yaml = reads("labels") + "for_each: {locale: {column: labels}}\n"
    (line,) = mistakes(yaml=yaml, sql=None, user="{{ label }} {{ locale }}")
    assert line == (
        "pipeline.yaml:7: for_each.locale: the table of 'labels' has no column 'labels'; did you mean 'label'?"
    )


def test_columns_are_not_checked_while_the_other_pipeline_has_mistakes(load: Load, labels: Path) -> None:
    (labels / "output.schema.json").write_text("{")
    load(yaml=reads("labels"), sql=None, user="{{ anything }}")


@pytest.mark.parametrize(
    ("settings", "mistake"),
    [
        (
            reads("labels", "  files: s3://b/{partition}/\n"),
            "pipeline.yaml:2: source.table: a source is either source.files or source.table",
        ),
        (
            reads("labels", "  connection: warehouse\n"),
            "pipeline.yaml:4: source.connection: is not used, because source.table is read from the lake: remove it",
        ),
        (in_yaml("  connection: warehouse\n", ""), "pipeline.yaml:1: source.connection: is missing"),
        (reads("''"), "pipeline.yaml:2: source.table: String should have at least 1 character"),
        (
            in_yaml("  key:", "  where: id > 1\n  key:"),
            "pipeline.yaml:3: source.where: filters source.files, source.objects and source.table only: put the",
        ),
        (reads("labels", "  where: ''\n"), "pipeline.yaml:4: source.where: String should have at least 1 character"),
        (reads("labels", "  where: id >\n"), "pipeline.yaml:4: source.where: is not an SQL expression: syntax error"),
        (reads("labels", "  where: |\n    id > 1\n    and and\n"), "pipeline.yaml:6: source.where: is not an SQL"),
        (reads("labels", "  where: id > 1 and random() > 0\n"), "pipeline.yaml:4: source.where: must give the same"),
    ],
)
def test_a_mistake_in_the_source_has_its_line(mistakes: Mistakes, settings: str, mistake: str) -> None:
    found = mistakes(yaml=settings, sql=None, user="{{ label }}")
    assert any(line.startswith(mistake) for line in found), found
    assert not any(line.startswith("extract.sql") for line in found)


CHOOSING = reads("labels", "  rename: {_sample: sample}\n", key="[id, sample]") + "keep: {best: '1', among: sample}\n"


def test_a_judge_of_what_another_pipeline_has_chosen_is_reported(labels: Path, mistakes: Mistakes) -> None:
    (labels / "pipeline.yaml").write_text(f"{LABELS}samples: 2\nkeep: {{best: label}}\n", encoding="utf-8")
    assert mistakes(yaml=CHOOSING, sql=None, user="{{ id }}") == [
        "pipeline.yaml:8: keep.among: 'labels' publishes only the best '_sample' itself, so there is nothing to choose"
        " from: remove `keep` from its pipeline.yaml, so that it publishes all"
    ]


@pytest.mark.parametrize("keep", ["", "keep: {best: label, among: id}\n"])
def test_a_judge_of_all_samples_is_accepted(labels: Path, load: Load, keep: str) -> None:
    (labels / "pipeline.yaml").write_text(f"{LABELS}samples: 2\n{keep}", encoding="utf-8")
    assert load(yaml=CHOOSING, sql=None, user="{{ id }}").settings.keep
