"""row_expression.py: what is one boolean expression over a row, and the database that evaluates it."""

from __future__ import annotations

from contextlib import closing

import pytest

from include.enrichment.requests.row_expression import connect, expression_problems


@pytest.mark.parametrize(
    ("text", "line", "fact"),
    [
        ("id >", 1, "is not an SQL expression: syntax error at or near"),
        ("id > 1\nand and", 2, 'syntax error at or near "and"'),
        ("'ü' = body\nand >", 2, 'syntax error at or near ">"'),
        ("", 1, "is not an SQL expression"),
        ("select true", 1, 'syntax error at or near "select"'),
        ("true; drop table source", 1, "is not an SQL expression"),
        ("true) or (true", 1, 'syntax error at or near ")"'),
        ("id from other", 1, 'syntax error at or near "from"'),
        ("true limit 1", 1, 'syntax error at or near "limit"'),
        ("id > 1, id < 3", 1, "must be one SQL expression, not 2: combine them with `and`"),
        ("id > 1\nand exists (select 1 from 'x.parquet')", 2, "without a subquery"),
        ("row_number() over () < 9", 1, "without a window function"),
        ("*", 1, "without a star"),
        ("columns('i.*') > 1", 1, "without a star"),
        ("id > ?", 1, "without a parameter"),
        ("id > 1\nand\nrandom() < 0.1", 3, "must give the same result in every run, but random() changes"),
        ("seen > now()", 1, "but now() changes"),
        ("age(seen) > interval 6 year", 1, "but age() changes"),
        ("id > 1\nand #1 = 7", 2, "without a column's number"),
    ],
)
def test_what_is_not_one_expression_over_a_row_is_found_without_its_columns(text: str, line: int, fact: str) -> None:
    ((found, told),) = expression_problems(text)
    assert found == line
    assert fact in told


def test_times_are_in_utc_wherever_the_expression_runs() -> None:
    with closing(connect()) as database:
        assert database.execute("select hour('2026-11-01 08:00:00+02'::timestamptz)").fetchall() == [(6,)]


def test_the_time_between_two_columns_may_be_compared() -> None:
    assert not list(expression_problems("age(closed, opened) > interval 6 year"))
