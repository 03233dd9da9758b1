"""layout.py: the place of every object on the lake."""

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
        (layout.samples("catalogue", DAY), "samples/catalogue/dt=2026-11-21/data.parquet"),
        (layout.report(DAY.start, DAY.end), "reports/usage/2026-11-21_2026-11-22.html"),
        (layout.report_summary(DAY.start, DAY.end), "reports/usage/2026-11-21_2026-11-22.parquet"),
        (layout.manifest("catalogue", DAY), "manifests/catalogue/dt=2026-11-21.json"),
        (layout.manifests_folder("catalogue"), "manifests/catalogue/"),
        (_folder("r").pipeline_json, "runs/catalogue/2026-11-21/r/pipeline.json"),
        (_folder("r").foreground_json, "runs/catalogue/2026-11-21/r/foreground.json"),
        (_folder("r").rows, "runs/catalogue/2026-11-21/r/rows.parquet"),
        (_folder("r").documents, "runs/catalogue/2026-11-21/r/documents.parquet"),
        (_folder("r").rejects, "runs/catalogue/2026-11-21/r/rejects.parquet"),
        (_folder("r").samples, "runs/catalogue/2026-11-21/r/samples.parquet"),
        (_folder("r").table, "runs/catalogue/2026-11-21/r/table.parquet"),
        (_folder("r").manifest, "runs/catalogue/2026-11-21/r/manifest.json"),
        (_folder("r").dry_run_json, "runs/catalogue/2026-11-21/r/dry_run.json"),
        (_folder("r").extract_json, "runs/catalogue/2026-11-21/r/extract.json"),
        (_folder("r").plans, "runs/catalogue/2026-11-21/r/plan/"),
        (_folder("r").plan_json("main"), "runs/catalogue/2026-11-21/r/plan/main.json"),
        (_folder("r").repairs("retry_1"), "runs/catalogue/2026-11-21/r/plan/retry_1-repairs.parquet"),
    ],
)
def test_the_place_of_an_object_never_changes(key: str, expected: str) -> None:
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
def test_a_run_id_becomes_one_folder_name(run_id: str, name: str) -> None:
    found = _folder(run_id).prefix.removeprefix("runs/catalogue/2026-11-21/")
    assert re.fullmatch(re.escape(name) + r"(-[0-9a-f]{8})?/", found)
    assert ("-" in found.removeprefix(name)) == bool(re.search(r"[^A-Za-z0-9_.:+-]|^[.]", run_id))


def test_similar_run_ids_have_separate_folders() -> None:
    assert len({_folder(run_id).prefix for run_id in ("nightly 1", "nightly_1", "nightly/1")}) == 3


CHUNK_IDS = [chunk_id([f"request-{number}"]) for number in range(200)]


@pytest.mark.parametrize("pipeline", ["catalogue", "a_b2"])
def test_a_chunk_key_contains_its_id_and_its_pipeline(pipeline: str) -> None:
    for known in CHUNK_IDS:
        key = layout.chunk(pipeline, known)
        assert (layout.chunk_id_of(key), layout.pipeline_of(key)) == (known, pipeline)


def test_a_manifest_is_told_from_its_copies() -> None:
    assert layout.is_manifest(layout.manifest("catalogue", DAY))
    for other in ("dt=2026-11-21.json.bak", "old/dt=2026-11-21.json", "dt=2026-11.json", "2026-11-21.json"):
        assert not layout.is_manifest(f"{layout.manifests_folder('catalogue')}{other}")


def test_only_the_key_of_a_ledger_entry_contains_a_chunk_id() -> None:
    for known in CHUNK_IDS:
        key = layout.ledger_entry("catalogue", known)
        assert layout.parse_ledger_key(key) == ("catalogue", known)
        assert key.startswith(layout.ledger_folder("catalogue"))
    for other in (
        "open.json",
        f"copy/{CHUNK_IDS[0]}.json",
        "notes.txt",
        f"{CHUNK_IDS[0]} (copy).json",
        f"{CHUNK_IDS[0]}.json.bak",
    ):
        assert layout.parse_ledger_key(f"ledger/catalogue/{other}") is None
    assert layout.parse_ledger_key("ledger/_probe") is None


