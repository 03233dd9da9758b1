"""The checks find what is planted, and the flow repairs what strikes once, even for few rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks.accuracy import CHECKS, KINDS, measure
from tests.fixtures.emulator import Emulator

ROWS = 4 * len(KINDS)  # each kind once and always, and as many good rows


@pytest.fixture(scope="module")
def found(emulator_process: Emulator, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The figures of each check."""
    folder: Path = tmp_path_factory.mktemp("accuracy")
    checks: list[dict[str, Any]] = measure(
        emulator_process.workspace(), folder, rows=ROWS, locales=("de-DE", "fr-FR", "en-GB")
    )["checks"]
    return checks


def test_each_kind_is_planted_as_often_as_the_others(found: list[dict[str, Any]]) -> None:
    assert [(one["kind"], one["texts"]) for one in found] == list(CHECKS)
    for one in found:
        assert (one["planted"], one["once"], one["always"]) == (6, 3, 3)
        assert one["good"] == 3 * ROWS // 2


def test_mechanical_checks_find_all_of_it_and_nothing_else(found: list[dict[str, Any]]) -> None:
    for one in found:
        if one["kind"] != "wrong_language":
            # The first of equal texts repeats nothing, in each of the three languages.
            firsts = 3 if one["kind"] == "duplicate_text" else 0
            assert (one["found"], one["false_alarms"]) == (6 - firsts, 0)


def test_a_long_text_in_another_language_is_found(found: list[dict[str, Any]]) -> None:
    (long,) = (one for one in found if (one["kind"], one["texts"]) == ("wrong_language", "40 to 80 words"))
    assert (long["found"], long["false_alarms"]) == (6, 0)


def test_what_strikes_once_is_repaired_and_what_always_strikes_is_rejected(found: list[dict[str, Any]]) -> None:
    assert all((one["repaired"], one["rejected"]) == (3, 3) for one in found)
