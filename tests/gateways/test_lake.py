from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from include.enrichment.errors import LakeError, SetupError
from include.gateways.lake import Conflict, Lake, ObjectMissing, UnreadableKey
from tests.fixtures.disk import files_of_at_most
from tests.fixtures.lake import delete
from tests.fixtures.s3 import Bucket, filesystem
from tests.gateways.s3_proxy import on_s3


def test_written_objects_are_read_and_listed_below_their_prefix(lake: Lake) -> None:
    lake.write("tables/a/x", b"1")
    lake.write("tables/ab/y", b"2")
    assert lake.read("tables/a/x") == b"1"
    assert lake.list("tables/a/") == ["tables/a/x"]
    assert lake.exists("tables/a/x")
    assert not lake.exists("tables/a")


def test_a_listing_has_the_size_tag_and_time_of_an_object(lake: Lake) -> None:
    before = datetime.now(UTC) - timedelta(seconds=2)
    lake.write("a/x", b"123")
    (listed,) = lake.objects("a/")
    stored = lake.find("a/x")
    assert stored
    assert (listed.key, listed.size_bytes, listed.etag) == ("a/x", 3, stored.etag)
    assert before < listed.changed_at < datetime.now(UTC) + timedelta(seconds=2)


@pytest.mark.parametrize("size_bytes", [3, 1 << 20, (1 << 20) + 1])
def test_a_listed_object_opens_like_any_other(lake: Lake, size_bytes: int) -> None:
    lake.write("a/x", data := bytes(range(256)) * (size_bytes // 256) + b"end")
    (listed,) = lake.objects("a/")
    with lake.open_listed(listed) as file:
        file.seek(-3, 2)
        assert (file.read(), file.seek(0), file.read()) == (b"end", 0, data)


class TestDelete:
    def test_an_unchanged_object_is_deleted_and_no_other(self, lake: Lake) -> None:
        lake.write("a/x", b"1")
        lake.write("a/y", b"1")
        assert lake.delete(lake.objects("a/")[0])
        assert lake.list("") == ["a/y"]

    def test_an_object_written_again_since_stays(self, lake: Lake) -> None:
        lake.write("a/x", b"1")
        (listed,) = lake.objects("a/")
        lake.write("a/x", b"2")
        assert not lake.delete(listed)
        assert lake.read("a/x") == b"2"

    def test_so_does_an_object_written_again_with_the_same_bytes(self, lake: Lake) -> None:
        lake.write("a/x", b"1")
        (listed,) = lake.objects("a/")
        long_ago = replace(listed, changed_at=listed.changed_at - timedelta(days=30))
        assert not lake.delete(long_ago)
        assert lake.delete(listed)

    def test_an_object_that_is_gone_is_not_an_error(self, lake: Lake) -> None:
        lake.write("a/x", b"1")
        (listed,) = lake.objects("a/")
        assert [lake.delete(listed), lake.delete(listed)] == [True, False]


def test_a_large_file_arrives_whole(lake: Lake, tmp_path: Path) -> None:
    source, copy = tmp_path / "source", tmp_path / "copy"
    source.write_bytes(bytes(range(256)) * 80_000)
    lake.write_file("big", source)
    etag = lake.fetch("big", copy)
    assert copy.read_bytes() == source.read_bytes()
    assert [listed.etag for listed in lake.objects("")] == [etag]


class TestLocalFiles:
    """An error of a local file is not blamed on the store."""

    @pytest.mark.parametrize(
        ("path", "fact"),
        [
            ("/dev/full", r"The disk is full at /dev/full: No space left on device, .* MB are free"),
            ("{folder}/gone/copy", r"This machine's disk failed at .*/gone/copy: No such file or directory"),
            ("{folder}", r"This machine's disk failed at .*: Is a directory"),
            ("/proc/copy", r"This machine's disk failed at /proc/copy: "),
        ],
    )
    def test_a_file_that_cannot_be_written_is_named(self, lake: Lake, tmp_path: Path, path: str, fact: str) -> None:
        lake.write("a", bytes(100_000))
        with pytest.raises(SetupError, match=fact) as caught:
            lake.fetch("a", Path(path.format(folder=tmp_path)))
        assert caught.value.retryable
        assert "bucket" not in str(caught.value)

    def test_so_is_a_file_that_may_not_grow(self, lake: Lake, tmp_path: Path) -> None:
        lake.write("a", bytes(100_000))
        with pytest.raises(SetupError, match=r"disk failed at .*/copy: File too large"), files_of_at_most(10_000):
            lake.fetch("a", tmp_path / "copy")

    @pytest.mark.parametrize(
        ("path", "fact"), [("gone", "No such file or directory"), ("", "Is a directory"), ("gone/x", "No such file")]
    )
    def test_a_file_that_cannot_be_read_is_named_and_no_bucket_is_blamed(
        self, lake: Lake, tmp_path: Path, path: str, fact: str
    ) -> None:
        with pytest.raises(SetupError, match=rf"This machine's disk failed at {tmp_path / path}: {fact}") as caught:
            lake.write_file("a", tmp_path / path)
        assert caught.value.retryable
        assert lake.list("") == []


class TestFolderThatFails:
    """The errors of a lake in a folder never name a bucket or credentials."""

    def test_a_missing_folder_is_an_error_and_never_an_absent_record(self, tmp_path: Path) -> None:
        lake = Lake.in_folder(tmp_path / "lake")
        (tmp_path / "lake").rmdir()
        for call in (lambda: lake.find("ledger/x"), lambda: lake.write("a", b""), lambda: lake.create("a", b"")):
            with pytest.raises(SetupError, match=rf"The lake's folder {tmp_path}/lake does not exist"):
                call()

    def test_a_failing_disk_is_reported_as_the_folders(self, tmp_path: Path) -> None:
        lake = Lake.in_folder(tmp_path / "lake")
        with (
            pytest.raises(LakeError, match=r"The disk of the lake's folder failed at .*/lake/a: .*File too large"),
            files_of_at_most(10_000),
        ):
            lake.write("a", bytes(100_000))

    def test_a_missing_permission_is_not_blamed_on_s3(self, tmp_path: Path) -> None:
        lake = Lake.in_folder(tmp_path / "lake")
        (tmp_path / "lake" / "a").write_bytes(b"")
        with pytest.raises(LakeError, match=r"The disk of the lake's folder failed at .*/lake/a/b"):
            lake.write("a/b", b"1")


def test_the_second_of_two_creates_gets_a_conflict_and_changes_nothing(lake: Lake) -> None:
    lake.create("entry", b"first")
    with pytest.raises(Conflict):
        lake.create("entry", b"second")
    assert lake.read("entry") == b"first"


def test_a_replace_of_a_changed_object_gets_a_conflict(lake: Lake) -> None:
    lake.write("entry", b"1")
    stored = lake.find("entry")
    assert stored is not None
    lake.replace("entry", b"2", etag=stored.etag)
    with pytest.raises(Conflict):
        lake.replace("entry", b"3", etag=stored.etag)
    assert lake.read("entry") == b"2"


def test_a_missing_object_is_none_for_find_and_an_error_for_read(lake: Lake, tmp_path: Path) -> None:
    assert lake.find("nothing") is None
    with pytest.raises(ObjectMissing, match="nothing does not exist"):
        lake.read("nothing")
    with pytest.raises(ObjectMissing):
        lake.fetch("nothing", tmp_path / "copy")


@pytest.mark.parametrize(
    "name", ["team a", "Größe", "u\u0308", "a+b=c:d@e&f", "v1.2...", "*[x]{y}", "😀", "50%25 off", "a'b"]
)
def test_objects_are_written_exactly_where_the_address_says(name: str, s3_bucket: Bucket, tmp_path: Path) -> None:
    files = filesystem(s3_bucket.endpoint_url)
    lake = on_s3(f"{s3_bucket.uri}/{name}/lake/", s3_bucket.endpoint_url)
    lake.write("a/x", b"1")
    with files.open_input_file(lake.locate("a/x").removeprefix("s3://")) as file:
        assert file.read() == b"1"
    folder = Lake.in_folder(tmp_path / name)
    folder.write("a/x", b"1")
    assert Path(folder.locate("a/x")).read_bytes() == b"1"
    for there in (lake, folder):
        assert there.list("a/") == ["a/x"]
        assert there.read("a/x") == b"1"


@pytest.mark.parametrize(
    "rest", ["/lake#dev", "/lake?dev", "#dev", "//lake", "/./lake", "/a/../lake", "/la\tke", "/lake\\dev", "/lake "]
)
def test_an_address_that_other_readers_would_resolve_differently_is_rejected(rest: str, s3_bucket: Bucket) -> None:
    with pytest.raises(SetupError, match="The lake cannot be at 's3://"):
        on_s3(s3_bucket.uri + rest, s3_bucket.endpoint_url)


@pytest.mark.parametrize("key", ["b/c//d", "b/./d", "b/../d", "b//", "b/\x01d"])
def test_an_object_whose_key_is_no_valid_path_is_named_and_not_retried(key: str, s3_bucket: Bucket) -> None:
    s3_bucket.put(f"a/{key}", b"1")
    with pytest.raises(UnreadableKey, match=r"contains an object whose key cannot be read: 'a/b/.*' has") as caught:
        on_s3(f"{s3_bucket.uri}/a", s3_bucket.endpoint_url).list("b/")
    assert not caught.value.retryable


@pytest.mark.parametrize("call", [lambda lake: lake.check(), lambda lake: lake.write("a", b"")])
def test_a_missing_bucket_is_named_with_the_remedy(call: Callable[[Lake], None], s3_server: str) -> None:
    with pytest.raises(SetupError, match=r"bucket of s3://no-such-bucket does not exist.*ENRICHMENT_LAKE"):
        call(on_s3("s3://no-such-bucket", s3_server))


def test_a_read_from_a_missing_bucket_is_an_error_and_never_an_absent_record(s3_server: str) -> None:
    with pytest.raises(SetupError):
        on_s3("s3://no-such-bucket", s3_server).find("ledger/x.json")


def test_an_unreachable_store_can_be_retried() -> None:
    with pytest.raises(LakeError) as caught:
        on_s3("s3://bucket", "http://127.0.0.1:9").find("ledger/x.json")
    assert caught.value.retryable


def test_a_replace_of_a_deleted_object_gets_a_conflict(lake: Lake) -> None:
    etag = lake.create("entry", b"1")
    delete(lake, "entry")
    with pytest.raises(Conflict):
        lake.replace("entry", b"2", etag=etag)
    assert lake.find("entry") is None


def test_a_missing_object_cannot_be_opened(lake: Lake) -> None:
    with pytest.raises(ObjectMissing), lake.open("nothing"):
        pass


def _create_all(folder: Path, start: Barrier, won: Queue[list[int]]) -> None:
    lake = Lake.in_folder(folder)
    start.wait(60)
    mine = []
    for number in range(50):
        try:
            lake.create(f"entry-{number}", str(multiprocessing.current_process().pid).encode())
        except Conflict:
            continue
        mine.append(number)
    won.put(mine)


def _count_up(folder: Path, start: Barrier, won: Queue[list[int]]) -> None:
    lake = Lake.in_folder(folder)
    start.wait(60)
    mine: list[int] = []
    while len(mine) < 50:
        stored = lake.find("counter")
        assert stored is not None
        number = int(stored.data) + 1
        try:
            lake.replace("counter", str(number).encode(), etag=stored.etag)
        except Conflict:
            continue
        mine.append(number)
    won.put(mine)


def race(target: Callable[..., None], folder: Path) -> list[list[int]]:
    """Run ``target`` in four processes at the same moment, and return what each of them won."""
    spawn = multiprocessing.get_context("spawn")
    start, won = spawn.Barrier(4), spawn.Queue()
    racers = [spawn.Process(target=target, args=(folder, start, won), daemon=True) for _ in range(4)]
    for racer in racers:
        racer.start()
    wins = [won.get(timeout=1800) for _ in racers]
    for racer in racers:
        racer.join(1800)
    return wins


def test_one_of_several_processes_creates_an_object_in_a_folder(tmp_path: Path) -> None:
    wins = race(_create_all, tmp_path)
    assert sorted(number for mine in wins for number in mine) == list(range(50))


def test_one_of_several_processes_replaces_an_object_in_a_folder(tmp_path: Path) -> None:
    lake = Lake.in_folder(tmp_path)
    lake.create("counter", b"0")
    wins = race(_count_up, tmp_path)
    assert sorted(number for mine in wins for number in mine) == list(range(1, 201))
    assert lake.read("counter") == b"200"


def test_the_lock_file_of_a_folder_is_not_listed(tmp_path: Path) -> None:
    lake = Lake.in_folder(tmp_path)
    lake.write("a", b"1")
    assert lake.list("") == ["a"]


def test_a_folder_honors_conditional_writes_even_if_runs_never_race(tmp_path: Path) -> None:
    lake = Lake.in_folder(tmp_path, runs_never_race=True)
    lake.create("entry", b"1")
    with pytest.raises(Conflict):
        lake.create("entry", b"2")
