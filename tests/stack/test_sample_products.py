"""The sample, and the warehouse it becomes."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from include.enrichment.spec.pipeline_folder import load_pipeline
from include.stack import sample_products
from include.stack.folder import ROOT

DAYS = [(date(2026, 10, 20) + timedelta(days=day)).isoformat() for day in range(30)]


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("warehouse") / "warehouse.db"
    assert sample_products.load_sample(path) == 5078
    return path


def query(database: Path, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute(sql).fetchall()


def test_the_sample_is_small_enough_for_the_repository() -> None:
    assert sample_products.SAMPLE.stat().st_size < 2_000_000


def test_every_day_has_a_partition_worth_running(database: Path) -> None:
    counted = dict(query(database, "SELECT updated_on, count(*) FROM products GROUP BY updated_on"))
    assert sorted(counted) == DAYS
    assert min(counted.values()) > 120


def test_tags_are_json_and_dates_are_iso_text(database: Path) -> None:
    tags, day = query(database, "SELECT tags, updated_on FROM products WHERE tags <> '[]' LIMIT 1")[0]
    assert all(isinstance(tag, str) for tag in json.loads(tags))
    assert date.fromisoformat(day)


def test_a_partition_is_found_through_the_index(database: Path) -> None:
    plan = query(database, "EXPLAIN QUERY PLAN SELECT * FROM products WHERE updated_on >= 'a' AND updated_on < 'b'")
    assert "products_updated_on" in str(plan)


def test_keys_are_those_of_the_partition_only(database: Path) -> None:
    keys = sample_products.keys_of(database, DAYS[0])
    assert len(keys) == len(set(keys)) > 120
    assert not set(keys) & set(sample_products.keys_of(database, DAYS[1]))


def test_the_real_api_gets_a_handful_of_rows_of_one_day(tmp_path: Path) -> None:
    path = tmp_path / "warehouse.db"
    assert sample_products.load_sample(path, partition=DAYS[3], limit=5) == 5
    assert len(sample_products.keys_of(path, DAYS[3])) == 5

    assert query(path, "SELECT * FROM ui_strings") == query(path, "SELECT * FROM tickets") == []


def test_tickets_are_of_one_day_and_their_orders_are_always_there(database: Path) -> None:
    assert query(database, "SELECT created_on, count(*) FROM tickets GROUP BY 1") == [("2026-11-17", 200)]
    unknown = "SELECT * FROM tickets WHERE customer_id NOT IN (SELECT customer_id FROM orders)"
    assert query(database, unknown) == []
    assert query(database, "SELECT count(*) FROM orders WHERE ordered_on < '2026-11-17'") == [(354,)]


def test_the_last_day_of_the_sample_can_be_another(tmp_path: Path) -> None:
    path = tmp_path / "warehouse.db"
    assert sample_products.load_sample(path, newest=date(2026, 12, 24)) == 5078
    days = [day for (day,) in query(path, "SELECT DISTINCT updated_on FROM products ORDER BY updated_on")]
    assert days == [*DAYS[:-1], "2026-12-24"]
    assert query(path, "SELECT DISTINCT updated_on FROM ui_strings") == [("2026-12-24",)]


def test_the_ui_strings_are_of_the_last_day_and_fit_their_own_limits(database: Path) -> None:
    assert query(database, "SELECT count(*), min(updated_on), max(updated_on) FROM ui_strings") == [
        (200, DAYS[-1], DAYS[-1])
    ]
    assert query(database, "SELECT count(*) FROM ui_strings WHERE max_characters IS NULL") != [(0,)]
    assert query(database, "SELECT string_id FROM ui_strings WHERE length(text) > max_characters") == []


@pytest.mark.parametrize(
    "part", ["{count, plural", ", select, ", "{{ ", "%s", "%1$s", "%(name)s", "<a href=", "{name}"]
)
def test_the_ui_strings_have_placeholders_of_each_kind(database: Path, part: str) -> None:
    assert query(database, f"SELECT count(*) FROM ui_strings WHERE instr(text, '{part}') > 0") != [(0,)]


def test_the_emulator_is_right_by_model_and_prompt_about_the_cases_of_the_evaluation_only(database: Path) -> None:
    faults = [fault for fault in sample_products.accuracy_faults(database) if fault["kind"] == "accuracy"]
    assert {len(fault["truth"]) for fault in faults} == {2_998}

    def struck(pipeline: str) -> dict[str, list[float]]:
        row = {"package": "p", "summary": "s", "description": "d", "homepage": None, "tags": "[]"}
        columns = [*row, "section", "shelf", "certainty"]
        return {
            name: [
                fault["share"]
                for fault in faults
                if fault["model"] == one.settings.request.model
                and fault["match"] in one.renderer(columns, run_id="").render(row).params
            ]
            for name, one in load_pipeline(ROOT / "include/pipelines" / pipeline).by_variant.items()
        }

    assert struck("catalogue_evaluation") == {
        "current": [0.8],
        "brief": [0.66],
        "sonnet": [0.92],
        "sonnet-brief": [0.9],
    }
    assert struck("catalogue") == {"": []}
