from __future__ import annotations

from pathlib import Path

from tests.benchmarks.cascade import measure
from tests.fixtures.flow import Flow


def test_the_cascade_is_between_the_models_in_cost_and_asks_again_for_doubtful_rows_only(
    flow: Flow, tmp_path: Path
) -> None:
    found = measure(flow, tmp_path, cases=40)
    small, cascade, large = (found[name] for name in ("small", "cascade", "large"))
    assert 0 < small["usd"] < cascade["usd"] < large["usd"]
    assert (small["escalated"], large["escalated"]) == (0, 0)
    assert 0 < cascade["escalated"] < 20
