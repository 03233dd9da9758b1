"""layout.py: where everything lies."""

from __future__ import annotations

import re
from datetime import date

import pytest

from include.enrichment.requests.chunk import chunk_id
from include.enrichment.runs.partition import Partition
from include.enrichment.storage import layout
from include.enrichment.storage.layout import RunFolder

DAY = Partition(start=date(2026, 11, 21))


def _folder(run_id: str) -> RunFolder:
    return RunFolder(pipeline="catalogue", partition=DAY, run_id=run_id)


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (layout.chunk("catalogue", "abc"), "chunks/catalogue/abc.parquet"),
        (layout.ledger_entry("catalogue", "abc"), "ledger/catalogue/abc.json"),
        (layout.open_chunks("catalogue"), "ledger/catalogue/open.json"),
        (layout.ledger_folder("catalogue"), "ledger/catalogue/"),
        (layout.raw("catalogue", "msgbatch_1"), "raw/catalogue/msgbatch_1.jsonl.zst"),
        (layout.results("catalogue", "msgbatch_1"), "results/catalogue/msgbatch_1.parquet"),
        (layout.results_folder("catalogue"), "results/catalogue/"),
        (layout.index("catalogue", "abc"), "index/catalogue/abc.parquet"),
        (layout.index_folder("catalogue"), "index/catalogue/"),
        (layout.runs_folder("catalogue"), "runs/catalogue/"),
        (layout.chunks_folder("catalogue"), "chunks/catalogue/"),
        (layout.table("catalogue", DAY), "tables/catalogue/dt=2026-11-21/data.parquet"),
        (layout.rejects("catalogue", DAY), "rejects/catalogue/dt=2026-11-21/data.parquet"),
        (layout.report(DAY.start, DAY.end), "reports/usage/2026-11-21_2026-11-22.html"),
        (layout.report_summary(DAY.start, DAY.end), "reports/usage/2026-11-21_2026-11-22.parquet"),
        (layout.manifest("catalogue", DAY), "manifests/catalogue/dt=2026-11-21.json"),
        (layout.manifests_folder("catalogue"), "manifests/catalogue/"),
        (_folder("r").pipeline_json, "runs/catalogue/2026-11-21/r/pipeline.json"),
        (_folder("r").foreground_json, "runs/catalogue/2026-11-21/r/foreground.json"),
        (_folder("r").rows, "runs/catalogue/2026-11-21/r/rows.parquet"),
        (_folder("r").rejects, "runs/catalogue/2026-11-21/r/rejects.parquet"),
        (_folder("r").table, "runs/catalogue/2026-11-21/r/table.parquet"),
        (_folder("r").manifest, "runs/catalogue/2026-11-21/r/manifest.json"),
        (_folder("r").dry_run_json, "runs/catalogue/2026-11-21/r/dry_run.json"),
        (_folder("r").extract_json, "runs/catalogue/2026-11-21/r/extract.json"),
        (_folder("r").plans, "runs/catalogue/2026-11-21/r/plan/"),
        (_folder("r").plan_json("main"), "runs/catalogue/2026-11-21/r/plan/main.json"),
        (_folder("r").repairs("retry_1"), "runs/catalogue/2026-11-21/r/plan/retry_1-repairs.parquet"),
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


CHUNK_IDS = [chunk_id([f"request-{number}"]) for number in range(200)]


@pytest.mark.parametrize("pipeline", ["catalogue", "a_b2"])
def test_a_chunk_key_gives_back_its_id_and_its_pipeline(pipeline: str) -> None:
    for known in CHUNK_IDS:
        key = layout.chunk(pipeline, known)
        assert (layout.chunk_id_of(key), layout.pipeline_of_chunk(key)) == (known, pipeline)


def test_a_key_of_results_gives_its_batch_id_back_and_lies_in_the_folder_of_results() -> None:
    key = layout.results("catalogue", "msgbatch_01AbC")
    assert layout.batch_id_of(key) == "msgbatch_01AbC"
    assert key.startswith(layout.results_folder("catalogue"))


def test_a_manifest_is_known_by_its_key_and_no_copy_of_one_is() -> None:
    assert layout.is_manifest(layout.manifest("catalogue", DAY))
    for beside in ("dt=2026-11-21.json.bak", "old/dt=2026-11-21.json", "dt=2026-11.json", "2026-11-21.json"):
        assert not layout.is_manifest(f"{layout.manifests_folder('catalogue')}{beside}")


def test_the_key_of_an_entry_gives_its_chunk_id_back_and_nothing_else_beside_it_does() -> None:
    for known in CHUNK_IDS:
        key = layout.ledger_entry("catalogue", known)
        assert layout.entry_of(key) == ("catalogue", known)
        assert key.startswith(layout.ledger_folder("catalogue"))
    for other in (
        "open.json",
        f"copy/{CHUNK_IDS[0]}.json",
        "notes.txt",
        f"{CHUNK_IDS[0]} (copy).json",
        f"{CHUNK_IDS[0]}.json.bak",
    ):
        assert layout.entry_of(f"ledger/catalogue/{other}") is None
    assert layout.entry_of("ledger/_probe") is None


def test_an_open_chunk_tells_whether_it_is_a_runs_or_warms_the_cache() -> None:
    assert layout.is_warm_up(layout.warm_ups("catalogue", "abc"))
    assert not layout.is_warm_up(_folder("warm-ups/abc").prefix)
    assert layout.warm_ups("catalogue", "abc") != layout.warm_ups("catalogue", "abd")


def test_the_list_of_open_chunks_is_no_chunks_entry() -> None:
    key = layout.open_chunks("catalogue")
    assert len(key) < min(len(layout.ledger_entry("catalogue", known)) for known in CHUNK_IDS)


@pytest.mark.parametrize("run_id", ["r", "scheduled__2026-11-21T00:00:00+00:00", "a/b", ".."])
def test_the_key_of_a_working_file_tells_its_runs_folder(run_id: str) -> None:
    folder = _folder(run_id)
    for key in (folder.pipeline_json, folder.rows, folder.plan_json("main"), folder.repairs("retry_1")):
        assert layout.run_folder_of(key) == folder.prefix


def test_the_plans_of_a_run_lie_in_one_folder_and_its_repairs_beside_them_under_another_ending() -> None:
    folder = _folder("r")
    assert folder.plan_json("retry").startswith(folder.plans)
    assert folder.repairs("retry").startswith(folder.plans)
    assert not folder.repairs("retry").endswith(".json")


def test_a_report_is_known_by_its_name() -> None:
    assert layout.days_of_report(layout.report(DAY.start, DAY.end)) == (DAY.start, DAY.end)


@pytest.mark.parametrize(
    "key",
    [
        layout.report_summary(DAY.start, DAY.end),
        "reports/usage/2026-11-31_2026-12-01.html",
        "reports/usage/copy/2026-11-21_2026-11-22.html",
        "reports/usage/2026-11-21_2026-11-22.html.bak",
    ],
)
def test_what_lies_beside_the_reports_is_none(key: str) -> None:
    assert layout.days_of_report(key) is None


def test_results_tell_their_pipeline_and_their_batch() -> None:
    key = layout.results("catalogue", "msgbatch_1")
    assert (layout.pipeline_of_results(key), layout.batch_id_of(key)) == ("catalogue", "msgbatch_1")
