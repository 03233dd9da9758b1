"""`make show`: the rows and rejects of a published day, as they appear in the terminal."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.cells import cell_len

from include.cli.output.rows_table import heading, rows_table
from include.enrichment.cost.prices import USD, format_usd
from include.enrichment.runs.partition import Partition
from include.enrichment.storage import layout
from include.gateways.lake import Lake
from include.stack.stack import aws_connection
from tests.fixtures.commands import PYTHONPATH, Command, command, quick_command
from tests.fixtures.flow import DAY, Flow, write_tickets
from tests.fixtures.manifests import make_manifest
from tests.test_golden import GOLDEN


def shown_heading(**other: Any) -> str:
    return heading(make_manifest(published=9, rejected_by={"invalid": 2, "expired": 1}, **other))


def table(*rows: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist(list(rows))


@pytest.fixture(params=[80, 160])
def width(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setenv("COLUMNS", str(request.param))
    return int(request.param)


def test_the_heading_has_counts_run_cost_and_addresses() -> None:
    text = shown_heading(cost_usd=Decimal("0.25"), partition_cost_usd=Decimal("0.5"))
    assert "tickets, 2026-11-01: 12 rows read, 9 published, 3 rejected (1 expired, 2 invalid)" in text
    assert "2026-11-02 03:04 UTC by run manual__1" in text
    assert "$0.5000 for this day's answers, $0.2500 of it spent by this run" in text
    assert "s3://l/table" in text
    assert "s3://l/rejects" in text
    assert "SIMULATED" not in text


def test_the_heading_counts_failed_checks_and_warnings() -> None:
    text = shown_heading(failed_checks={"short": 1}, warned_checks={"tone": 2})
    assert "\n  Failed checks: short (1)\n  Warnings of checks: tone (2)\n" in text


def test_the_heading_counts_what_was_not_kept_and_says_where_it_is() -> None:
    text = shown_heading(rows=21, not_kept=9, samples="s3://bucket/samples/data.parquet")
    assert "21 rows read, 9 published, 3 rejected (1 expired, 2 invalid), 9 not kept\n" in text
    assert "  samples    s3://bucket/samples/data.parquet\n" in text
    assert "kept" not in shown_heading()


def test_the_score_is_shown_next_to_the_answer() -> None:
    shown = rows_table(table({"ticket": "T1", "topic": "bug", "_score": 2.5}), rejects=False)
    assert "_score" in shown
    assert "2.5" in shown


def test_warnings_are_shown_next_to_the_answer() -> None:
    shown = rows_table(table({"ticket": "T1", "topic": "bug", "_warnings": ["tone"]}), rejects=False)
    assert "_warnings" in shown
    assert "tone" in shown


def test_the_heading_marks_simulated_answers() -> None:
    assert "SIMULATED: the emulator" in shown_heading(batches=["msgbatch_simulated_1"])


def test_answer_columns_and_the_cost_are_shown_and_other_metadata_is_not(width: int) -> None:
    row = {"ticket": "T1", "topic": "bug", "text": "an answer", "words": ["a", "b"], "urgent": True, "note": None}
    origin = {"_request_id": "r" * 22, "_batch_id": "msgbatch_1", "_model": "m", "_cost_usd": Decimal("0.001")}
    text = rows_table(table(row | origin), rejects=False)
    for shown in ("ticket", "topic", "text", "an answer", "words", "a, b", "urgent", "true", "note", "null", "cost"):
        assert shown in text
    assert not any(hidden in text for hidden in ("_id", "_model", "msgbatch", "rrr", "_cost"))


def test_rejects_show_key_outcome_reason_text_and_cost(width: int) -> None:
    reject = {"ticket": "T1", "_sample": 2, "outcome": "invalid", "reason": "not JSON", "text": "raw"}
    text = rows_table(table(reject | {"_request_id": "r", "_cost_usd": Decimal("0.001")}), rejects=True)
    assert all(shown in text for shown in ("T1", "_sample", "invalid", "not JSON", "raw", "0.001"))
    assert len(text.splitlines()) == 3


@pytest.mark.parametrize("columns", [{}, {f"column_{number}": "a rather long value" for number in range(9)}])
@pytest.mark.parametrize("of", ["reject", "sample"])
def test_a_reason_is_shown_to_its_end_over_several_lines(width: int, columns: dict[str, str], of: str) -> None:
    said = " ".join(f"word{number}" for number in range(70))
    row = {"reason": said, "text": "商品" * 200} if of == "reject" else {"_outcome": "invalid", "_reason": said}
    shown = rows_table(table({"ticket": "T1"} | columns | row), rejects=of == "reject")
    assert all(word in shown for word in said.split())
    assert max(map(cell_len, shown.splitlines())) <= width
    assert shown.count("商") == (150 if of == "reject" else 0)
    assert shown.count("T1") == 1


@pytest.mark.parametrize("text", ["long " * 100, "商品" * 200, "one word of no end" + "n" * 500])
def test_no_line_is_wider_than_the_terminal(width: int, text: str) -> None:
    shown = rows_table(table({"ticket": "T1", "pitch": text, "topic": "bug"}), rejects=False)
    assert max(map(cell_len, shown.splitlines())) <= width
    assert "…" in shown
    assert text[:10] in shown
    assert "bug" in shown


def test_fields_and_quotes_of_evidence_are_shown_to_their_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    fields = [f"line_items[12].{name}" for name in ("description", "quantity", "unit_price")]
    quote = "Comptoir d'accueil, hêtre massif 7 1 275,00 8 925,00"
    lines = [
        {"name": "Lefevre chantier.pdf", "field": field, "value": quote, "page": 3, "found": "normalised"}
        | {"quote": quote}
        for field in fields
    ]
    shown = rows_table(table(*lines), rejects=False, evidence=True)
    assert all(field in shown for field in fields)
    assert "normalised" in shown
    assert "".join(shown.split()).count("…") == 2 * len(lines)  # name and value are cut, the quote is not
    assert max(map(cell_len, shown.splitlines())) <= 80


def test_the_part_of_a_document_is_shown(width: int) -> None:
    shown = rows_table(table({"name": "a.pdf", "_part": 2, "_pages": "4-6", "total": 5}), rejects=False)
    assert "_part" in shown
    assert "4-6" in shown


def test_columns_that_would_be_too_narrow_become_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    row = {f"column_{number}": f"a rather long answer {number}" for number in range(9)}
    monkeypatch.setenv("COLUMNS", "80")
    lines = rows_table(table(row, row), rejects=False).splitlines()
    assert len(lines) == 2 * 9 + 1
    assert lines[8].split(maxsplit=1) == ["column_8", "a rather long answer 8"]
    monkeypatch.setenv("COLUMNS", "300")
    assert len(rows_table(table(row, row), rejects=False).splitlines()) == 4


def test_control_characters_are_not_printed(width: int) -> None:
    evil = "\x1b[31mred\x07\r\n\x9b2J\u202etxt [bold]:smile:"
    text = rows_table(table({"ticket": evil, evil: evil}), rejects=False)
    assert not [char for char in text if not char.isprintable() and char != "\n"]
    assert "[bold]:smile:" in text


def test_a_day_without_rows_has_an_empty_table(width: int) -> None:
    schema = pa.schema([("ticket", pa.string()), ("topic", pa.string()), ("_cost_usd", USD)])
    assert rows_table(schema.empty_table(), rejects=False).split()[:3] == ["ticket", "topic", "cost,"]


def publish(flow: Flow) -> None:
    """Publish four tickets, one of which Claude refuses."""
    yaml = flow.pipeline.settings.limits.model_copy(update={"max_reject_ratio": 0.5})
    settings = flow.pipeline.settings.model_copy(update={"limits": yaml})
    flow.pipeline = flow.pipeline.model_copy(update={"settings": settings})
    write_tickets(flow.database, [("T4", "Another")])
    flow.emulator.set_faults([{"kind": "refusal", "match": "It crashes"}])
    flow.run_all()


def write_rows(lake: Lake, key: str, rows: pa.Table) -> None:
    pq.write_table(rows, sink := pa.BufferOutputStream())
    lake.write(key, sink.getvalue().to_pybytes())


@pytest.fixture(scope="module")
def first_lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A place for the first lake that is published, which the others are copies of."""
    return tmp_path_factory.mktemp("first") / "lake"


