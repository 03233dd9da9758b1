"""tables.py: groups and confusions in a size that a page can hold."""

from __future__ import annotations

from include.evaluation.result import Confusion
from include.reporting.evaluation.tables import MOST_GROUPS, MOST_LABELS, confusion_tables, group_tables
from tests.fixtures.evaluation_report import metric, result


def test_groups_are_rows_with_the_lowest_scores_first_and_variants_are_columns() -> None:
    metrics = [
        metric("current", 0.9, by="shelf", group="Toys"),
        metric("short", 0.8, by="shelf", group="Toys"),
        metric("current", 0.5, by="shelf", group="Books", cases=7),
    ]
    [table] = group_tables(result(metrics=metrics))
    assert (table.by, table.variants, table.left_out) == ("shelf", ["current", "short"], 0)
    assert [(row.group, row.cases) for row in table.rows] == [("Books", 7), ("Toys", 100)]
    assert table.rows[0].cells[1] is None
    assert [cell.lowest for row in table.rows for cell in row.cells if cell] == [True, False, True]


def test_too_many_groups_are_counted() -> None:
    metrics = [metric("current", 0.9, by="shelf", group=str(number)) for number in range(MOST_GROUPS + 5)]
    [table] = group_tables(result(metrics=metrics))
    assert (len(table.rows), table.left_out) == (MOST_GROUPS, 5)


def _confusion(counts: list[list[int]]) -> Confusion:
    labels = [f"l{place}" for place in range(len(counts))]
    return Confusion(metric="category", variant="short", labels=labels, counts=counts)


def test_the_most_frequent_label_is_first_and_shades_are_shares_of_the_row() -> None:
    [table] = confusion_tables(result(confusions=[_confusion([[1, 1], [0, 8]])]))
    assert table.labels == ["l1", "l0"]
    assert [row.counts for row in table.rows] == [[(8, 8), (0, 0)], [(1, 4), (1, 4)]]


def test_the_rarest_labels_share_the_last_row_and_column() -> None:
    size = MOST_LABELS + 3
    counts = [[int(row == column) * (size - row) + 1 for column in range(size)] for row in range(size)]
    [table] = confusion_tables(result(confusions=[_confusion(counts)]))
    assert (len(table.labels), table.labels[-1], table.merged) == (MOST_LABELS, "all others", 4)
    assert sum(number for row in table.rows for number, _ in row.counts) == sum(map(sum, counts))


def test_one_label_is_no_matrix() -> None:
    assert confusion_tables(result(confusions=[_confusion([[3]])])) == []
