from __future__ import annotations

import re
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from include.enrichment.errors import SpecError, WarehouseError
from include.enrichment.requests.template import Template
from include.enrichment.spec.renaming import Renaming
from include.enrichment.spec.where import Where
from include.gateways.lake import Lake
from include.gateways.sources.parquet_files import ParquetFiles
from tests.fixtures.flow import DAY
from tests.fixtures.s3 import filesystem
from tests.fixtures.s3_export import Export

TODAY = "exports/tickets/dt=2026-11-01"


def test_a_partition_is_all_files_below_its_prefix_sorted_by_name(export: Export) -> None:
    for name in ("0001_part_00.parquet", "0000_part_00.parquet", "more/0002"):
        export.write(f"{TODAY}/{name}", [{"ticket": name}])
    for other in ("exports/tickets/dt=2026-11-02", "exports/tickets/dt=2026-11-011", "exports/tickets"):
        export.write(f"{other}/part.parquet", [{"ticket": other}])
    assert [row["ticket"] for row in export.read()] == ["0000_part_00.parquet", "0001_part_00.parquet", "more/0002"]


def test_year_month_and_day_may_be_separate_folders(export: Export) -> None:
    export.write("products/2026/11/01/part", [{"ticket": "T1"}])
    assert export.read("products/{year}/{month}/{day}/") == [{"ticket": "T1"}]


def test_sparks_marker_files_and_folders_created_by_hand_are_ignored(export: Export) -> None:
    export.write(f"{TODAY}/part.parquet", [{"ticket": "T1"}])
    for name in ("_SUCCESS", "_metadata", ".part.parquet.crc", "_temporary/0/part.parquet"):
        export.write(f"{TODAY}/{name}", b"")
    for folder in (TODAY, f"{TODAY}/empty"):  # objects of their own, whose names end with a slash
        filesystem(export.bucket.endpoint_url).create_dir(f"{export.bucket.name}/{folder}")
    assert export.read() == [{"ticket": "T1"}]


@pytest.mark.parametrize("key", ["more//part", "../part", "./part", "pa\x07rt"])
def test_an_object_whose_key_is_no_valid_path_is_named_and_not_retried(export: Export, key: str) -> None:
    export.write(f"{TODAY}/part.parquet", [{"ticket": "T1"}])
    export.bucket.put(f"{TODAY}/{key}", b"x")
    named = f"{TODAY}/{key}".encode("unicode_escape").decode().replace("\\x07", "\\u{7}")
    with pytest.raises(WarehouseError, match=rf"'{re.escape(named)}'.*Nothing was sent\. Rename or delete") as caught:
        export.read()
    assert not caught.value.retryable


@pytest.mark.parametrize("others", [[], ["more"]])
def test_so_is_a_file_whose_key_ends_in_a_slash(export: Export, others: list[str]) -> None:
    for name in others:
        export.write(f"{TODAY}/{name}", [{"ticket": "T1"}])
    export.bucket.put(f"{TODAY}/more/", b"x")
    with pytest.raises(WarehouseError, match=rf"{TODAY}/more/ is an object whose key ends in a slash") as caught:
        export.read()
    assert not caught.value.retryable


def test_percent_signs_and_other_unusual_characters_of_a_key_are_literal(export: Export) -> None:
    folder = "exports/at={partition} 00%3A00%3A00/"
    for number, name in enumerate(["a%20b", "%2e%2e", "a#b?c", "ü", "a\\b", "100%"]):
        export.write(f"{folder.format(partition=DAY)}{number} {name}", [{"ticket": name}])
    assert [row["ticket"] for row in export.read(folder)] == ["a%20b", "%2e%2e", "a#b?c", "ü", "a\\b", "100%"]


