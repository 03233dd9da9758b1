from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from include.enrichment.documents.upload import Upload
from include.enrichment.errors import LakeError
from include.enrichment.storage import layout
from include.gateways.lake import Conflict, Lake
from include.gateways.uploads.upload_records import UploadRecords

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)


def record(content_id: str = "one") -> Upload:
    return Upload(content_id=content_id, state="uploading", names=["n"], changed_at=NOW, chunk_id="c", runs=["r"])


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake.in_folder(tmp_path)


def test_a_record_is_read_as_it_was_written(lake: Lake) -> None:
    records = UploadRecords(lake, pipeline="p")
    written = records.write(record(), over=None)
    assert records.find("one") == written
    assert records.of(["none", "one"]) == [None, written]
    assert UploadRecords(lake, pipeline="q").find("one") is None


def test_of_two_writers_one_wins(lake: Lake) -> None:
    records = UploadRecords(lake, pipeline="p")
    written = records.write(record(), over=None)
    records.write(record().needed_by("s"), over=written)
    with pytest.raises(Conflict):
        records.write(record().needed_by("t"), over=written)
    with pytest.raises(Conflict):
        records.write(record().needed_by("t"), over=None)


def test_records_are_found_by_the_time_of_their_write(lake: Lake) -> None:
    records = UploadRecords(lake, pipeline="p")
    written = records.write(record(), over=None)
    now = datetime.now(UTC)
    assert records.changed_since(now) == [written]
    assert not records.changed_since(now + timedelta(hours=2))


def test_a_damaged_record_is_an_error_that_says_what_to_do(lake: Lake) -> None:
    lake.write(layout.upload("p", "one"), b"{}")
    with pytest.raises(LakeError, match="Delete it and clear this task"):
        UploadRecords(lake, pipeline="p").find("one")