@pytest.fixture
def published(flow: Flow, first_lake: Path) -> Flow:
    """A lake with four tickets, one of which was refused."""
    if first_lake.exists():
        shutil.copytree(first_lake, flow.lake.uri, dirs_exist_ok=True)
    else:
        publish(flow)
        shutil.copytree(flow.lake.uri, first_lake)
    return flow


def shown(run: Command, lake: Lake, *arguments: str, **variables: str) -> tuple[int, str, str]:
    settings = {"ENRICHMENT_LAKE": lake.uri, "AIRFLOW_CONN_AWS_DEFAULT": aws_connection("http://127.0.0.1:1")}
    ended = run(Path(lake.uri).parent / "stack", "show", *arguments, **(settings | variables))
    return ended.returncode, ended.stdout, ended.stderr


def test_the_rows_of_a_day_are_shown(published: Flow) -> None:
    status, text, _ = shown(command, published.lake, "tickets", "2026-11-01", "--rows", "2")
    assert status == 0
    assert text.startswith("tickets, 2026-11-01: 4 rows read, 3 published, 1 rejected (1 invalid)\n")
    assert all(name in text for name in ("ticket", "topic", "urgent", "words", "T1", "T3", "SIMULATED"))
    assert "T4" not in text
    assert text.endswith("2 of 3 rows; ROWS=… shows more; REJECTS=1 shows the rejects\n")


