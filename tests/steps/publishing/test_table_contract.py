"""A day is published as the days before it, with rows or without."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from include.enrichment.errors import LoadError, SpecError, WarehouseError
from include.enrichment.runs.options import RunOptions
from include.enrichment.runs.partition import Partition
from include.enrichment.spec.pipeline_folder import load_pipeline
from include.enrichment.storage import layout
from include.enrichment.storage.layout import RunFolder
from include.gateways.sources.warehouse import Warehouse
from include.steps.extract import extract
from include.steps.publishing.table_contract import last_manifest
from tests.fixtures.flow import DAY, FILES, Flow, with_min_rows, write_pipeline, write_tickets

NEXT_DAY = Partition(start=date(2026, 11, 2))


def on(flow: Flow, day: Partition, rows: Sequence[tuple[Any, Any]] = ()) -> None:
    """Another run, of a day with these rows."""
    flow.folder = RunFolder(pipeline="tickets", partition=day, run_id=f"manual__{day}")
    write_tickets(flow.database, rows, day=str(day))


def name_key(flow: Flow, folder: Path, key: str, **files: str) -> None:
    yaml = FILES["pipeline.yaml"].replace("[ticket]", key)
    flow.pipeline = load_pipeline(write_pipeline(folder / "named" / "tickets", pipeline_yaml=yaml, **files))


def forge(flow: Flow, day: str, **changes: Any) -> None:
    """The manifest of another day, like that of DAY but for the changes."""
    manifest = json.loads(flow.lake.read(layout.manifest("tickets", DAY))) | {"partition": day} | changes
    flow.lake.write(f"manifests/tickets/dt={day}.json", json.dumps(manifest).encode())


class Described(Warehouse):
    """A source that describes its key as a type, and has these rows."""

    def __init__(self, ticket: pa.DataType | None, rows: Sequence[dict[str, Any]]) -> None:
        self._columns = {"ticket": ticket, "body": pa.string()}
        self._rows = rows

    @contextmanager
    def read(self, *_: Any, **__: Any) -> Iterator[tuple[dict[str, Any], Iterator[Sequence[dict[str, Any]]]]]:
        """Whatever is asked."""
        yield self._columns, iter([self._rows] if self._rows else [])


NO_ROWS = {"rows": 0, "published": 0, "rejected": 0, "rejected_by": {}}


class TestLastManifest:
    def test_of_a_pipeline_that_has_published_nothing_there_is_none(self, flow: Flow) -> None:
        assert last_manifest(flow.lake, "tickets") is None

    def test_it_is_the_last_days_and_no_other_objects(self, flow: Flow) -> None:
        flow.run_all("main")
        forge(flow, "2026-10-31")
        forge(flow, "2026-12-01")
        flow.lake.write("manifests/tickets/dt=2026-12-02.json.bak", b"x")
        flow.lake.write("manifests/tickets/copy/dt=2026-12-02.json", b"x")
        flow.lake.write("manifests/tickets2/dt=2026-12-02.json", b"x")
        found = last_manifest(flow.lake, "tickets")
        assert found is not None
        assert found.partition == "2026-12-01"

    def test_one_without_rows_or_that_is_damaged_says_nothing(self, flow: Flow) -> None:
        flow.run_all("main")
        forge(flow, "2026-12-01", **NO_ROWS)
        flow.lake.write("manifests/tickets/dt=2026-12-02.json", b'{"rows": 3')
        found = last_manifest(flow.lake, "tickets")
        assert found is not None
        assert found.partition == str(DAY)


class TestDays:
    @pytest.mark.parametrize(("ticket", "kind"), [(7, pa.int64()), ("T7", pa.string())])
    def test_a_day_without_rows_has_the_key_of_the_days_with_rows(
        self, flow: Flow, tmp_path: Path, ticket: object, kind: pa.DataType
    ) -> None:
        flow.database = write_tickets(tmp_path / "other.db", [(ticket, "Hello")])
        flow.run_all("main")
        with_min_rows(flow, 0)
        on(flow, NEXT_DAY)
        assert flow.run_all("main").rows == 0
        tables = [pq.read_schema(Path(flow.lake.uri) / layout.table("tickets", day)) for day in (DAY, NEXT_DAY)]
        assert tables[0].field("ticket").type == tables[1].field("ticket").type == kind
        both = ds.dataset(f"{flow.lake.uri}/tables/tickets", partitioning="hive").to_table()
        assert both["ticket"].to_pylist() == [ticket]

    def test_a_first_day_without_rows_needs_the_type_and_leaves_nothing(self, flow: Flow, tmp_path: Path) -> None:
        on(flow, NEXT_DAY)
        with_min_rows(flow, 0)
        with pytest.raises(SpecError, match=r"this day has no rows.*source\.key: {ticket: int64}"):
            flow.extract()
        assert flow.lake.list("") == []
        name_key(flow, tmp_path, "{ticket: int64}")
        with_min_rows(flow, 0)
        assert flow.run_all("main").columns["ticket"] == "int64"

    @pytest.mark.parametrize("described", [pa.int32(), pa.large_string(), pa.timestamp("ns"), pa.date64()])
    def test_a_first_day_without_rows_has_the_type_that_the_source_describes(
        self, flow: Flow, described: pa.DataType
    ) -> None:
        with_min_rows(flow, 0)
        extract(flow.pipeline, flow.folder, source=Described(described, []), lake=flow.lake)
        without = flow.publish().columns["ticket"]
        on(flow, NEXT_DAY)
        row = {"ticket": pa.scalar(0, pa.int64()).cast(described).as_py(), "body": "Hello"}
        extract(flow.pipeline, flow.folder, source=Described(described, [row]), lake=flow.lake)
        rows = pq.read_schema(pa.BufferReader(flow.lake.read(flow.folder.rows)))
        assert str(rows.field("ticket").type) == without

    def test_days_without_rows_that_were_published_as_text_do_not_count(self, flow: Flow, tmp_path: Path) -> None:
        """As they were before: their key was text, whatever it is on other days."""
        flow.run_all("main")
        forge(flow, str(DAY), **NO_ROWS)
        forge(flow, "2026-12-01", **NO_ROWS)
        on(flow, NEXT_DAY, [(7, "Hello")])
        assert flow.run_all("main").columns["ticket"] == "int64"

    @pytest.mark.parametrize("key", ["[ticket]", "{ticket: int64}"])
    @pytest.mark.parametrize("day", [DAY, NEXT_DAY])
    def test_another_type_stops_the_run_before_anything_is_sent(
        self, flow: Flow, tmp_path: Path, key: str, day: Partition
    ) -> None:
        flow.run_all("main")
        sent = flow.requests_sent()
        flow.database = tmp_path / "other.db"
        on(flow, day, [(7, "Hello")])
        name_key(flow, tmp_path, key)
        with pytest.raises(SpecError) as caught:
            flow.extract()
        assert str(caught.value) == (
            "tickets/pipeline.yaml:1: source.key: 'ticket' is int64, but was published as string (dt=2026-11-01)."
            " Nothing was sent. All days must have the same type: cast it in extract.sql or the export, or set the"
            " published type in source.key.\n"
            "To change the type for every day, delete the manifests below manifests/tickets/ on the lake and run each"
            " day again. Answers are reused."
        )
        assert not caught.value.retryable
        assert flow.lake.list(flow.folder.prefix) == []
        assert flow.requests_sent() == sent

    @pytest.mark.parametrize(
        ("described", "fact"),
        [
            (pa.int64(), r"'ticket' is int64, but was published as decimal128\(38, 0\)"),
            (pa.decimal128(12, 0), r"'ticket' is decimal128\(12, 0\), but was published as decimal128\(38, 0\)"),
        ],
    )
    def test_a_decimal_key_keeps_its_type_from_day_to_day(self, flow: Flow, described: pa.DataType, fact: str) -> None:
        row = {"ticket": Decimal("7"), "body": "Hello"}
        extract(flow.pipeline, flow.folder, source=Described(None, [row]), lake=flow.lake)
        flow.send()
        assert flow.publish().columns["ticket"] == "decimal128(38, 0)"
        on(flow, NEXT_DAY)
        with pytest.raises(SpecError, match=fact):
            extract(flow.pipeline, flow.folder, source=Described(described, [row]), lake=flow.lake)
        with_min_rows(flow, 0)
        extract(flow.pipeline, flow.folder, source=Described(None, []), lake=flow.lake)
        assert flow.publish().columns["ticket"] == "decimal128(38, 0)"

    def test_the_key_may_be_cast_or_changed_for_every_day(self, flow: Flow, tmp_path: Path) -> None:
        flow.run_all("main")
        sent = flow.requests_sent()
        flow.database = write_tickets(tmp_path / "other.db", [(7, "Hello")])
        flow.folder = flow.run("manual__2")
        name_key(
            flow, tmp_path, "[ticket]", extract_sql=FILES["extract.sql"].replace("t ticket", "t ticket || ''as ticket")
        )
        assert flow.run_all("main").columns["ticket"] == "string"
        for listed in flow.lake.objects(layout.manifests_folder("tickets")):
            flow.lake.delete(listed)
        flow.folder = flow.run("manual__3")
        name_key(flow, tmp_path, "[ticket]")
        manifest = flow.run_all("main")
        assert (manifest.columns["ticket"], manifest.reused) == ("int64", manifest.batches)
        assert flow.requests_sent() == sent

    def test_a_trial_keeps_to_it_too(self, flow: Flow, tmp_path: Path) -> None:
        flow.run_all("main")
        flow.database = tmp_path / "other.db"
        on(flow, NEXT_DAY, [(7, "Hello")])
        flow.pipeline = flow.pipeline.for_run(RunOptions(rows=1))
        with pytest.raises(SpecError, match="'ticket' is int64, but was published as string"):
            flow.extract()

    def test_of_two_first_days_with_two_types_the_second_is_not_published(self, flow: Flow, tmp_path: Path) -> None:
        """Neither saw the other when it read its rows."""
        flow.extract()
        flow.send()
        first, flow.folder = flow.folder, RunFolder(pipeline="tickets", partition=NEXT_DAY, run_id="manual__2")
        flow.database = write_tickets(tmp_path / "other.db", [(7, "Hello")], day=str(NEXT_DAY))
        flow.extract()
        flow.send()
        second, flow.folder = flow.folder, first
        flow.publish()
        flow.folder = second
        with pytest.raises(
            LoadError,
            match=r"'ticket' is int64, but was published as string \(dt=2026-11-01\).*nothing was published",
        ):
            flow.publish()
        assert not flow.lake.exists(layout.table("tickets", NEXT_DAY))

    def test_a_mix_of_types_is_reported_with_both(self, flow: Flow) -> None:
        write_tickets(flow.database, [(4, "Hello")])
        with pytest.raises(
            WarehouseError, match=r"not string: 4 \(int\), together with 'T1' \(str\)\. Nothing was sent"
        ):
            flow.extract()


def test_columns_that_some_readers_cannot_read_stop_a_run_too(flow: Flow) -> None:
    """A pipeline that was made by hand, and not loaded."""
    source = flow.pipeline.settings.source.model_copy(update={"key": {"ticket": None, "DT": None}})
    settings = flow.pipeline.settings.model_copy(update={"source": source})
    sql = flow.pipeline.sql.replace("body", "body, day as DT")
    flow.pipeline = flow.pipeline.model_copy(update={"settings": settings, "sql": sql})
    with pytest.raises(SpecError, match=r"'DT' is the partition column.*alias in extract\.sql"):
        flow.extract()
    assert flow.lake.list("") == []
