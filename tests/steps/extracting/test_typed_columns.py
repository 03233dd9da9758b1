"""typed_columns.py: which columns a run's rows have, in which order and of which types."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from include.enrichment.errors import SpecError
from include.enrichment.spec.pipeline import Pipeline
from include.enrichment.spec.pipeline_folder import load_pipeline
from include.steps.extracting.typed_columns import needs_values, typed_columns
from tests.fixtures.flow import FILES, Flow, write_pipeline

ROW = {"ticket": "T1", "body": "x", "price": 1.5, "tones": ["plain"]}


def pipeline(folder: Path, *, carry: str = "[]", for_each: str = "{}", samples: int = 1) -> Pipeline:
    yaml = FILES["pipeline.yaml"].replace("[ticket]", f"[ticket], carry: {carry}")
    yaml += f"for_each: {for_each}\nsamples: {samples}\n"
    prompt = "{{ body }} {{ tone }} {{ size }}" if for_each != "{}" else "{{ body }}"
    return load_pipeline(write_pipeline(folder / "tickets", pipeline_yaml=yaml, user_md=prompt))


def test_key_then_for_each_then_sample_then_carried_columns(tmp_path: Path) -> None:
    made = pipeline(tmp_path, carry="[price, tones]", for_each="{tone: {column: tones}, size: [1, 2]}", samples=2)
    schema = typed_columns(made, {}, [ROW], None)
    assert schema.names == [
        *("ticket", "tone", "size", "_sample", "price", "tones"),
        *("request_id", "params", "problem"),
    ]
    assert [field.nullable for field in schema] == [False] * 4 + [True] * 5


def test_the_columns_of_a_pipeline_without_these_settings_are_key_and_request(tmp_path: Path) -> None:
    assert typed_columns(pipeline(tmp_path), {}, [ROW], None).names == ["ticket", "request_id", "params", "problem"]


def test_the_part_of_a_document_is_a_key_column_after_those_of_the_source(tmp_path: Path) -> None:
    yaml = FILES["pipeline.yaml"].replace("[ticket]", "[ticket], carry: [price]")
    yaml += "for_each: {tone: [a, b]}\nattachments: {columns: [scan], connection: aws, split_pages: 50}\nsamples: 2\n"
    made = load_pipeline(write_pipeline(tmp_path / "tickets", pipeline_yaml=yaml, user_md="{{ tone }}"))
    schema = typed_columns(made, {}, [ROW], None)
    assert [
        (field.name, field.nullable) for field in schema if field.name not in ("request_id", "params", "problem")
    ] == [
        *(("ticket", False), ("_part", False), ("tone", False), ("_sample", False)),
        *(("price", True), ("_pages", True), ("_documents", True)),
    ]


@pytest.mark.parametrize(
    ("settings", "described", "needed"),
    [
        ({}, {}, False),
        ({"for_each": "{tone: [a], size: [1]}"}, {}, False),
        ({"carry": "[price]"}, {}, True),
        ({"carry": "[price]"}, {"price": pa.float64()}, False),
        ({"carry": "{price: double}"}, {}, False),
        ({"for_each": "{tone: {column: tones}, size: [1]}"}, {}, True),
        ({"for_each": "{tone: {column: tones}, size: [1]}"}, {"tones": pa.list_(pa.string())}, False),
    ],
    ids=str,
)
def test_more_rows_are_read_ahead_only_for_a_type_that_nothing_else_tells(
    tmp_path: Path, settings: dict[str, Any], described: dict[str, pa.DataType | None], needed: bool
) -> None:
    assert needs_values(pipeline(tmp_path, **settings), described, None) is needed


def test_a_published_type_needs_no_rows(flow: Flow, tmp_path: Path) -> None:
    made = pipeline(tmp_path, carry="[price]", for_each="{tone: {column: tones}, size: [1]}")
    published = flow.run_all("main").model_copy(update={"columns": {"price": "double", "tone": "int64"}})
    assert not needs_values(made, {}, published)
    assert typed_columns(made, {"ticket": pa.string()}, [], published).field("tone").type == pa.int64()


def test_a_name_that_only_the_rows_of_a_stored_pipeline_could_have_is_rejected(tmp_path: Path) -> None:
    made = pipeline(tmp_path, carry="[price]")
    source = made.settings.source.model_copy(update={"carry": {"reason": None}})
    made = made.model_copy(update={"settings": made.settings.model_copy(update={"source": source})})
    with pytest.raises(SpecError, match=r"tickets: 'reason' is a reserved column name: .*\nNothing was sent"):
        typed_columns(made, {}, [ROW | {"reason": "x"}], None)