@pytest.mark.parametrize("more", [{}, {"REJECTS": "1"}, {"WARNED": "1"}])
def test_more_rows_can_be_asked_for_than_there_are(published: Flow, more: dict[str, str]) -> None:
    status, text, complaint = shown(quick_command, published.lake, "tickets", "2026-11-01", "--rows", "9" * 20, **more)
    assert (status, complaint) == (0, "")
    assert "ROWS=…" not in text


def test_a_day_that_an_older_version_published_is_shown(flow: Flow) -> None:
    shutil.copytree(GOLDEN / "unstamped", flow.lake.uri, dirs_exist_ok=True)
    status, text, _ = shown(quick_command, flow.lake, "tickets", "2026-11-01")
    assert (status, text.splitlines()[0]) == (0, "tickets, 2026-11-01: 3 rows read, 3 published, 0 rejected")


def test_what_the_day_has_paid_for_and_no_row_uses_is_told(flow: Flow) -> None:
    """The first answers are no longer used once the rows have changed."""
    publish(flow)
    assert "in total" not in shown(quick_command, flow.lake, "tickets", "2026-11-01")[1]
    flow.database = write_tickets(flow.database.with_name("changed.db"), [("T1", "Changed")])
    flow.run_all()
    paid = flow.emulator.billed_usd()
    status, text, _ = shown(quick_command, flow.lake, "tickets", "2026-11-01")
    assert status == 0
    assert f"This day's batches cost {format_usd(paid)} in total, including answers that no row uses any more." in text


def test_the_rejects_of_a_day_are_shown(published: Flow) -> None:
    status, text, _ = shown(quick_command, published.lake, "tickets", "2026-11-01", REJECTS="1")
    assert status == 0
    assert "T2" in text
    assert "refused" in text
    assert text.endswith("1 of 1 rejects\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["tiket", "2026-11-01"], "There is no pipeline 'tiket'; did you mean 'tickets'?"),
        (["../tickets", "2026-11-01"], "There is no pipeline '../tickets'"),
        (["", "2026-11-01"], "PIPELINE is missing. Example: make show PIPELINE="),
        (["catalogue", "2026-11-01"], "Closest published days: none, no day is published."),
        (["tickets", ""], "PARTITION is missing. Example: make show PIPELINE=tickets PARTITION=2026-11-01"),
        (
            ["tickets", "yesterday"],
            "PARTITION is 'yesterday'. That is not a date like 2026-11-21. Example: make show PIPELINE=tickets"
            " PARTITION=2026-11-01",
        ),
        (["tickets", "2026-11-31"], "PARTITION is '2026-11-31'. There is no such day. Example: make show"),
        (["tickets", "2026-11-09"], "Closest published days: 2026-11-01."),
        (["tickets", "2026-11-01", "--rows", "0"], "ROWS is 0"),
    ],
)
def test_a_wrong_argument_is_status_2_with_the_valid_values(published: Flow, arguments: list[str], said: str) -> None:
    status, text, complaint = shown(quick_command, published.lake, *arguments)
    assert (status, text) == (2, "")
    assert said in complaint


