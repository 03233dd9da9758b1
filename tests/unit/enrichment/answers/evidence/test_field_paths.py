"""field_paths.py: the names of the values within an answer."""

from __future__ import annotations

import pytest

from include.enrichment.answers.evidence.field_paths import is_within, plain_path, values_in, without_positions


def test_each_value_has_a_path_and_nothing_is_no_value() -> None:
    data = {
        "total": 0,
        "paid": False,
        "note": None,
        "text": "",
        "tags": ["a", None],
        "lines": [{"sku": "x"}, {}],
        "l": [],
    }
    assert [path for path, _ in values_in(data)] == ["total", "paid", "tags[0]", "lines[0].sku"]


@pytest.mark.parametrize(
    ("field", "path"),
    [
        ("total", "total"),
        (" `data.total` ", "total"),
        ("$.total", "total"),
        ("$.data.lines.0.sku", "lines[0].sku"),
        ("data.lines[0]['sku']", "lines[0].sku"),
        ("/lines/0/sku", "lines[0].sku"),
        ("lines[ 0 ] . sku", "lines[0].sku"),
        ("matrix.0.1", "matrix[0][1]"),
        ("database", "database"),
        ("", ""),
    ],
)
def test_other_ways_to_write_a_path_are_understood(field: str, path: str) -> None:
    assert plain_path(field) == path


def test_a_value_is_within_its_object_and_list() -> None:
    path = "lines[2].sku"
    assert all(is_within(path, outer) for outer in ("lines[2].sku", "lines[2]", "lines"))
    assert not any(is_within(path, other) for other in ("lines[1]", "line", "lines[2].s", "sku", ""))
    assert without_positions("a[0].b[12]") == "a.b"
