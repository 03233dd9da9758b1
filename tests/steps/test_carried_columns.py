"""source.carry: columns of the source stand beside the answer, from extract to the table and the rejects."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from include.enrichment.errors import LoadError, SpecError, WarehouseError
from include.enrichment.runs.options import RunOptions
from include.enrichment.runs.partition import Partition
from include.enrichment.spec.pipeline_folder import load_pipeline
from include.enrichment.storage.layout import RunFolder
from include.gateways.sources.warehouse import Warehouse
from include.steps.extract import extract
from tests.fixtures.flow import FILES, Flow, with_min_rows, write_pipeline

SQL = (
    "select ticket, body, price, seen, note from priced where day >= :partition_start and day < :partition_end"
    " order by ticket"
)
ROWS = [("T1", "The invoice is wrong", 5, 1), ("T2", "It crashes", 4.5, None), ("T3", "Hello", None, None)]
NEXT_DAY = Partition(start=date(2026, 11, 2))
ORIGIN = ["_request_id", "_batch_id", "_model", "_cost_usd"]


def fill(flow: Flow, rows: Sequence[tuple[Any, ...]] = ROWS, day: str = "2026-11-01") -> None:
    with closing(sqlite3.connect(flow.database)) as connection, connection:
        connection.execute("create table if not exists priced (ticket, body, price, seen, note, day date)")
        connection.executemany("insert into priced values (?, ?, ?, ?, null, ?)", [(*row, day) for row in rows])


def carry(flow: Flow, folder: Path, columns: str, key: str = "[ticket]", **files: str) -> Flow:
    """The flow with these carried columns."""
    source = f"{{connection: warehouse, key: {key}, carry: {columns}}}"
    yaml = FILES["pipeline.yaml"].replace("{connection: warehouse, key: [ticket]}", source)
    written = write_pipeline(folder / "carried" / "tickets", **{"pipeline_yaml": yaml, "extract_sql": SQL} | files)
    return replace(flow, pipeline=load_pipeline(written))


def on(flow: Flow, day: Partition) -> Flow:
    return replace(flow, folder=RunFolder(pipeline="tickets", partition=day, run_id=f"manual__{day}"))


class Described(Warehouse):
    """A source that describes its columns with these types."""

    def __init__(self, columns: Mapping[str, pa.DataType | None], rows: Sequence[dict[str, Any]]) -> None:
        self._columns = {"ticket": pa.string(), "body": pa.string(), **columns}
        self._rows = rows

    @contextmanager
    def read(self, *_: Any, **__: Any) -> Any:
        yield self._columns, iter([self._rows] if self._rows else [])


def test_carried_columns_stand_between_key_and_output_and_in_the_rejects(flow: Flow, tmp_path: Path) -> None:
    fill(flow)
    flow.emulator.set_faults([{"kind": "refusal", "match": "It crashes"}])
    limits = "limits: {max_reject_ratio: 1, retry_passes: 0}\n"
    source = "{connection: warehouse, key: [ticket], carry: [price, body]}"
    yaml = FILES["pipeline.yaml"].replace("{connection: warehouse, key: [ticket]}", source) + limits
    flow = carry(flow, tmp_path, "[]", pipeline_yaml=yaml)
    manifest = flow.run_all("main")
    table, rejects = flow.published(), flow.rejected()
    assert table.column_names == ["ticket", "price", "body", "topic", "urgent", "words", *ORIGIN]
    assert rejects.column_names == ["ticket", "price", "body", "outcome", "reason", "text", *ORIGIN]
    assert table.select(["ticket", "price", "body"]).to_pylist() == [
        {"ticket": "T1", "price": 5.0, "body": "The invoice is wrong"},
        {"ticket": "T3", "price": None, "body": "Hello"},
    ]
    assert rejects.select(["ticket", "price"]).to_pylist() == [{"ticket": "T2", "price": 4.5}]
    assert table.schema.field("price").type == rejects.schema.field("price").type == pa.float64()
    assert list(manifest.columns.items())[:3] == [("ticket", "string"), ("price", "double"), ("body", "string")]


def test_they_are_not_sent_and_change_no_request(flow: Flow, tmp_path: Path) -> None:
    fill(flow)
    plain, carried = carry(flow, tmp_path, "[]"), carry(flow, tmp_path / "2", "[price, seen, body]")
    plain.run_all("main")
    sent = flow.requests_sent()
    before = plain.published()
    carried = replace(carried, folder=flow.run("manual__2"))
    assert carried.run_all("main").published == 3
    assert flow.requests_sent() == sent
    assert carried.published().drop_columns(["price", "seen", "body"]).drop_columns(ORIGIN) == before.drop_columns(
        ORIGIN
    )


def test_every_type_of_a_source_is_published_as_it_is(flow: Flow, tmp_path: Path) -> None:
    types: dict[str, pa.DataType] = {
        "price": pa.decimal128(10, 2),
        "ratio": pa.float32(),
        "at": pa.timestamp("us", "UTC"),
        "id": pa.uuid(),
        "tags": pa.list_(pa.field("element", pa.string())),
        "parts": pa.list_(
            pa.field(
                "element",
                pa.struct([("size", pa.decimal128(5, 1)), ("days", pa.list_(pa.field("element", pa.date32())))]),
            )
        ),
        "output": pa.string(),
        "position": pa.int16(),
    }
    full = {
        "price": Decimal("12.50"),
        "ratio": 0.5,
        "at": datetime(2026, 11, 1, 8, tzinfo=UTC),
        "id": UUID(int=5),
        "tags": ["a", None],
        "parts": [{"size": Decimal("1.5"), "days": [date(2026, 11, 1)]}, None],
        "output": "not ours",
        "position": 7,
    }
    rows = [{"ticket": "T1", "body": "x", **full}, {"ticket": "T2", "body": "y", **dict.fromkeys(full)}]
    flow = carry(flow, tmp_path, f"[{', '.join(types)}]")
    extract(flow.pipeline, flow.folder, source=Described(types, rows), lake=flow.lake)
    flow.send()
    columns = flow.publish().columns
    table = flow.published().select(list(types))
    assert {field.name: field.type for field in table.schema} == types
    assert {name: columns[name] for name in types} == {name: str(kind) for name, kind in types.items()}
    assert table.to_pylist() == [full, dict.fromkeys(full)]
    flow = on(flow, NEXT_DAY)
    extract(flow.pipeline, flow.folder, source=Described(types, rows), lake=flow.lake)


class TestDays:
    """All days have the same types."""

    def test_an_undescribed_column_keeps_the_type_of_the_first_day(self, flow: Flow, tmp_path: Path) -> None:
        fill(flow)
        flow = carry(flow, tmp_path, "[price]")
        assert flow.run_all("main").columns["price"] == "double"
        fill(flow, [("T1", "x", 7, None)], day="2026-11-02")
        assert on(flow, NEXT_DAY).run_all("main").columns["price"] == "double"
        flow = on(flow, Partition(start=date(2026, 11, 3)))
        with_min_rows(flow, 0)
        flow.pipeline = load_pipeline(tmp_path / "carried" / "tickets")
        with_min_rows(flow, 0)
        source = flow.pipeline.settings.source.model_copy(update={"key": {"ticket": "string"}})
        flow.pipeline = flow.pipeline.model_copy(
            update={"settings": flow.pipeline.settings.model_copy(update={"source": source})}
        )
        assert flow.run_all("main").columns["price"] == "double"

    def test_another_type_stops_the_run_before_anything_is_sent(self, flow: Flow, tmp_path: Path) -> None:
        rows = [{"ticket": "T1", "body": "x", "price": Decimal("1.50")}]
        flow = carry(flow, tmp_path, "[price]")
        extract(flow.pipeline, flow.folder, source=Described({"price": pa.decimal128(9, 2)}, rows), lake=flow.lake)
        flow.send()
        flow.publish()
        flow = on(flow, NEXT_DAY)
        with pytest.raises(SpecError) as caught:
            extract(flow.pipeline, flow.folder, source=Described({"price": pa.decimal128(12, 2)}, rows), lake=flow.lake)
        assert str(caught.value).startswith(
            "tickets/pipeline.yaml:1: source.carry: 'price' is decimal128(12, 2), but was published as decimal128(9, 2)"
            " (dt=2026-11-01). Nothing was sent. All days must have the same type: cast it in extract.sql or the"
            " export, or set the published type in source.carry.\nTo change the type for every day, delete"
        )
        assert flow.lake.list(flow.folder.prefix) == []

    def test_publish_checks_again(self, flow: Flow, tmp_path: Path) -> None:
        """Another day may have been published since."""
        fill(flow)
        fill(flow, [("T1", "x", 7, None)], day="2026-11-02")
        flow = carry(flow, tmp_path, "{price: double}")
        later = on(carry(flow, tmp_path / "2", "{price: int64}"), NEXT_DAY)
        later.extract()
        later.send()
        flow.run_all("main")
        with pytest.raises(LoadError, match=r"'price' is int64, but was published as double .* nothing was published"):
            later.publish()


class TestMistakes:
    def test_a_column_that_the_query_lacks_is_reported_with_its_line(self, flow: Flow, tmp_path: Path) -> None:
        fill(flow)
        flow = carry(flow, tmp_path, "[prise]")
        with pytest.raises(SpecError) as caught:
            flow.extract()
        assert str(caught.value).startswith(
            "tickets/pipeline.yaml:1: source.carry: the query has no column 'prise'; did you mean 'price'?\nColumns of"
        )

    def test_a_type_that_parquet_lacks_stops_the_run(self, flow: Flow, tmp_path: Path) -> None:
        flow = carry(flow, tmp_path, "[took]")
        source = Described({"took": pa.duration("us")}, [])
        with_min_rows(flow, 0)
        with pytest.raises(
            SpecError, match=r"'took' is duration.*a type that Parquet does not have\. Nothing was sent"
        ):
            extract(flow.pipeline, flow.folder, source=source, lake=flow.lake)
        assert flow.lake.list("") == []

    def test_a_column_that_is_always_null_needs_a_named_type(self, flow: Flow, tmp_path: Path) -> None:
        fill(flow)
        with pytest.raises(SpecError, match=r"'note' is unknown.*NULL in the first 3 rows.*carry: {note: string}"):
            carry(flow, tmp_path, "[note]").extract()
        assert flow.lake.list("") == []
        assert carry(flow, tmp_path, "{note: date}").run_all("main").columns["note"] == "date32[day]"

    def test_a_value_of_another_type_stops_the_run(self, flow: Flow, tmp_path: Path) -> None:
        fill(flow, [*ROWS, ("T4", "x", "much", None)])
        with pytest.raises(WarehouseError) as caught:
            carry(flow, tmp_path, "[price]").extract()
        assert str(caught.value).startswith("The carried column 'price' has a value that is not double: 'much' (str): ")
        assert str(caught.value).endswith(
            "Nothing was sent. Cast it in extract.sql or the export, or set its type in pipeline.yaml:"
            " `source.carry: {price: …}`."
        )
        assert flow.lake.list("") == []


def test_a_type_is_found_although_the_first_hundred_rows_are_null(flow: Flow, tmp_path: Path) -> None:
    fill(flow, [(f"N{n:04}", "x", 2.5 if n == 100 else None, None) for n in range(2_000)])
    flow = carry(flow, tmp_path, "[price]")
    flow.extract()
    rows = pq.read_table(pa.BufferReader(flow.lake.read(flow.folder.rows)))
    assert rows["price"].type == pa.float64()
    assert rows["ticket"].to_pylist() == [f"N{n:04}" for n in range(2_000)]
    assert rows["price"].null_count == 1_999


def test_long_carried_texts_are_written_in_portions_of_some_megabytes(flow: Flow, tmp_path: Path) -> None:
    fill(flow, [(f"N{n}", "x" * 9_000_000, n, None) for n in range(5)])
    flow = carry(flow, tmp_path, "[body]", user_md="Ticket {{ ticket }}")
    flow.extract()
    assert pq.read_metadata(pa.BufferReader(flow.lake.read(flow.folder.rows))).num_row_groups == 3


def test_rejects_with_decimal_and_uuid_keys_are_found_and_sent_again(flow: Flow, tmp_path: Path) -> None:
    rows = [{"ticket": UUID(int=n), "n": Decimal(n), "body": f"Ticket {n}", "price": 1.5} for n in range(4)]
    columns = {"ticket": pa.uuid(), "n": pa.decimal128(38, 0), "price": pa.float64()}
    flow.emulator.set_faults([{"kind": "errored", "error_type": "permission_error", "match": "Ticket 2"}])
    flow = carry(flow, tmp_path, "[price]", key="{ticket: uuid, n: null}")
    extract(flow.pipeline, flow.folder, source=Described(columns, rows), lake=flow.lake)
    flow.send()
    with pytest.raises(LoadError, match="1 of 4 rows"):
        flow.publish()
    flow.emulator.set_faults([])
    again = replace(flow, folder=flow.run("manual__2"), pipeline=flow.pipeline.for_run(RunOptions(only_rejects=True)))
    extract(again.pipeline, again.folder, source=Described(columns, rows), lake=flow.lake)
    assert again.send() == {"succeeded": 1}
    assert again.publish().published == 4
    assert again.published()["n"].to_pylist() == [0, 1, 2, 3]
    with pytest.raises(WarehouseError, match="1 keys occur more than once"):
        extract(again.pipeline, again.folder, source=Described(columns, [*rows, rows[3]]), lake=flow.lake)


def test_the_partition_of_a_pipeline_that_begins_to_carry_columns_is_paid_for_already(
    flow: Flow, tmp_path: Path
) -> None:
    fill(flow)
    flow.run_all("main")
    sent = flow.requests_sent()
    flow = replace(carry(flow, tmp_path, "[price]"), folder=flow.run("manual__2"))
    assert flow.run_all("main").rows == 3
    assert flow.requests_sent() == sent
