from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from include.enrichment.errors import LakeError, SetupError
from include.gateways.lake import Conflict, Lake, ObjectMissing
from tests.fixtures.s3 import Bucket


def on_s3(uri: str, endpoint: str) -> Lake:
    return Lake.on_s3(
        uri,
        credentials=lambda: {"access_key_id": "testing", "secret_access_key": "testing", "expires_at": None},
        region="us-east-1",
        endpoint=endpoint,
    )


@pytest.fixture(params=["s3", "s3 with a prefix", "folder"])
def lake(request: pytest.FixtureRequest, tmp_path: Path, s3_bucket: Bucket) -> Lake:
    if request.param == "folder":
        return Lake.in_folder(tmp_path / "lake")
    prefix = "/team/a" if "prefix" in request.param else ""
    return on_s3(s3_bucket.uri + prefix, s3_bucket.endpoint_url)


def test_what_was_written_is_read_again_and_listed_below_its_prefix(lake: Lake) -> None:
    lake.write("tables/a/x", b"1")
    lake.write("tables/ab/y", b"2")
    assert lake.read("tables/a/x") == b"1"
    assert lake.list("tables/a/") == ["tables/a/x"]
    assert lake.exists("tables/a/x")
    assert not lake.exists("tables/a")


def test_a_large_file_arrives_whole(lake: Lake, tmp_path: Path) -> None:
    source, copy = tmp_path / "source", tmp_path / "copy"
    source.write_bytes(bytes(range(256)) * 80_000)
    lake.write_file("big", source)
    lake.fetch("big", copy)
    assert copy.read_bytes() == source.read_bytes()


def test_of_two_creates_the_second_gets_a_conflict_and_changes_nothing(lake: Lake) -> None:
    lake.create("entry", b"first")
    with pytest.raises(Conflict):
        lake.create("entry", b"second")
    assert lake.read("entry") == b"first"


def test_a_replace_over_something_that_has_changed_gets_a_conflict(lake: Lake) -> None:
    lake.write("entry", b"1")
    stored = lake.find("entry")
    assert stored is not None
    lake.replace("entry", b"2", etag=stored.etag)
    with pytest.raises(Conflict):
        lake.replace("entry", b"3", etag=stored.etag)
    assert lake.read("entry") == b"2"


def test_an_object_that_is_not_there_is_none_to_find_and_an_error_to_read(lake: Lake, tmp_path: Path) -> None:
    assert lake.find("nothing") is None
    with pytest.raises(ObjectMissing, match="nothing does not exist"):
        lake.read("nothing")
    with pytest.raises(ObjectMissing):
        lake.fetch("nothing", tmp_path / "copy")


@pytest.mark.parametrize("call", [lambda lake: lake.check(), lambda lake: lake.write("a", b"")])
def test_a_missing_bucket_is_named_with_the_remedy(call: Callable[[Lake], None], s3_server: str) -> None:
    with pytest.raises(SetupError, match=r"bucket does not exist: s3://no-such-bucket.*ENRICHMENT_LAKE"):
        call(on_s3("s3://no-such-bucket", s3_server))


def test_a_record_in_a_missing_bucket_is_an_error_and_never_no_record(s3_server: str) -> None:
    with pytest.raises(SetupError):
        on_s3("s3://no-such-bucket", s3_server).find("ledger/x.json")


def test_a_store_that_cannot_be_reached_is_an_error_that_may_pass() -> None:
    with pytest.raises(LakeError) as caught:
        on_s3("s3://bucket", "http://127.0.0.1:9").find("ledger/x.json")
    assert caught.value.retryable
