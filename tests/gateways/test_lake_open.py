"""lake.py: reading parts of an object."""

from __future__ import annotations

import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from include.enrichment.errors import LakeError
from include.gateways.lake import Lake
from tests.fixtures.lake import delete
from tests.fixtures.s3 import Bucket
from tests.gateways.s3_proxy import on_s3, proxy


def test_an_open_object_can_be_read_at_any_position(lake: Lake) -> None:
    lake.write("a", bytes(range(256)) * 1000)
    with lake.open("a") as file:
        assert file.seekable()
        assert file.read(3) == b"\0\1\2"
        assert file.seek(-2, 2) == file.tell() == 255_998
        assert file.read() == b"\xfe\xff"
        assert file.read(1) == b""
        file.seek(256)
        assert file.read(4) == b"\0\1\2\3"


def test_a_read_of_an_object_deleted_meanwhile_is_an_error_of_the_lake(lake: Lake) -> None:
    lake.write("a", bytes(1_000_000))
    with lake.open("a") as file:
        delete(lake, "a")
        file.seek(500_000)
        with pytest.raises(LakeError):
            file.read(10)


def write_table(path: Path) -> list[str]:
    """Write 20 MB in ten row groups, and return the column ``name``, which is a small part of it."""
    luck = random.Random(7)
    names = [f"n{number}" for number in range(20_000)]
    pq.write_table(
        pa.table(
            {"before": [luck.randbytes(500) for _ in names], "name": names, "after": [luck.randbytes(500)] * 20_000}
        ),
        path,
        row_group_size=2_000,
        use_dictionary=False,
        compression="none",
    )
    return names


@pytest.mark.parametrize("where", ["s3", "folder"])
def test_one_column_of_a_large_object_is_read_without_the_rest(where: str, tmp_path: Path, s3_bucket: Bucket) -> None:
    names = write_table(tmp_path / "table")
    assert (tmp_path / "table").stat().st_size > 20_000_000
    with proxy(s3_bucket.endpoint_url) as server:
        lake = on_s3(s3_bucket.uri, server.endpoint) if where == "s3" else Lake.in_folder(tmp_path / "lake")
        lake.write_file("table", tmp_path / "table")
        server.bytes_out = 0
        with lake.open("table") as file, pq.ParquetFile(file) as table:
            assert table.read(columns=["name"])["name"].to_pylist() == names
        assert server.bytes_out < 1_000_000
        assert where == "folder" or server.bytes_out > 100_000
