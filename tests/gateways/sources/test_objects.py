"""objects.py: a row for each object of the partition, by its listing."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from include.enrichment.errors import LakeError, SetupError, SpecError, WarehouseError
from include.enrichment.spec.where import Where
from include.gateways.documents.buckets import Buckets, ListedObject, LocalFolder, S3Buckets
from include.gateways.lake import UnreadableKey
from include.gateways.sources.objects import Objects
from tests.fixtures.flow import DAY
from tests.fixtures.s3 import Bucket
from tests.gateways.s3_proxy import on_s3


def _read(buckets: Buckets, objects: str, where: str | None = None) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    condition = Where(text=where, location="t/pipeline.yaml:4: source.where") if where else None
    source = Objects(buckets, objects=objects, name="aws", where=condition)
    with source.read(DAY, key=["name"], needed={"name"}) as (columns, portions):
        rows = [row for portion in portions for row in portion]
    assert all(list(row) == list(columns) for row in rows)
    return dict(columns), rows


def test_each_object_of_the_day_is_a_row_with_its_key_as_stored(s3_bucket: Bucket) -> None:
    names = ["a b+c%41.pdf", "sub/ä.pdf", "sub/a\u0308.pdf", "empty.pdf"]
    for name in names:
        s3_bucket.put(f"in/dt=2026-11-01/{name}", b"" if name == "empty.pdf" else b"abc")
    s3_bucket.put("in/dt=2026-11-02/other.pdf", b"abc")
    s3_bucket.put("in/dt=2026-11-01/_SUCCESS", b"")
    buckets = S3Buckets(lambda name: on_s3(f"s3://{name}", s3_bucket.endpoint_url))
    prefix = f"{s3_bucket.uri}/in/dt={{partition}}/"
    columns, rows = _read(buckets, prefix)
    assert columns == {
        "uri": pa.string(),
        "name": pa.string(),
        "size_bytes": pa.int64(),
        "modified_at": pa.timestamp("us", "UTC"),
        "media_type": pa.string(),
        "sha256": pa.string(),
        "pages": pa.int64(),
    }
    assert [row["name"] for row in rows] == sorted(names)
    assert [row["uri"] for row in rows] == [f"{s3_bucket.uri}/in/dt=2026-11-01/{name}" for name in sorted(names)]
    assert {row["name"]: row["size_bytes"] for row in rows} == dict.fromkeys(names, 3) | {"empty.pdf": 0}
    assert all(isinstance(row["modified_at"], datetime) and row["modified_at"].tzinfo for row in rows)
    assert {row[name] for row in rows for name in ("media_type", "sha256", "pages")} == {None}


def test_files_of_a_folder_are_rows_and_a_day_without_any_has_none(tmp_path: Path) -> None:
    (tmp_path / "2026-11-01").mkdir()
    (tmp_path / "2026-11-01" / "a.pdf").write_bytes(b"abc")
    _, rows = _read(LocalFolder(tmp_path), f"{tmp_path}/{{partition}}/")
    assert [(row["uri"], row["name"]) for row in rows] == [(f"{tmp_path}/2026-11-01/a.pdf", "a.pdf")]
    assert _read(LocalFolder(tmp_path), f"{tmp_path}/none/{{partition}}/")[1] == []


class _Listing(LocalFolder):
    """A store that lists this, or fails."""

    def __init__(self, found: list[str] | Exception) -> None:
        super().__init__(Path("/"))
        self._found = found

    def objects(self, prefix: str) -> list[ListedObject]:
        if isinstance(self._found, Exception):
            raise self._found
        moment = datetime(2026, 11, 1, tzinfo=UTC)
        return [
            ListedObject(uri=f"s3://b/{name}", name=name, size_bytes=number, modified_at=moment, version="1")
            for number, name in enumerate(self._found)
        ]


def test_a_condition_selects_rows_by_the_columns_of_the_listing() -> None:
    listing = _Listing(["a.pdf", "b.xml", "c.pdf"])
    rows = _read(listing, "s3://b/{partition}/", "name like '%.pdf' and size_bytes > 0")[1]
    assert [row["name"] for row in rows] == ["c.pdf"]
    with pytest.raises(SpecError, match=r"no column 'pages'.* It has: uri, name, size_bytes, modified_at"):
        _read(listing, "s3://b/{partition}/", "pages > 1")


def test_many_objects_come_in_portions() -> None:
    names = [f"{number:05}.pdf" for number in range(2_500)]
    assert [row["name"] for row in _read(_Listing(names), "s3://b/{partition}/")[1]] == names


@pytest.mark.parametrize(
    ("error", "message", "retryable"),
    [
        (UnreadableKey("It has an object a/."), r"It has an object a/\. Nothing was sent\. Rename or delete", False),
        (LakeError("The store failed."), r"The store failed\. Nothing was sent\. Correct the connection", True),
        (
            SetupError("The bucket does not exist."),
            r"s3://b/2026-11-01/ \(connection 'aws'\) could not be listed",
            True,
        ),
    ],
)
def test_a_prefix_that_cannot_be_listed_stops_the_run(error: Exception, message: str, retryable: bool) -> None:
    with pytest.raises(WarehouseError, match=message) as raised:
        _read(_Listing(error), "s3://b/{partition}/")
    assert raised.value.retryable is retryable
