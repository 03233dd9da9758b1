"""published_table.py: the published partition of another pipeline, whole or not at all."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from include.enrichment.errors import LakeError, SpecError, WarehouseError
from include.enrichment.spec.pipeline_folder import load_pipeline
from include.enrichment.spec.renaming import Renaming
from include.enrichment.spec.sources.pairs import PairSettings
from include.enrichment.spec.where import Where
from include.enrichment.storage import layout
from include.enrichment.storage.layout import RunFolder
from include.gateways.sources.published_table import PublishedTable
from include.steps.extract import extract
from tests.fixtures.flow import DAY, FILES, Flow, without_rows, write_pipeline

MANIFEST, TABLE = layout.manifest("tickets", DAY), layout.table("tickets", DAY)


@pytest.fixture
def published(flow: Flow) -> Flow:
    """The tickets of the day, published."""
    flow.run_all("main")
    return flow


def table_of(flow: Flow, where: str | None = None) -> PublishedTable:
    condition = Where(text=where, location="labels/pipeline.yaml:4: source.where") if where else None
    return PublishedTable(flow.lake, pipeline="tickets", where=condition)


def read(flow: Flow, where: str | None = None, **options: Any) -> list[dict[str, Any]]:
    with table_of(flow, where).read(DAY, **options) as (_, portions):
        return [row for portion in portions for row in portion]


def change_manifest(flow: Flow, **changes: Any) -> None:
    manifest = json.loads(flow.lake.read(MANIFEST)) | changes
    flow.lake.write(MANIFEST, json.dumps(manifest).encode())


def open_table(flow: Flow) -> PublishedTable:
    """The table that the pipeline names."""
    source = flow.pipeline.settings.source
    return PublishedTable(flow.lake, pipeline=source.table or "", where=flow.pipeline.where)


def second_stage(flow: Flow, tmp_path: Path) -> Flow:
    """A run of the pipeline ``labels``, which asks about the answers of the pipeline ``tickets``."""
    settings = FILES["pipeline.yaml"].replace("connection: warehouse", "table: tickets, where: ticket <> 'T2'")
    prompt = "{{ topic }}, {{ urgent }}, by {{ _model }}"
    folder = write_pipeline(tmp_path / "pipelines" / "labels", pipeline_yaml=settings, user_md=prompt)
    (folder / "extract.sql").unlink()
    flow.pipeline = load_pipeline(folder)
    flow.folder = RunFolder(pipeline="labels", partition=DAY, run_id="manual__1")
    return flow


def test_key_outputs_and_origin_are_columns_with_their_types(published: Flow) -> None:
    with table_of(published).read(DAY) as (columns, portions):
        rows = [row for portion in portions for row in portion]
    assert [row["ticket"] for row in rows] == ["T1", "T2", "T3"]
    assert rows == published.published().to_pylist()
    assert (columns["ticket"], columns["urgent"]) == (pa.string(), pa.bool_())
    assert list(columns) == ["ticket", "topic", "urgent", "words", "_request_id", "_batch_id", "_model", "_cost_usd"]


def test_only_what_is_needed_is_read_of_the_rows_that_meet_the_condition(published: Flow) -> None:
    assert read(published, "ticket > 'T1' and urgent is not null", needed={"ticket"}) == [
        {"ticket": "T2"},
        {"ticket": "T3"},
    ]


def test_a_second_stage_asks_about_the_answers_of_the_first(published: Flow, tmp_path: Path) -> None:
    answers = {row["ticket"]: row for row in published.published().to_pylist()}
    second = second_stage(published, tmp_path)
    assert extract(second.pipeline, second.folder, source=open_table(second), lake=second.lake).rows == 2
    rows = pq.read_table(pa.BufferReader(second.lake.read(second.folder.rows))).to_pylist()
    prompts = {row["ticket"]: json.loads(row["params"])["messages"][0]["content"] for row in rows}
    assert prompts == {
        ticket: f"{answers[ticket]['topic']}, {answers[ticket]['urgent']}, by {answers[ticket]['_model']}"
        for ticket in ("T1", "T3")
    }
    second.send("main")
    assert second.publish().published == 2


def test_a_day_that_is_not_published_is_retried_and_says_how_to_run_it(flow: Flow) -> None:
    with pytest.raises(WarehouseError) as raised:
        read(flow)
    assert raised.value.retryable
    assert str(raised.value) == (
        f"Partition 2026-11-01 of 'tickets' (source.table) is not published: {flow.lake.uri}/{MANIFEST} does not exist."
        " Nothing was sent. Airflow retries this task.\n"
        "To publish it, run tickets for that day, then clear this task: make run PIPELINE=tickets PARTITION=2026-11-01,"
        ' or trigger it with {"partition": "2026-11-01"}.'
    )


def test_a_day_without_rows_is_a_partition_without_rows(flow: Flow, tmp_path: Path) -> None:
    without_rows(flow, tmp_path)
    flow.run_all("main")
    assert read(flow) == []


@pytest.mark.parametrize("written", [b"another run's table", None])
def test_a_table_between_the_two_writes_of_a_publish_is_retried(published: Flow, written: bytes | None) -> None:
    if written:
        published.lake.write(TABLE, written)
    else:
        (Path(published.lake.uri) / TABLE).unlink()
    with pytest.raises(
        WarehouseError, match=r"data\.parquet \(source\.table\) .*its manifest.*\n.*PARTITION=2026"
    ) as raised:
        read(published)
    assert raised.value.retryable


def test_a_manifest_of_an_earlier_version_has_no_hash_to_compare(published: Flow) -> None:
    change_manifest(published, sha256={})
    assert len(read(published)) == 3


def test_a_damaged_manifest_is_not_retried(published: Flow) -> None:
    published.lake.write(MANIFEST, b'{"rows": 3')
    with pytest.raises(
        WarehouseError, match=r"2026-11-01\.json \(source\.table\) is damaged.*Clear the `publish`"
    ) as told:
        read(published)
    assert not told.value.retryable


def test_one_of_a_newer_release_is_rejected(published: Flow) -> None:
    change_manifest(published, version=99)
    with pytest.raises(LakeError, match="version 99"):
        read(published)


@pytest.mark.parametrize(
    ("where", "needed", "missing"),
    [(None, {"ticket", "urgency"}, "'urgency'; did you mean 'urgent'"), ("severity > 1", {"ticket"}, "'severity'")],
)
def test_a_day_of_an_earlier_schema_names_the_missing_columns_and_the_day_to_run_again(
    published: Flow, where: str | None, needed: set[str], missing: str
) -> None:
    with pytest.raises(WarehouseError) as raised:
        read(published, where, key=["ticket"], needed=needed)
    told = str(raised.value)
    assert told.startswith("Partition 2026-11-01 of 'tickets' (source.table), published 20")
    assert (
        f" UTC, has no column {missing}. Nothing was sent.\nIt has: ticket, topic, urgent, words, _request_id" in told
    )
    assert told.endswith("make run PIPELINE=tickets PARTITION=2026-11-01")
    assert not raised.value.retryable


def test_columns_have_their_new_names_in_the_rows_and_in_the_condition(published: Flow) -> None:
    renaming = Renaming(
        names={"topic": "subject", "_model": "author"}, location="labels/pipeline.yaml:4: source.rename"
    )
    where = Where(text="subject = author or ticket <> 'T2'", location="labels/pipeline.yaml:5: source.where")
    source = PublishedTable(published.lake, pipeline="tickets", where=where, renaming=renaming)
    with source.read(DAY, key=["ticket"], needed={"ticket", "subject"}) as (columns, portions):
        rows = [row for portion in portions for row in portion]
    answers = {row["ticket"]: row["topic"] for row in published.published().to_pylist()}
    assert rows == [{"ticket": ticket, "subject": answers[ticket]} for ticket in ("T1", "T3")]
    assert list(columns)[:3] == ["ticket", "subject", "urgent"]
    assert columns["author"] == pa.string()


def test_a_renamed_column_that_the_day_does_not_have_is_missing(published: Flow) -> None:
    source = PublishedTable(published.lake, pipeline="tickets", renaming=Renaming(names={"subject": "about"}))
    with pytest.raises(WarehouseError, match=r"has no column 'subject'\. .*\n.*\n.*run that day of it again"):
        source.read(DAY, needed={"ticket", "about"}).__enter__()


def test_a_new_name_that_another_column_has_is_a_mistake(published: Flow) -> None:
    source = PublishedTable(published.lake, pipeline="tickets", renaming=Renaming(names={"_model": "topic"}))
    with pytest.raises(SpecError, match="'_model' cannot become 'topic': the source has a column of that name"):
        source.read(DAY).__enter__()


def test_a_condition_that_does_not_fit_the_types_is_a_mistake_with_its_line(published: Flow) -> None:
    with pytest.raises(SpecError, match=r"labels/pipeline\.yaml:4: source\.where: is VARCHAR, not a boolean"):
        read(published, "topic")


READING = """
import sys, psutil
from pathlib import Path
from include.enrichment.spec.where import Where
from include.gateways.lake import Lake
from include.gateways.sources.published_table import PublishedTable
from tests.fixtures.flow import DAY

