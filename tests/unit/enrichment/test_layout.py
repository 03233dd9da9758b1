"""layout.py: where everything lies."""

from __future__ import annotations

import re
from datetime import date

import pytest

from include.enrichment import layout
from include.enrichment.chunk import chunk_id
from include.enrichment.layout import RunFolder
from include.enrichment.partition import Partition

DAY = Partition(start=date(2026, 11, 21))


def _folder(run_id: str) -> RunFolder:
    return RunFolder(pipeline="catalogue", partition=DAY, run_id=run_id)


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (layout.ledger_entry("catalogue", "abc"), "ledger/catalogue/abc.json"),
        (layout.raw("catalogue", "msgbatch_1"), "raw/catalogue/msgbatch_1.jsonl.zst"),
        (layout.results("catalogue", "msgbatch_1"), "results/catalogue/msgbatch_1.parquet"),
        (layout.table("catalogue", DAY), "tables/catalogue/dt=2026-11-21/data.parquet"),
        (layout.rejects("catalogue", DAY), "rejects/catalogue/dt=2026-11-21/data.parquet"),
        (layout.manifest("catalogue", DAY), "manifests/catalogue/dt=2026-11-21.json"),
        (_folder("r").pipeline_json, "runs/catalogue/2026-11-21/r/pipeline.json"),
        (_folder("r").rows, "runs/catalogue/2026-11-21/r/rows.parquet"),
        (_folder("r").rejects, "runs/catalogue/2026-11-21/r/rejects.parquet"),
        (_folder("r").pass_prefix("main"), "runs/catalogue/2026-11-21/r/main/"),
    ],
)
def test_readers_find_every_object_where_they_always_did(key: str, expected: str) -> None:
    assert key == expected


@pytest.mark.parametrize(
    ("run_id", "name"),
    [
        ("scheduled__2026-11-21T00:00:00+00:00", "scheduled__2026-11-21T00_00_00_00_00"),
        ("v1.2_ok-Z", "v1.2_ok-Z"),
        ("a/b\\c d\n", "a_b_c_d_"),
        ("été~☃", "_t___"),
        ("..", "_."),
        (".", "_"),
        (".hidden", "_hidden"),
        ("../../tables/catalogue", "_._.._tables_catalogue"),
    ],
)
def test_a_run_id_is_one_plain_step_of_the_path(run_id: str, name: str) -> None:
    found = _folder(run_id).prefix.removeprefix("runs/catalogue/2026-11-21/")
    assert re.fullmatch(re.escape(name) + r"(-[0-9a-f]{8})?/", found)
    assert ("-" in found.removeprefix(name)) == bool(re.search(r"[^A-Za-z0-9_.:+-]|^[.]", run_id))


def test_run_ids_that_look_alike_as_a_path_have_folders_of_their_own() -> None:
    assert len({_folder(run_id).prefix for run_id in ("nightly 1", "nightly_1", "nightly/1")}) == 3


@pytest.mark.parametrize("folder", ["runs/x/main/", "runs/x/main", ""])
@pytest.mark.parametrize("number", [0, 7, 99_999, 123_456])
def test_a_chunk_key_gives_its_id_back(folder: str, number: int) -> None:
    chunk = chunk_id([f"request-{number}"])
    key = layout.chunk(folder, number, chunk)
    assert layout.chunk_id_of(key) == chunk
    assert "//" not in key


def test_chunk_keys_sort_by_number() -> None:
    ids = [chunk_id([str(number)]) for number in range(120)]
    keys = [layout.chunk("runs/x/main/", number, chunk) for number, chunk in enumerate(ids)]
    assert sorted(keys) == keys
