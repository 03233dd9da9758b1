from __future__ import annotations

from tests.benchmarks.parse import measure


def test_the_copies_of_the_pipeline_and_the_floor_are_parsed_with_the_same_dags_and_tasks() -> None:
    found = measure(pipelines=2, runs=1)
    assert (found["dags"], found["tasks"]) == (2, 2 * 20)
    assert found["one_file_ms"] > found["floor_one_file_ms"] > 0
