"""`make show`: the rows and rejects of a published day, as they appear in the terminal."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from rich.cells import cell_len

from include.cli.output.rows_table import heading, rows_table
from include.enrichment.answers.manifest import Manifest
from include.enrichment.cost.prices import USD
from include.enrichment.runs.partition import Partition
from include.gateways.lake import Lake
from include.stack.stack import aws_connection
from tests.fixtures.commands import Command, command, quick_command
from tests.fixtures.flow import Flow, write_tickets

MANIFEST: dict[str, Any] = {
    "pipeline": "tickets",
    "partition": "2026-11-01",
    "run_id": "manual__1",
    "extracted_at": datetime(2026, 11, 2, 2, tzinfo=UTC),
    "published_at": datetime(2026, 11, 2, 3, 4, tzinfo=UTC),
    "rows": 12,
    "requests": 11,
    "published": 9,
    "rejected": 3,
    "rejected_by": {"invalid": 2, "expired": 1},
    "batches": ["msgbatch_1"],
    "reused": [],
    "cost_usd": Decimal("0.25"),
    "partition_cost_usd": Decimal("0.5"),
    "model": "claude-haiku-5-5",
    "columns": {},
    "table": "s3://bucket/tables/tickets/dt=2026-11-01/data.parquet",
    "rejects": "s3://bucket/rejects/tickets/dt=2026-11-01/data.parquet",
}


def table(*rows: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist(list(rows))


@pytest.fixture(params=[80, 160])
def width(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setenv("COLUMNS", str(request.param))
    return int(request.param)


def test_the_heading_has_counts_run_cost_and_addresses() -> None:
    text = heading(Manifest(**MANIFEST))
    assert "tickets, 2026-11-01: 12 rows read, 9 published, 3 rejected (1 expired, 2 invalid)" in text
    assert "2026-11-02 03:04 UTC by run manual__1" in text
    assert "$0.5000 for this day's answers, $0.2500 of it spent by this run" in text
    assert "s3://bucket/tables/tickets/dt=2026-11-01/data.parquet" in text
    assert "s3://bucket/rejects/tickets/dt=2026-11-01/data.parquet" in text
    assert "SIMULATED" not in text


def test_the_heading_counts_failed_checks_and_warnings() -> None:
    text = heading(Manifest(**MANIFEST | {"failed_checks": {"short": 1}, "warned_checks": {"tone": 2}}))
    assert "\n  Failed checks: short (1)\n  Warnings of checks: tone (2)\n" in text


def test_the_heading_counts_what_was_not_kept_and_says_where_it_is() -> None:
    text = heading(Manifest(**MANIFEST | {"rows": 21, "not_kept": 9, "samples": "s3://bucket/samples/data.parquet"}))
    assert "21 rows read, 9 published, 3 rejected (1 expired, 2 invalid), 9 not kept\n" in text
    assert "  samples    s3://bucket/samples/data.parquet\n" in text
    assert "kept" not in heading(Manifest(**MANIFEST))


def test_the_score_is_shown_next_to_the_answer() -> None:
    shown = rows_table(table({"ticket": "T1", "topic": "bug", "_score": 2.5}), rejects=False)
    assert "_score" in shown
    assert "2.5" in shown


def test_warnings_are_shown_next_to_the_answer() -> None:
    shown = rows_table(table({"ticket": "T1", "topic": "bug", "_warnings": ["tone"]}), rejects=False)
    assert "_warnings" in shown
    assert "tone" in shown


def test_the_heading_marks_simulated_answers() -> None:
    assert "SIMULATED: the emulator" in heading(Manifest(**MANIFEST | {"batches": ["msgbatch_simulated_1"]}))


def test_answer_columns_and_the_cost_are_shown_and_other_metadata_is_not(width: int) -> None:
    row = {"ticket": "T1", "topic": "bug", "text": "an answer", "words": ["a", "b"], "urgent": True, "note": None}
    origin = {"_request_id": "r" * 22, "_batch_id": "msgbatch_1", "_model": "m", "_cost_usd": Decimal("0.001")}
    text = rows_table(table(row | origin), rejects=False)
    for shown in ("ticket", "topic", "text", "an answer", "words", "a, b", "urgent", "true", "note", "null", "cost"):
        assert shown in text
    assert not any(hidden in text for hidden in ("_id", "_model", "msgbatch", "rrr", "_cost"))


def test_rejects_show_key_outcome_reason_and_cost_but_not_the_raw_text(width: int) -> None:
    reject = {"ticket": "T1", "_sample": 2, "outcome": "invalid", "reason": "not JSON", "text": "raw"}
    text = rows_table(table(reject | {"_request_id": "r", "_cost_usd": Decimal("0.001")}), rejects=True)
    assert all(shown in text for shown in ("T1", "_sample", "invalid", "not JSON", "0.001"))
    assert "raw" not in text


@pytest.mark.parametrize("text", ["long " * 100, "商品" * 200, "one word of no end" + "n" * 500])
def test_no_line_is_wider_than_the_terminal(width: int, text: str) -> None:
    shown = rows_table(table({"ticket": "T1", "pitch": text, "topic": "bug"}), rejects=False)
    assert max(map(cell_len, shown.splitlines())) <= width
    assert "…" in shown
    assert text[:10] in shown
    assert "bug" in shown


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


@pytest.fixture
def published(flow: Flow) -> Flow:
    """Publish four tickets, one of which Claude refuses."""
    yaml = flow.pipeline.settings.limits.model_copy(update={"max_reject_ratio": 0.5})
    settings = flow.pipeline.settings.model_copy(update={"limits": yaml})
    flow.pipeline = flow.pipeline.model_copy(update={"settings": settings})
    write_tickets(flow.database, [("T4", "Another")])
    flow.emulator.set_faults([{"kind": "refusal", "match": "It crashes"}])
    flow.run_all()
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


def test_an_unpublished_day_names_the_rejects_of_its_failed_run_and_no_trial(published: Flow) -> None:
    failed, trial = (replace(published.folder, partition=Partition(start=date(2026, 11, 9)), run_id=i) for i in "ft")
    for key in (failed.rejects, trial.rejects, trial.manifest):
        published.lake.write(key, b"")
    _, _, complaint = shown(quick_command, published.lake, "tickets", "2026-11-09")
    assert complaint.splitlines()[:2] == [
        f"tickets 2026-11-09 is not published on {published.lake.uri}.",
        f"Run f did not publish it. The rejects of that run: {published.lake.locate(failed.rejects)}",
    ]
    assert trial.prefix not in complaint


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