def test_the_folder_of_a_warm_up_differs_from_a_runs_folder() -> None:
    assert layout.is_warm_up(layout.warm_ups("catalogue", "abc"))
    assert not layout.is_warm_up(_folder("warm-ups/abc").prefix)
    assert layout.warm_ups("catalogue", "abc") != layout.warm_ups("catalogue", "abd")


@pytest.mark.parametrize("simulated", [False, True])
def test_what_was_asked_is_told_from_a_batch_and_simulated_answers_from_claudes(simulated: bool) -> None:
    asked = layout.asked_id("c" * 22, simulated=simulated)
    assert layout.is_asked(asked)
    assert not layout.is_asked("msgbatch_1")
    assert ("simulated" in asked) is simulated
    assert layout.batch_id_of(layout.results("tickets", asked)) == asked


def test_the_key_of_a_part_contains_its_chunk() -> None:
    key = layout.asked_part("tickets", "c" * 22, "20261121T020000.000000Z-1")
    assert key.startswith(layout.asked_folder("tickets", "c" * 22))
    assert layout.asked_chunk_of(key) == "c" * 22


def test_the_list_of_open_chunks_cannot_be_a_ledger_entry() -> None:
    key = layout.open_chunks("catalogue")
    assert len(key) < min(len(layout.ledger_entry("catalogue", known)) for known in CHUNK_IDS)


@pytest.mark.parametrize("run_id", ["r", "scheduled__2026-11-21T00:00:00+00:00", "a/b", ".."])
def test_the_key_of_a_working_file_contains_its_runs_folder(run_id: str) -> None:
    folder = _folder(run_id)
    for key in (folder.pipeline_json, folder.rows, folder.plan_json("main"), folder.repairs("retry_1")):
        assert layout.run_folder_of(key) == folder.prefix


def test_plans_and_repairs_share_a_folder_but_not_an_extension() -> None:
    folder = _folder("r")
    assert folder.plan_json("retry").startswith(folder.plans)
    assert folder.repairs("retry").startswith(folder.plans)
    assert not folder.repairs("retry").endswith(".json")


def test_a_report_key_contains_its_days() -> None:
    assert layout.parse_report_key(layout.report(DAY.start, DAY.end)) == (DAY.start, DAY.end)


@pytest.mark.parametrize(
    "key",
    [
        layout.report_summary(DAY.start, DAY.end),
        "reports/usage/2026-11-31_2026-12-01.html",
        "reports/usage/copy/2026-11-21_2026-11-22.html",
        "reports/usage/2026-11-21_2026-11-22.html.bak",
    ],
)
def test_other_objects_are_not_reports(key: str) -> None:
    assert layout.parse_report_key(key) is None


def test_the_keys_of_a_batch_contain_its_pipeline_and_its_id() -> None:
    results = layout.results("catalogue", "msgbatch_01AbC")
    assert (layout.pipeline_of(results), layout.batch_id_of(results)) == ("catalogue", "msgbatch_01AbC")
    assert layout.batch_id_of(layout.raw("catalogue", "msgbatch_01AbC")) == "msgbatch_01AbC"
    usage = layout.usage("catalogue", "msgbatch_01AbC", DAY.start)
    assert layout.parse_usage_key(usage) == ("catalogue", "msgbatch_01AbC")
    assert layout.is_batch_file(results)
    assert layout.is_batch_file(usage)
    assert not layout.is_batch_file("results/catalogue/copy/msgbatch_01AbC.parquet")


def test_the_key_of_a_file_of_an_evaluation_contains_its_pipeline_and_its_id() -> None:
    folder = layout.EvaluationFolder(pipeline="catalogue", evaluation_id="20261130T030000Z-0123abcd")
    assert folder.prefix == "evaluations/catalogue/20261130T030000Z-0123abcd/"
    for key in (folder.scores, folder.metrics, folder.junit, folder.report, folder.summary_json):
        assert key.startswith(folder.prefix)
        assert layout.evaluation_of(key) == folder
