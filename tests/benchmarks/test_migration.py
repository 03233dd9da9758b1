"""The loop of docs/migration.md and the pipeline ask the same about the same tickets."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from include.stack.folder import ROOT
from include.stack.sample_products import load_sample
from include.stack.sample_tickets.tickets import DAY
from tests.benchmarks.migration import LOOP, WAYS
from tests.fixtures.emulator import Emulator

PAGE = (ROOT / "docs/migration.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("way", WAYS)
def test_each_way_answers_every_ticket_once(way: str, emulator: Emulator, tmp_path: Path) -> None:
    load_sample(warehouse := tmp_path / "warehouse.db", partition=str(DAY), limit=3)
    assert WAYS[way](emulator, warehouse, tmp_path).run("first") == 3
    assert emulator.bills()["requests"] == 3


def test_the_page_shows_the_files_as_they_are() -> None:
    shown = re.findall(r"```\w*\n(.*?)```", PAGE, re.DOTALL)
    folder = ROOT / "include/pipelines/tickets"
    loop, query, settings, user, dag = shown[:5]
    source = LOOP.read_text(encoding="utf-8")
    assert all(line.strip() in source for line in loop.splitlines())
    assert query == (folder / "extract.sql").read_text(encoding="utf-8")
    assert user == (folder / "user.md").read_text(encoding="utf-8")
    written = (folder / "pipeline.yaml").read_text(encoding="utf-8")
    assert all(line in written for line in settings.splitlines())
    assert dag in (ROOT / "dags/tickets.py").read_text(encoding="utf-8").replace("    enrich", "enrich")