def test_values_have_the_same_types_as_from_a_database(export: Export) -> None:
    row = {
        "price": Decimal("12.50"),
        "at": datetime(2026, 11, 1, 8, tzinfo=UTC),
        "day": date(2026, 11, 1),
        "tags": ["x", None],
        "payload": {"a": "x", "b": 1},
        "picture": b"\x00\xff",
        "nothing": None,
        "done": True,
    }
    schema = pa.schema(
        [
            ("price", pa.decimal128(10, 2)),
            ("at", pa.timestamp("us", "UTC")),
            ("day", pa.date32()),
            ("tags", pa.list_(pa.string())),
            ("payload", pa.struct([("a", pa.string()), ("b", pa.int64())])),
            ("picture", pa.binary()),
            ("nothing", pa.string()),
            ("done", pa.bool_()),
        ]
    )
    export.write(f"{TODAY}/part.parquet", [row], schema)
    (read,) = export.read()
    assert read == row
    assert str(read["at"]) == "2026-11-01 08:00:00+00:00"


def test_a_prompt_is_the_same_as_from_postgres(export: Export) -> None:
    """See test_a_prompt_is_the_same_from_both_drivers()."""
    moment = datetime(2026, 11, 1, 8, tzinfo=UTC)
    schema = pa.schema(
        [
            ("small", pa.decimal128(10, 7)),
            ("ratio", pa.float32()),
            ("ratios", pa.list_(pa.float32())),
            ("prices", pa.list_(pa.decimal128(10, 2))),
            ("days", pa.list_(pa.date32())),
            ("times", pa.list_(pa.timestamp("ns", "Europe/Berlin"))),
            ("took", pa.list_(pa.duration("ns"))),
            ("flags", pa.list_(pa.bool_())),
            ("payload", pa.struct([("items", pa.list_(pa.int64())), ("price", pa.float32())])),
        ]
    )
    row = {
        "small": Decimal("0.0000001"),
        "ratio": 0.1,
        "ratios": [0.1, None],
        "prices": [Decimal("12.50"), None],
        "days": [date(2026, 11, 1)],
        "times": [moment],
        "took": [timedelta(minutes=90)],
        "flags": [True, None],
        "payload": {"items": [1, None], "price": 1.5},
    }
    export.write(f"{TODAY}/part.parquet", [row], schema)
    (read,) = export.read()
    prompt = "\n".join(f"{name} {{{{ {name} }}}} {{{{ [{name}] | tojson }}}}" for name in read)
    assert Template(prompt, file="user.md").render(read).splitlines() == [
        "small 0.0000001 [0.0000001]",
        "ratio 0.1 [0.1]",
        "ratios [0.1, ''] [[0.1, null]]",
        "prices [12.50, ''] [[12.50, null]]",
        "days ['2026-11-01'] [[\"2026-11-01\"]]",
        "times ['2026-11-01 08:00:00+00:00'] [[\"2026-11-01 08:00:00+00:00\"]]",
        "took ['1:30:00'] [[\"1:30:00\"]]",
        "flags [True, ''] [[true, null]]",
        "payload {'items': [1, ''], 'price': 1.5} [{\"items\": [1, null], \"price\": 1.5}]",
    ]


def test_a_file_without_rows_is_a_partition_without_rows(export: Export) -> None:
    export.write(f"{TODAY}/part.parquet", [], pa.schema([("ticket", pa.string())]))
    with export.open().read(DAY) as (columns, portions):
        assert (columns, list(portions)) == ({"ticket": pa.string()}, [])


def test_a_partition_without_files_waits_for_its_export(export: Export) -> None:
    export.write(f"{TODAY}/_SUCCESS", b"")
    with pytest.raises(WarehouseError, match=rf"no file below {export.bucket.uri}/{TODAY}/ .*'exports'") as raised:
        export.read()
    assert raised.value.retryable