def test_rows_with_warnings_are_shown_and_counted(published: Flow) -> None:
    key = layout.table("tickets", DAY)
    rows = pq.read_table(pa.BufferReader(published.lake.read(key)))
    place = rows.column_names.index("_request_id")
    warnings = pa.array([["tone"], [], ["tone", "short"]], pa.list_(pa.string()))
    write_rows(published.lake, key, rows.add_column(place, "_warnings", warnings))
    _, text, _ = shown(quick_command, published.lake, "tickets", "2026-11-01", "--rows", "1", WARNED="1")
    assert "T1" in text
    assert "T4" not in text
    assert text.endswith("1 of 2 rows with warnings; ROWS=… shows more\n")


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"WARNED": "1"}, "No rows with warnings."),
        ({"REJECTS": "1"}, "No rejects."),
        ({"SAMPLES": "1"}, "No samples."),
        ({}, "No rows; REJECTS=1 shows the rejects."),
    ],
)
def test_what_a_day_does_not_have_is_said_in_one_line(published: Flow, variables: dict[str, str], said: str) -> None:
    for key in (layout.table("tickets", DAY), layout.rejects("tickets", DAY)):
        write_rows(published.lake, key, pq.read_table(pa.BufferReader(published.lake.read(key))).slice(0, 0))
    status, text, _ = shown(quick_command, published.lake, "tickets", "2026-11-01", **variables)
    assert status == 0
    assert text.splitlines()[-2:] == ["", said]


def add_samples(lake: Lake, *, manifest: str, table: str, samples: str) -> None:
    """Say in a manifest that the rows of its table are also samples."""
    stated = json.loads(lake.read(manifest)) | {"rows": 7, "not_kept": 3, "samples": lake.locate(samples)}
    lake.write(manifest, json.dumps(stated).encode())
    rows = pq.read_table(pa.BufferReader(lake.read(table)))
    for name, value in {"_score": 0.5, "_outcome": "succeeded", "_reason": None}.items():
        rows = rows.append_column(name, pa.array([value] * len(rows)))
    write_rows(lake, samples, rows)


def test_the_answers_that_were_not_kept_are_offered_and_shown(published: Flow) -> None:
    manifest, rows, samples = (kind("tickets", DAY) for kind in (layout.manifest, layout.table, layout.samples))
    add_samples(published.lake, manifest=manifest, table=rows, samples=samples)
    _, text, _ = shown(quick_command, published.lake, "tickets", "2026-11-01")
    assert text.endswith("3 of 3 rows; REJECTS=1 shows the rejects; SAMPLES=1 shows the answers that were not kept\n")
    _, text, _ = shown(quick_command, published.lake, "tickets", "2026-11-01", "--rows", "2", SAMPLES="1")
    assert all(part in text for part in ("T1", "T3", "topic", "_score", "0.5", "_outcome", "succeeded", "_reason"))
    assert text.endswith("2 of 3 samples; ROWS=… shows more\n")


@pytest.fixture
def runs(published: Flow) -> Flow:
    """Add a trial and a run that failed to publish."""
    trial, failed = (replace(published.folder, run_id=f"manual__{day}T00:00:00+00:00") for day in (2, 3))
    reader = published.lake.read
    for key, data in (
        (trial.manifest, reader(layout.manifest("tickets", DAY)).replace(b'"manual__1"', b'"manual__2"')),
        (trial.table, reader(layout.table("tickets", DAY))),
        (trial.rejects, reader(layout.rejects("tickets", DAY))),
        (failed.rejects, reader(layout.rejects("tickets", DAY))),
        (published.folder.rejects, b"of a try that failed before"),
    ):
        published.lake.write(key, data)
    return published


def test_the_rows_of_a_day_end_with_the_runs_that_have_rows_of_their_own(runs: Flow) -> None:
    _, text, _ = shown(quick_command, runs.lake, "tickets", "2026-11-01", "--rows", "9")
    assert text.splitlines()[-3:] == [
        "3 of 3 rows; REJECTS=1 shows the rejects",
        "RUN=manual__2T00_00_00_00_00 shows a trial.",
        "RUN=manual__3T00_00_00_00_00 shows the rejects of a failed run.",
    ]


@pytest.mark.parametrize(
    ("run", "begin", "end"),
    [
        ("manual__2T00:00:00+00:00", "tickets, 2026-11-01: 4 rows read", "3 of 3 rows; REJECTS=1 shows the rejects\n"),
        ("manual__3T00:00:00+00:00", "Run manual__3T00:00:00+00:00 of tickets 2026-11-01 pub", "1 of 1 rejects\n"),
        (
            "manual__3T00_00_00_00_00",
            "Run manual__3T00_00_00_00_00 of tickets 2026-11-01 published nothing",
            "rejects\n",
        ),
        ("manual__1", "tickets, 2026-11-01: 4 rows read", "the rejects of a failed run.\n"),
    ],
)
def test_a_trial_and_the_rejects_of_a_failed_run_are_shown_by_their_id(
    runs: Flow, run: str, begin: str, end: str
) -> None:
    status, text, complaint = shown(quick_command, runs.lake, "tickets", "2026-11-01", RUN=run)
    assert (status, complaint) == (0, "")
    assert text.startswith(begin)
    assert text.endswith(end)


