from __future__ import annotations

from include.evaluation.outputs.metrics_file import metrics_table
from tests.fixtures.evaluations import make_metric, make_result


def test_each_metric_is_a_row_with_its_evaluation() -> None:
    of_group = make_metric(by="shelf", group="toys", value=None, low=None, high=None, cases=0)
    table = metrics_table(make_result(metrics=[make_metric(), of_group]))
    whole, group = table.to_pylist()
    assert whole["evaluation_id"] == group["evaluation_id"] == "20261130T030000Z-0123abcd"
    assert (whole["metric"], whole["by"], whole["cases"], round(whole["value"], 3)) == ("topic", None, 3, 0.667)
    assert (group["by"], group["group"], group["value"]) == ("shelf", "toys", None)
    assert b"version" in table.schema.metadata