def test_a_file_that_lacks_a_column_is_named(export: Export) -> None:
    export.write(f"{TODAY}/1.parquet", [{"ticket": "T1", "body": "x"}])
    export.write(f"{TODAY}/2.parquet", [{"body": "x", "ticket": "T2", "extra": 1}])
    export.write(f"{TODAY}/3.parquet", [{"ticket": "T3"}])
    with pytest.raises(WarehouseError, match=r"/3\.parquet has no column body, but .*/1\.parquet has") as raised:
        export.read()
    assert not raised.value.retryable


def test_two_columns_with_the_same_name_are_rejected(export: Export) -> None:
    export.write(f"{TODAY}/0.parquet", [{"ticket": "T0"}])
    twice = pa.Table.from_arrays([pa.array(["T1"]), pa.array(["T2"])], names=["ticket", "ticket"])
    with pa.BufferOutputStream() as sink:
        pq.write_table(twice, sink)
        export.write(f"{TODAY}/1.parquet", sink.getvalue().to_pybytes())
    with pytest.raises(WarehouseError, match=r"/1\.parquet has two columns with the same name: ticket"):
        export.read()
    export.write(f"{TODAY}/0.parquet", sink.getvalue().to_pybytes())
    with pytest.raises(WarehouseError, match=r"/0\.parquet has two columns with the same name: ticket"):
        export.read()


class TestKey:
    """An error names the file whose key cannot be used."""

    def read(self, export: Export) -> None:
        with export.open().read(DAY, key=["ticket"]) as (_, portions):
            list(portions)

    def test_a_file_with_a_null_in_it_is_named(self, export: Export) -> None:
        export.write(f"{TODAY}/1.parquet", [{"ticket": "T1"}])
        export.write(f"{TODAY}/2.parquet", [{"ticket": "T2"}, {"ticket": None}])
        with pytest.raises(WarehouseError, match=r"'ticket' is NULL in 1 of the last 2 rows .*/2\.parquet\. Nothing"):
            self.read(export)

    def test_so_are_two_files_with_different_types_of_it(self, export: Export) -> None:
        export.write(f"{TODAY}/1.parquet", [{"ticket": "T1"}])
        export.write(f"{TODAY}/2.parquet", [{"ticket": 2}])
        with pytest.raises(WarehouseError, match=r"is int64 in .*/2\.parquet, but string in .*/1\.parquet"):
            self.read(export)

    def test_compatible_types_and_files_without_rows_are_accepted(self, export: Export) -> None:
        export.write(f"{TODAY}/1.parquet", [{"ticket": 1}], pa.schema({"ticket": pa.int32()}))
        export.write(f"{TODAY}/2.parquet", [{"ticket": 2}], pa.schema({"ticket": pa.uint64()}))
        export.write(f"{TODAY}/3.parquet", [], pa.schema({"ticket": pa.string()}))
        self.read(export)


def test_a_corrupt_file_is_named(export: Export) -> None:
    export.write(f"{TODAY}/1.parquet", [{"ticket": "T1"}])
    with pa.BufferOutputStream() as sink:
        pq.write_table(pa.table({"ticket": [f"T{number}" for number in range(1_000)]}), sink, compression="zstd")
        data = bytearray(sink.getvalue().to_pybytes())
    data[100:1_000] = bytes(900)
    export.write(f"{TODAY}/2.parquet", bytes(data))
    with pytest.raises(WarehouseError, match=r"/2\.parquet \(connection 'exports'\) could not be read"):
        export.read()