def test_the_samples_of_a_trial_and_of_a_failed_run_are_shown_by_their_id(runs: Flow) -> None:
    trial, failed = (replace(runs.folder, run_id=f"manual__{day}T00:00:00+00:00") for day in (2, 3))
    add_samples(runs.lake, manifest=trial.manifest, table=trial.table, samples=trial.samples)
    assert shown(quick_command, runs.lake, "tickets", "2026-11-01", RUN=failed.run_id, SAMPLES="1")[1].endswith(
        "published nothing.\n\nNo samples.\n"
    )
    runs.lake.write(failed.samples, runs.lake.read(trial.samples))
    for run in (trial, failed):
        _, text, _ = shown(quick_command, runs.lake, "tickets", "2026-11-01", RUN=run.run_id, SAMPLES="1")
        assert text.endswith("3 of 3 samples\n")


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"RUN": "manual__7"}, "Run manual__7 of tickets 2026-11-01 has no rows on "),
        ({"RUN": "manual__7"}, "\nRUN=manual__2T00_00_00_00_00 shows a trial.\n"),
        ({"WARNED": "1", "REJECTS": "1"}, "REJECTS=1, WARNED=1 and SAMPLES=1 show different rows. Choose one of them."),
        ({"EVIDENCE": "1", "REJECTS": "1"}, "EVIDENCE=1 shows the quotes of published rows, and rejects have none."),
        ({"EVIDENCE": "1"}, "These rows have no evidence: set output.evidence: true in pipeline.yaml"),
        ({"WARNED": "1", "RUN": "manual__3T00:00:00+00:00"}, "WARNED=1 shows published rows."),
    ],
)
def test_what_a_run_does_not_have_is_status_2(runs: Flow, variables: dict[str, str], said: str) -> None:
    status, text, complaint = shown(quick_command, runs.lake, "tickets", "2026-11-01", **variables)
    assert (status, text) == (2, "")
    assert said in complaint


def test_an_unpublished_day_names_its_runs_that_have_rows(published: Flow) -> None:
    failed, trial = (replace(published.folder, partition=Partition(start=date(2026, 11, 9)), run_id=i) for i in "ft")
    for key in (failed.rejects, trial.rejects, trial.manifest):
        published.lake.write(key, b"")
    _, _, complaint = shown(quick_command, published.lake, "tickets", "2026-11-09")
    assert complaint.splitlines()[:3] == [
        f"tickets 2026-11-09 is not published on {published.lake.uri}.",
        "RUN=f shows the rejects of a failed run.",
        "RUN=t shows a trial.",
    ]


def test_a_reader_that_has_read_enough_ends_it_quietly(published: Flow) -> None:
    settings = {"ENRICHMENT_LAKE": published.lake.uri, "AIRFLOW_CONN_AWS_DEFAULT": aws_connection("http://127.0.0.1:1")}
    reader, writer = os.pipe()
    os.close(reader)
    ended = subprocess.run(
        [sys.executable, "-m", "include.cli", "show", "tickets", "2026-11-01"],
        env=os.environ | settings | {"PYTHONPATH": PYTHONPATH},
        stdout=writer,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (0, b"")


@pytest.mark.parametrize("key", ["manifests/tickets/dt=2026-11-01.json", "tables/tickets/dt=2026-11-01/data.parquet"])
def test_a_damaged_object_is_named(published: Flow, key: str) -> None:
    published.lake.write(key, b"{}")
    status, _, complaint = shown(quick_command, published.lake, "tickets", "2026-11-01")
    assert status == 1
    assert f"{published.lake.locate(key)} is damaged" in complaint


def test_without_a_lake_the_missing_variables_are_named(tmp_path: Path) -> None:
    ended = command(tmp_path, "show", "catalogue", "2026-11-17")
    assert ended.returncode == 1
    assert "Not set: AIRFLOW_CONN_AWS_DEFAULT, ENRICHMENT_LAKE. No demo is running" in ended.stderr
