"""Code finds the quotes that stand in the documents, and no other, even for few documents."""

from __future__ import annotations

from pathlib import Path

from tests.benchmarks.evidence import FIELDS, KINDS, measure
from tests.fixtures.emulator import Emulator


def test_right_quotes_are_found_on_their_page_and_no_others(emulator_process: Emulator, tmp_path: Path) -> None:
    found = measure(emulator_process.workspace(), tmp_path, documents=2 * len(KINDS))
    assert found["published"] == 2 * len(KINDS)
    figures = {kind["kind"]: kind for kind in found["kinds"]}
    assert figures["respelt"]["right_page"] == figures["respelt"]["quotes"] > 0
    assert figures["digit"]["None"] == figures["digit"]["quotes"] > 0
    for kind in KINDS:
        counted = figures[kind]
        assert counted["quotes"] == 2 * len(FIELDS)
        stands = kind in ("good", "wrong_page")
        assert counted["right_page"] == (counted["quotes"] if stands else 0)
        assert counted["ungrounded"] == (0 if stands else counted["values"])