@pytest.mark.parametrize(
    "value",
    [
        pa.array([3_000_000], pa.date32()),
        pa.array([2**62], pa.timestamp("us")),
        pa.array([1], pa.timestamp("us", "Nowhere/At All")),
        pa.array([b"\xff"]).view(pa.string()),
        pa.array([1_500], pa.time64("ns")),
        pa.array([24 * 60 * 60 * 1_000_000], pa.int64()).cast(pa.time64("us")),
        pa.array([[{"from": 1_500}]], pa.list_(pa.struct([("from", pa.time64("ns"))]))),
        pa.array([[("from", 1_500)]], pa.map_(pa.string(), pa.time64("ns"))),
    ],
    ids=[
        "day of the year 10183",
        "moment of the far future",
        "unknown time zone",
        "not UTF-8",
        "time of nanoseconds",
        "24:00",
        "time of nanoseconds within a list",
        "time of nanoseconds within a map",
    ],
)
def test_the_error_for_a_value_that_python_cannot_represent_names_file_column_and_key(
    export: Export, value: pa.Array
) -> None:
    _write_odd(export, value)
    with (
        pytest.raises(
            WarehouseError, match=r"/2\.parquet has .* cannot represent: column 'at' \(.*\) where ticket=2:"
        ) as raised,
        export.open().read(DAY, key=["ticket"]) as (_, portions),
    ):
        list(portions)
    assert not raised.value.retryable


def _write_odd(export: Export, value: pa.Array) -> None:
    """Write a file without values, and one with the value in its second row."""
    export.write(f"{TODAY}/1.parquet", [{"ticket": 0}], pa.schema([("ticket", pa.int64()), ("at", value.type)]))
    with pa.BufferOutputStream() as sink:
        at = pa.concat_arrays([pa.nulls(1, value.type), value])
        pq.write_table(pa.table({"ticket": [1, 2], "at": at}), sink)
        export.write(f"{TODAY}/2.parquet", sink.getvalue().to_pybytes())


def test_an_unused_column_is_not_read(export: Export) -> None:
    _write_odd(export, pa.array([2**62], pa.timestamp("us")))
    with export.open().read(DAY, needed={"ticket", "bodi"}) as (columns, portions):
        assert columns == {"ticket": pa.int64(), "at": pa.timestamp("us")}  # a prompt may name any of them
        assert [row for portion in portions for row in portion] == [{"ticket": number} for number in range(3)]


@pytest.mark.parametrize("data", [b"not Parquet", b"PAR1 but cut off"])
def test_a_file_that_is_not_parquet_is_named(export: Export, data: bytes) -> None:
    export.write(f"{TODAY}/manifest", data)
    with pytest.raises(
        WarehouseError, match=r"dt=2026-11-01/manifest \(connection 'exports'\) could not be read.*Parquet"
    ):
        export.read()


def test_a_missing_bucket_is_named(export: Export) -> None:
    with (
        pytest.raises(WarehouseError, match=r"connection 'exports'.*no-such-bucket does not exist"),
        export.open(bucket="no-such-bucket").read(DAY),
    ):
        pytest.fail("there was something")


def test_a_file_deleted_meanwhile_can_be_retried(export: Export) -> None:
    for name in ("1", "2"):
        export.write(f"{TODAY}/{name}", [{"ticket": name}])
    with pytest.raises(WarehouseError, match=r"/2 does not exist") as raised:
        lose_the_second(export)
    assert raised.value.retryable