lake = Lake.in_folder(Path(sys.argv[1]))
process, most, rows = psutil.Process(), [], []
for name in ("small", "large"):
    where = Where(text="length(topic) > 9 and ticket % 2 = 0", location="")
    with PublishedTable(lake, pipeline=name, where=where).read(DAY) as (_, portions):
        held = [(len(portion), process.memory_info().rss) for portion in portions]
    rows.append(sum(length for length, _ in held))
    most.append(max(memory for _, memory in held))
print(rows[1], most[1] - most[0])
"""


def test_memory_stays_flat_for_a_large_table(published: Flow) -> None:
    """100 MB of rows in one row group, half of them selected, in a fresh process."""
    for name, rows in (("small", 12_000), ("large", 60_000)):
        table = pa.table({"ticket": range(rows), "topic": [f"{n:01600}" for n in range(rows)]})
        path = Path(published.lake.uri) / layout.table(name, DAY)
        path.parent.mkdir(parents=True)
        pq.write_table(table, path, use_dictionary=False, compression="none", row_group_size=rows)
        changes = {"sha256": {}, "columns": {"ticket": "int64", "topic": "string"}}
        manifest = json.loads(published.lake.read(MANIFEST)) | changes
        published.lake.write(layout.manifest(name, DAY), json.dumps(manifest).encode())
    command = [sys.executable, "-c", READING, published.lake.uri]
    rows_read, grown = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert int(rows_read) == 30_000
    assert int(grown) < 20_000_000


def test_pairs_are_of_the_rows_that_meet_the_condition(published: Flow) -> None:
    pairs, renaming = PairSettings(column="name"), Renaming(names={"ticket": "name"})
    where = Where(text="name > 'T1'", location="judge/pipeline.yaml:4: source.where")
    table = PublishedTable(published.lake, pipeline="tickets", where=where, renaming=renaming, pairs=pairs)
    key = ["_batch_id", "first", "second"]
    with table.read(DAY, key=key, needed={*key, "first_topic", "second__model"}) as (columns, portions):
        rows = [row for portion in portions for row in portion]
    topics = {row["ticket"]: row["topic"] for row in published.published().to_pylist()}
    assert [(row["first"], row["second"], row["first_topic"]) for row in rows] == [
        ("T2", "T3", topics["T2"]),
        ("T3", "T2", topics["T3"]),
    ]
    assert columns["first"] == columns["second_topic"] == pa.string()
    assert "name" not in columns


def test_a_missing_column_of_a_pair_is_told_by_its_name_in_the_table(published: Flow) -> None:
    table = PublishedTable(published.lake, pipeline="tickets", pairs=PairSettings())
    with (
        pytest.raises(WarehouseError, match=r"has no column '_variant', 'topik'; did you mean 'topic'\. Nothing"),
        table.read(DAY, key=["ticket", "first", "second"], needed={"first_topik"}),
    ):
        pass
