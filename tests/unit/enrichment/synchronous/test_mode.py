from __future__ import annotations

import pytest

from include.enrichment.runs.modes import Mode
from include.enrichment.runs.options import RunOptions
from include.enrichment.synchronous.mode import choose_mode
from tests.fixtures.folder import YAML, Load, in_yaml

AUTO = in_yaml("model:", "mode: auto\n  model:")
SYNCHRONOUS = in_yaml("model:", "mode: synchronous\n  model:")


@pytest.mark.parametrize(
    ("yaml", "requests", "mode"),
    [
        (YAML, 1, "batch"),
        (SYNCHRONOUS, 1_000_000, "synchronous"),
        (AUTO, 19, "synchronous"),
        (AUTO, 20, "batch"),
        (f"{AUTO}limits: {{synchronous_below: 0}}\n", 0, "batch"),
        (f"{AUTO}limits: {{synchronous_below: 100000}}\n", 99_999, "synchronous"),
    ],
)
def test_a_pass_has_the_mode_of_the_pipeline_and_auto_goes_by_its_requests(
    load: Load, yaml: str, requests: int, mode: Mode
) -> None:
    assert choose_mode(load(yaml=yaml).settings, requests) == mode


def test_every_pass_of_an_urgent_run_is_synchronous(load: Load) -> None:
    urgent = load().for_run(RunOptions(urgent=True))
    assert choose_mode(urgent.settings, 1_000_000) == "synchronous"


def test_an_urgent_run_sends_the_same_requests(load: Load) -> None:
    plain, urgent = (load().for_run(RunOptions(urgent=each)) for each in (False, True))
    assert plain.cached_prefix == urgent.cached_prefix
    assert plain.caching == urgent.caching


@pytest.mark.parametrize("yaml", [YAML, AUTO])
def test_a_batch_that_would_miss_the_deadline_is_not_sent(load: Load, yaml: str) -> None:
    assert choose_mode(load(yaml=yaml).settings, 1_000, batch_in_time=False) == "synchronous"