def lose_the_second(export: Export) -> None:
    with export.open().read(DAY) as (_, portions):
        assert next(portions) == [{"ticket": "1"}]
        filesystem(export.bucket.endpoint_url).delete_file(f"{export.bucket.name}/{TODAY}/2")
        list(portions)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A local folder as a bucket of one partition."""
    (tmp_path / "dt=2026-11-01").mkdir()
    return tmp_path


def files_in(folder: Path) -> ParquetFiles:
    return ParquetFiles(Lake.in_folder(folder), files=f"{folder}/dt={{partition}}/", name="exports")


@pytest.mark.parametrize(("characters", "rows", "most"), [(10, 2_500, 1_000), (100_000, 100, 40), (9_000_000, 3, 1)])
def test_a_portion_is_a_thousand_rows_or_some_megabytes(folder: Path, characters: int, rows: int, most: int) -> None:
    table = pa.table({"body": [f"{n}".ljust(characters, "x") for n in range(rows)]})
    pq.write_table(table, folder / "dt=2026-11-01" / "part", use_dictionary=False, compression="zstd")
    with files_in(folder).read(DAY) as (_, portions):
        sizes = [len(portion) for portion in portions]
    assert sum(sizes) == rows
    assert most * 0.9 < max(sizes) <= most


def test_a_portion_is_limited_by_its_size_in_python(folder: Path) -> None:
    """The file stores the text once, and a byte for each number that becomes a dict in Python."""
    table = pa.table({"body": ["x" * 100_000] * 200, "items": [[{"a": n, "b": n} for n in range(9)] * 50] * 200})
    pq.write_table(table, folder / "dt=2026-11-01" / "part")
    for needed, most in (({"body"}, 39), ({"items"}, 35)):
        with files_in(folder).read(DAY, needed=needed) as (_, portions):
            assert most * 0.6 < max(len(portion) for portion in portions) <= most


def test_columns_have_their_new_names_and_errors_those_of_the_files(folder: Path) -> None:
    renaming = Renaming(names={"Order No": "order", "text": "page"}, location="orders/pipeline.yaml:4: source.rename")
    files = ParquetFiles(
        Lake.in_folder(folder),
        files=f"{folder}/dt={{partition}}/",
        name="exports",
        where=Where(text="page <> 'b'", location=""),
        renaming=renaming,
    )
    pq.write_table(pa.table({"Order No": [1, 2], "text": ["a", "b"], "x": [0, 0]}), folder / "dt=2026-11-01" / "part-1")
    with files.read(DAY, key=["order"], needed={"order"}) as (columns, portions):
        assert list(portions) == [[{"order": 1}]]
    assert columns == {"order": pa.int64(), "page": pa.string(), "x": pa.int64()}
    pq.write_table(pa.table({"Order No": ["3"], "text": ["c"]}), folder / "dt=2026-11-01" / "part-2")
    with (
        files.read(DAY, key=["order"], needed={"order"}) as (_, portions),
        pytest.raises(
            WarehouseError, match=r"The business key 'Order No' is string in .*part-2, but int64 in .*part-1"
        ),
    ):
        list(portions)
    pq.write_table(pa.table({"number": [1]}), folder / "dt=2026-11-01" / "part-0")
    with pytest.raises(
        SpecError, match=r"orders/pipeline\.yaml:4: source\.rename: the source has no column 'Order No'"
    ):
        files.read(DAY, key=["order"]).__enter__()


READING = """
import sys, psutil
from pathlib import Path
from include.gateways.lake import Lake
from include.gateways.sources.parquet_files import ParquetFiles
from tests.fixtures.flow import DAY

folder = Path(sys.argv[1])
process, most, rows = psutil.Process(), [], []
for name in ("small", "large"):
    files = ParquetFiles(Lake.in_folder(folder), files=f"{folder}/{name}/dt={{partition}}/", name="exports")
    with files.read(DAY) as (_, portions):
        held = [(len(portion), process.memory_info().rss) for portion in portions]
    rows.append(sum(length for length, _ in held))
    most.append(max(memory for _, memory in held))
print(rows[1], most[1] - most[0])
"""


def test_memory_stays_flat_for_one_large_row_group(tmp_path: Path) -> None:
    """100 MB of rows, in a fresh process, which has no freed memory to reuse."""
    for name, rows in (("small", 12_000), ("large", 60_000)):
        (tmp_path / name / "dt=2026-11-01").mkdir(parents=True)
        table = pa.table({"body": [f"{n:01600}" for n in range(rows)]})
        path = tmp_path / name / "dt=2026-11-01" / "part"
        pq.write_table(table, path, use_dictionary=False, compression="none", row_group_size=rows)
    command = [sys.executable, "-c", READING, str(tmp_path)]
    rows_read, grown = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert int(rows_read) == 60_000
    assert int(grown) < 20_000_000
