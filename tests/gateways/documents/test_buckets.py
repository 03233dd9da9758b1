from __future__ import annotations

import hashlib
import os
import time
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

import pytest

from include.enrichment.errors import SetupError
from include.gateways.documents.buckets import Buckets, LocalFolder, S3Buckets
from include.gateways.lake import Lake, ObjectMissing, TooLarge, UnreadableKey, Withheld
from tests.fixtures.s3 import Bucket
from tests.gateways.s3_proxy import on_s3

COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "déjà.pdf") for form in ("NFC", "NFD"))
UNUSUAL = ["a b.pdf", "a+b.pdf", "a%20b.pdf", "100%.pdf", "a#b?c.pdf", "sub/ü.pdf", COMPOSED, DECOMPOSED]


class Place(Protocol):
    """Somewhere to put objects, and what reads them."""

    buckets: Buckets
    prefix: str

    def put(self, name: str, data: bytes) -> None: ...


class OnS3:
    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self.buckets: Buckets = S3Buckets(lambda name: on_s3(f"s3://{name}", bucket.endpoint_url))
        self.prefix = f"{bucket.uri}/invoices/dt=2026-11-01/"

    def put(self, name: str, data: bytes) -> None:
        self._bucket.put(f"invoices/dt=2026-11-01/{name}", data)


