"""parquet_rows.py: which rows of a file are read. The values themselves: test_parquet_files.py."""

from __future__ import annotations

import pyarrow as pa
import pytest

from include.enrichment.errors import SpecError, WarehouseError
from tests.fixtures.flow import DAY
from tests.fixtures.s3_export import Export

TODAY = "exports/tickets/dt=2026-11-01"


def test_only_the_rows_of_all_files_that_meet_the_condition_are_read(export: Export) -> None:
    export.write(f"{TODAY}/1", [{"ticket": n, "open": n % 2 == 0} for n in range(10_000)])
    export.write(f"{TODAY}/2", [{"open": n == 10_007, "ticket": n} for n in range(10_000, 10_010)])
    found = [row["ticket"] for row in export.read(where="open and ticket > 9990")]
    assert found == [9992, 9994, 9996, 9998, 10_007]


def test_a_condition_that_no_row_meets_is_a_partition_without_rows(export: Export) -> None:
    export.write(f"{TODAY}/1", [{"ticket": n} for n in range(10_000)])
    with export.open(where="ticket < 0").read(DAY) as (columns, portions):
        assert (columns, list(portions)) == ({"ticket": pa.int64()}, [])


def test_a_column_of_the_condition_alone_is_read_and_not_converted(export: Export) -> None:
    """The year 148000 has no value in Python."""
    schema = pa.schema([("ticket", pa.int64()), ("seen", pa.timestamp("us")), ("body", pa.string())])
    export.write(f"{TODAY}/1", [{"ticket": 1, "seen": 2**62, "body": "x"}, {"ticket": 2, "seen": 0}], schema)
    with export.open(where="year(SEEN) > 2000").read(DAY, key=["ticket"], needed={"ticket"}) as (columns, portions):
        assert list(columns) == ["ticket", "seen", "body"]
        assert list(portions) == [[{"ticket": 1}]]


def test_a_row_without_a_key_may_be_left_out_by_the_condition(export: Export) -> None:
    export.write(f"{TODAY}/1", [{"ticket": None, "open": False}, {"ticket": 2, "open": True}])
    with export.open(where="open").read(DAY, key=["ticket"]) as (_, portions):
        assert [row["ticket"] for portion in portions for row in portion] == [2]


def test_a_condition_that_does_not_fit_the_first_file_stops_before_a_row_is_read(export: Export) -> None:
    export.write(f"{TODAY}/1", [{"ticket": 1}])
    with pytest.raises(SpecError, match=r"yaml:4: source\.where: the source has no column 'tickets'; did you mean"):
        export.read(where="tickets > 1")


def test_a_later_file_without_a_column_of_the_condition_is_named(export: Export) -> None:
    export.write(f"{TODAY}/1", [{"ticket": 1, "open": True}])
    export.write(f"{TODAY}/2", [{"ticket": 2}])
    with pytest.raises(WarehouseError, match=r"/2 has no column open, but .*/1 has"):
        export.read(where="open")


def test_a_row_that_the_condition_cannot_be_evaluated_for_names_its_file(export: Export) -> None:
    export.write(f"{TODAY}/1", [{"ticket": "1"}])
    export.write(f"{TODAY}/2", [{"ticket": "T2"}])
    with pytest.raises(WarehouseError, match=r"source\.where: cannot be evaluated for a row of s3://.*/2: "):
        export.read(where="ticket::int > 0")