class InFolder:
    def __init__(self, folder: Path) -> None:
        self.buckets: Buckets = LocalFolder(folder)
        self.prefix = f"{folder}/dt=2026-11-01/"

    def put(self, name: str, data: bytes) -> None:
        path = Path(self.prefix, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


@pytest.fixture(params=["s3", "folder"])
def place(request: pytest.FixtureRequest, s3_bucket: Bucket, tmp_path: Path) -> Place:
    return OnS3(s3_bucket) if request.param == "s3" else InFolder(tmp_path / "objects")


def test_every_object_below_the_prefix_is_listed_under_its_key_as_stored(place: Place) -> None:
    before = datetime.now(UTC) - timedelta(seconds=2)
    for name in UNUSUAL:
        place.put(name, name.encode())
    found = {listed.name: listed for listed in place.buckets.objects(place.prefix)}
    assert list(found) == sorted(UNUSUAL)
    for name, listed in found.items():
        assert listed.uri == f"{place.prefix}{name}"
        assert listed.size_bytes == len(name.encode())
        assert before < listed.modified_at < datetime.now(UTC) + timedelta(seconds=2)


def test_an_object_is_fetched_by_its_listed_uri(place: Place, tmp_path: Path) -> None:
    for name in UNUSUAL:
        place.put(name, name.encode())
    for listed in place.buckets.objects(place.prefix):
        data = listed.name.encode()
        stored = place.buckets.fetch(listed.uri, tmp_path / "copy")
        assert (stored.uri, stored.version, stored.size_bytes) == (listed.uri, listed.version, len(data))
        assert stored.sha256 == hashlib.sha256(data).hexdigest()
        assert (tmp_path / "copy").read_bytes() == data


def test_hidden_objects_are_left_out_and_an_empty_document_is_not(place: Place) -> None:
    for name in ("_SUCCESS", ".DS_Store", "_tmp/a.pdf", "b/.c/a.pdf"):
        place.put(name, b"x")
    place.put("empty.pdf", b"")
    assert [listed.name for listed in place.buckets.objects(place.prefix)] == ["empty.pdf"]


def test_a_prefix_without_objects_lists_none(place: Place) -> None:
    assert place.buckets.objects(place.prefix) == []


@pytest.mark.parametrize("name", ["absent.pdf", "folder"])
def test_what_is_not_there_is_missing(place: Place, name: str, tmp_path: Path) -> None:
    place.put("folder/a.pdf", b"x")
    with pytest.raises(ObjectMissing, match=rf"{name} does not exist"):
        place.buckets.fetch(f"{place.prefix}{name}", tmp_path / "copy")


class TestS3:
    def test_folders_created_by_hand_are_left_out(self, s3_bucket: Bucket) -> None:
        place = OnS3(s3_bucket)
        for name in ("", "sub/", "both/", "both"):
            place.put(name, b"")
        place.put("sub/a.pdf", b"x")
        assert [listed.name for listed in place.buckets.objects(place.prefix)] == ["both", "sub/a.pdf"]

    def test_a_document_whose_key_ends_in_a_slash_is_named(self, s3_bucket: Bucket, tmp_path: Path) -> None:
        place = OnS3(s3_bucket)
        place.put("a.pdf/", b"x")
        (listed,) = place.buckets.objects(place.prefix)
        with pytest.raises(UnreadableKey, match=r"a\.pdf/ is an object whose key ends in a slash"):
            place.buckets.fetch(listed.uri, tmp_path / "copy")
        place.put("a.pdf", b"")
        with pytest.raises(UnreadableKey, match=r"a\.pdf/ is an object whose key ends in a slash"):
            place.buckets.objects(place.prefix)

    @pytest.mark.parametrize(
        "uri",
        [
            *("", "a.pdf", "/etc/passwd", "S3://b/a", "s3://bucket", "s3://b/", "s3://b//a", "s3://b/a/", "s3://é/a"),
            *("s3://b/a//b", "s3://b/../a", "s3://b/a/.", "s3://b/a\nb", "s3://b/a\x7f", f"s3://b/{'a' * 1025}"),
            "s3://key:secret/x@b/a",
        ],
    )
    def test_a_uri_that_names_no_object_is_the_fault_of_its_row(
        self, s3_bucket: Bucket, uri: str, tmp_path: Path
    ) -> None:
        with pytest.raises(UnreadableKey, match=r"names no object: it "):
            OnS3(s3_bucket).buckets.fetch(uri, tmp_path / "copy")

    def test_a_bucket_that_does_not_exist_is_a_fault_of_the_uri_but_not_of_a_listing(
        self, s3_bucket: Bucket, tmp_path: Path
    ) -> None:
        buckets = OnS3(s3_bucket).buckets
        with pytest.raises(UnreadableKey, match=r"the bucket s3://no-such-bucket does not exist"):
            buckets.fetch("s3://no-such-bucket/a.pdf", tmp_path / "copy")
        with pytest.raises(SetupError, match=r"The bucket of s3://no-such-bucket does not exist"):
            buckets.objects("s3://no-such-bucket/a/")

    def test_a_document_named_like_the_prefix_is_not_taken_for_another(self, s3_bucket: Bucket, tmp_path: Path) -> None:
        place = OnS3(s3_bucket)
        place.put("", b"whose key ends in a slash")
        s3_bucket.put("invoices/dt=2026-11-01", b"of no day")
        (listed,) = place.buckets.objects(place.prefix)
        assert (listed.uri, listed.name) == (place.prefix, "")
        with pytest.raises(UnreadableKey, match="ends with a slash"):
            place.buckets.fetch(listed.uri, tmp_path / "copy")

    def test_an_archived_object_is_withheld(self, s3_bucket: Bucket, tmp_path: Path) -> None:
        s3_bucket.put("a.pdf", b"x", StorageClass="GLACIER")
        with pytest.raises(Withheld, match=r"a\.pdf cannot be read: it is in an archive of S3") as raised:
            OnS3(s3_bucket).buckets.fetch(f"{s3_bucket.uri}/a.pdf", tmp_path / "copy")
        assert raised.value.why.endswith("(InvalidObjectState)")

    def test_a_folder_is_missing_without_a_look_at_all_that_is_in_it(
        self, s3_bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        place = OnS3(s3_bucket)
        place.put("folder/a.pdf", b"x")
        monkeypatch.delattr(Lake, "objects")
        with pytest.raises(ObjectMissing):
            place.buckets.fetch(f"{place.prefix}folder", tmp_path / "copy")

    def test_a_bucket_is_opened_once_also_by_threads(self, s3_bucket: Bucket, tmp_path: Path) -> None:
        opened: list[str] = []

        def open_bucket(name: str) -> Lake:
            opened.append(name)
            time.sleep(0.01)
            return on_s3(f"s3://{name}", s3_bucket.endpoint_url)

        buckets = S3Buckets(open_bucket)
        s3_bucket.put("a", b"1")
        with ThreadPoolExecutor(2) as threads:
            for one in [threads.submit(buckets.fetch, f"{s3_bucket.uri}/a", tmp_path / copy) for copy in "bc"]:
                assert one.result().size_bytes == 1
        assert opened == [s3_bucket.name]


def test_nothing_is_copied_of_an_object_that_is_too_large(place: Place, tmp_path: Path) -> None:
    place.put("a.pdf", b"1234")
    with pytest.raises(TooLarge) as raised:
        place.buckets.fetch(f"{place.prefix}a.pdf", tmp_path / "copy", most_bytes=3)
    assert raised.value.size_bytes == 4
    assert not (tmp_path / "copy").exists()
    assert place.buckets.fetch(f"{place.prefix}a.pdf", tmp_path / "copy", most_bytes=4).size_bytes == 4


class TestFolder:
    def test_a_link_is_a_row_wherever_it_leads(self, tmp_path: Path) -> None:
        folder = tmp_path / "objects"
        (folder / "sub").mkdir(parents=True)
        (tmp_path / "secret").write_text("x")
        (folder / "sub" / "a").write_text("a")
        for name, to in {"in": "sub/a", "out": "../secret", "loop": "loop", "none": "none2", "folder": "sub"}.items():
            (folder / name).symlink_to(to)
        os.mkfifo(folder / "pipe")
        buckets = LocalFolder(folder)
        found = {each.name: each for each in buckets.objects(f"{folder}/")}
        assert found["in"].size_bytes == 1
        listed = {name: each.uri for name, each in found.items()}
        assert list(listed) == ["folder", "in", "loop", "none", "out", "pipe", "sub/a"]
        assert buckets.fetch(listed["in"], tmp_path / "copy").size_bytes == 1
        for name in ("folder", "none", "pipe"):
            with pytest.raises(ObjectMissing, match="does not exist, or is no file"):
                buckets.fetch(listed[name], tmp_path / "copy")
        for name in ("loop", "out"):
            with pytest.raises(UnreadableKey, match="names no object"):
                buckets.fetch(listed[name], tmp_path / "copy")

    def test_a_name_that_is_too_long_for_the_disk_is_the_fault_of_its_row(self, tmp_path: Path) -> None:
        with pytest.raises(UnreadableKey, match="File name too long"):
            LocalFolder(tmp_path).fetch(f"{tmp_path}/{'a' * 300}", tmp_path / "copy")

    @pytest.mark.parametrize("uri", ["{folder}/../secret", "{folder}/link", "secret", "s3://b/a", "{folder}/\udcff"])
    def test_nothing_outside_is_read(self, tmp_path: Path, uri: str) -> None:
        folder = tmp_path / "objects"
        folder.mkdir()
        (tmp_path / "secret").write_text("x")
        (folder / "link").symlink_to(tmp_path / "secret")
        with pytest.raises(UnreadableKey, match=r"names no object: it is not the path of a file in"):
            LocalFolder(folder).fetch(uri.format(folder=folder), tmp_path / "copy")

    def test_a_file_whose_name_is_not_text_is_named(self, tmp_path: Path) -> None:
        (tmp_path / os.fsdecode(b"\xff.pdf")).write_bytes(b"x")
        with pytest.raises(UnreadableKey, match=r"\\udcff.pdf' names no object"):
            LocalFolder(tmp_path).objects(f"{tmp_path}/")
