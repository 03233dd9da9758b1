from __future__ import annotations

import multiprocessing
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from include.enrichment.errors import LakeError, SetupError
from include.gateways.lake import Conflict, Lake, ObjectMissing, UnreadableKey
from tests.fixtures.disk import files_of_at_most
from tests.fixtures.lake import delete
from tests.fixtures.s3 import Bucket, filesystem

CONDITIONS = ("if-match", "if-none-match")


def on_s3(uri: str, endpoint: str, *, runs_never_race: bool = False) -> Lake:
    return Lake.on_s3(
        uri,
        credentials=lambda: {"access_key_id": "testing", "secret_access_key": "testing", "expires_at": None},
        region="us-east-1",
        endpoint=endpoint,
        runs_never_race=runs_never_race,
    )


@pytest.fixture(params=["s3", "s3 with a prefix", "folder"])
def lake(request: pytest.FixtureRequest, tmp_path: Path, s3_bucket: Bucket) -> Lake:
    if request.param == "folder":
        return Lake.in_folder(tmp_path / "lake")
    prefix = "/team/a" if "prefix" in request.param else ""
    return on_s3(s3_bucket.uri + prefix, s3_bucket.endpoint_url)


class Proxy(ThreadingHTTPServer):
    """An S3 server seen through a proxy that does something to conditional writes, and counts what it hands out."""

    def __init__(self, endpoint: str, *, conditions: str) -> None:
        super().__init__(("127.0.0.1", 0), Relay)
        self.behind = urlsplit(endpoint).netloc
        self.conditions = conditions
        self.calls: list[str] = []
        self.bytes_out = 0

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Relay(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Proxy

    def relay(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        self.server.calls.append(self.command)
        headers = dict(self.headers)
        if conditional := [name for name in headers if name.lower() in CONDITIONS]:
            if self.server.conditions == "not implemented":
                return self.answer(501, b"<Error><Code>NotImplemented</Code></Error>", {})
            if self.server.conditions == "ignored":
                headers = {name: value for name, value in headers.items() if name not in conditional}
            if self.server.conditions == "answers lost" and not any("lost" in call for call in self.server.calls):
                self.server.calls.append("lost")
                self.forward(headers, body)
                return self.answer(503, b"", {})
        self.answer(*self.forward(headers, body))

    def forward(self, headers: dict[str, str], body: bytes) -> tuple[int, bytes, dict[str, str]]:
        behind = HTTPConnection(self.server.behind)
        behind.request(self.command, self.path, body, headers)
        answer = behind.getresponse()
        return answer.status, answer.read(), dict(answer.getheaders())

    def answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            if name.lower() not in ("content-length", "connection", "transfer-encoding"):
                self.send_header(name, value)
        length = headers.get("Content-Length", "0") if self.command == "HEAD" else str(len(body))
        self.send_header("content-length", length)
        self.end_headers()
        self.wfile.write(body)
        self.server.bytes_out += len(body)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = relay

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def proxy(endpoint: str, *, conditions: str = "passed on") -> Iterator[Proxy]:
    with Proxy(endpoint, conditions=conditions) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def test_what_was_written_is_read_again_and_listed_below_its_prefix(lake: Lake) -> None:
    lake.write("tables/a/x", b"1")
    lake.write("tables/ab/y", b"2")
    assert lake.read("tables/a/x") == b"1"
    assert lake.list("tables/a/") == ["tables/a/x"]
    assert lake.exists("tables/a/x")
    assert not lake.exists("tables/a")


def test_a_listing_tells_what_reading_would(lake: Lake) -> None:
    before = datetime.now(UTC) - timedelta(seconds=2)
    lake.write("a/x", b"123")
    (listed,) = lake.objects("a/")
    stored = lake.find("a/x")
    assert stored
    assert (listed.key, listed.size_bytes, listed.etag) == ("a/x", 3, stored.etag)
    assert before < listed.changed_at < datetime.now(UTC) + timedelta(seconds=2)


@pytest.mark.parametrize("size_bytes", [3, 1 << 20, (1 << 20) + 1])
def test_what_was_listed_opens_like_any_object(lake: Lake, size_bytes: int) -> None:
    lake.write("a/x", data := bytes(range(256)) * (size_bytes // 256) + b"end")
    (listed,) = lake.objects("a/")
    with lake.open_listed(listed) as file:
        file.seek(-3, 2)
        assert (file.read(), file.seek(0), file.read()) == (b"end", 0, data)


class TestDelete:
    def test_what_is_as_it_was_listed_goes_and_nothing_else(self, lake: Lake) -> None:
        lake.write("a/x", b"1")
        lake.write("a/y", b"1")
        assert lake.delete(lake.objects("a/")[0])
        assert lake.list("") == ["a/y"]

    def test_what_was_written_anew_since_stays(self, lake: Lake) -> None:
        lake.write("a/x", b"1")
        (listed,) = lake.objects("a/")
        lake.write("a/x", b"2")
        assert not lake.delete(listed)
        assert lake.read("a/x") == b"2"

    def test_so_does_what_was_written_anew_just_as_it_was(self, lake: Lake) -> None:
        lake.write("a/x", b"1")
        (listed,) = lake.objects("a/")
        long_ago = replace(listed, changed_at=listed.changed_at - timedelta(days=30))
        assert not lake.delete(long_ago)
        assert lake.delete(listed)

    def test_what_is_gone_already_is_no_failure(self, lake: Lake) -> None:
        lake.write("a/x", b"1")
        (listed,) = lake.objects("a/")
        assert [lake.delete(listed), lake.delete(listed)] == [True, False]


def test_a_large_file_arrives_whole(lake: Lake, tmp_path: Path) -> None:
    source, copy = tmp_path / "source", tmp_path / "copy"
    source.write_bytes(bytes(range(256)) * 80_000)
    lake.write_file("big", source)
    lake.fetch("big", copy)
    assert copy.read_bytes() == source.read_bytes()


class TestLocalFiles:
    """An error of the file on this machine is this machine's, and not the store's."""

    @pytest.mark.parametrize(
        ("path", "fact"),
        [
            ("/dev/full", r"The disk is full at /dev/full: No space left on device; .* MB are left"),
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

    def test_so_is_one_that_may_not_grow(self, lake: Lake, tmp_path: Path) -> None:
        lake.write("a", bytes(100_000))
        with pytest.raises(SetupError, match=r"disk failed at .*/copy: File too large"), files_of_at_most(10_000):
            lake.fetch("a", tmp_path / "copy")

    @pytest.mark.parametrize(
        ("path", "fact"), [("gone", "No such file or directory"), ("", "Is a directory"), ("gone/x", "No such file")]
    )
    def test_one_that_cannot_be_read_is_named_and_no_bucket_is_blamed(
        self, lake: Lake, tmp_path: Path, path: str, fact: str
    ) -> None:
        with pytest.raises(SetupError, match=rf"This machine's disk failed at {tmp_path / path}: {fact}") as caught:
            lake.write_file("a", tmp_path / path)
        assert caught.value.retryable
        assert lake.list("") == []


class TestFolderThatFails:
    """A lake in a folder has neither bucket nor credentials."""

    def test_a_folder_that_is_gone_is_named_and_never_taken_for_no_record(self, tmp_path: Path) -> None:
        lake = Lake.in_folder(tmp_path / "lake")
        (tmp_path / "lake").rmdir()
        for call in (lambda: lake.find("ledger/x"), lambda: lake.write("a", b""), lambda: lake.create("a", b"")):
            with pytest.raises(SetupError, match=rf"The lake's folder {tmp_path}/lake does not exist"):
                call()

    def test_a_disk_that_fails_is_that_of_the_folder(self, tmp_path: Path) -> None:
        lake = Lake.in_folder(tmp_path / "lake")
        with (
            pytest.raises(LakeError, match=r"The disk of the lake's folder failed at .*/lake/a: .*File too large"),
            files_of_at_most(10_000),
        ):
            lake.write("a", bytes(100_000))

    def test_a_permission_that_is_missing_is_not_one_of_s3(self, tmp_path: Path) -> None:
        lake = Lake.in_folder(tmp_path / "lake")
        (tmp_path / "lake" / "a").write_bytes(b"")
        with pytest.raises(LakeError, match=r"The disk of the lake's folder failed at .*/lake/a/b"):
            lake.write("a/b", b"1")


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


@pytest.mark.parametrize(
    "name", ["team a", "Größe", "u\u0308", "a+b=c:d@e&f", "v1.2...", "*[x]{y}", "😀", "50%25 off", "a'b"]
)
def test_what_an_address_says_is_where_it_is_written(name: str, s3_bucket: Bucket, tmp_path: Path) -> None:
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
def test_an_address_that_readers_would_cut_or_resolve_is_refused(rest: str, s3_bucket: Bucket) -> None:
    with pytest.raises(SetupError, match="No lake can be at 's3://"):
        on_s3(s3_bucket.uri + rest, s3_bucket.endpoint_url)


@pytest.mark.parametrize("key", ["b/c//d", "b/./d", "b/../d", "b//", "b/\x01d"])
def test_an_object_whose_key_no_path_can_have_is_named_and_no_retry_mends_it(key: str, s3_bucket: Bucket) -> None:
    s3_bucket.put(f"a/{key}", b"1")
    with pytest.raises(UnreadableKey, match=r"holds an object whose key cannot be read: 'a/b/.*' has") as caught:
        on_s3(f"{s3_bucket.uri}/a", s3_bucket.endpoint_url).list("b/")
    assert not caught.value.retryable


@pytest.mark.parametrize("call", [lambda lake: lake.check(), lambda lake: lake.write("a", b"")])
def test_a_missing_bucket_is_named_with_the_remedy(call: Callable[[Lake], None], s3_server: str) -> None:
    with pytest.raises(SetupError, match=r"bucket of s3://no-such-bucket does not exist.*ENRICHMENT_LAKE"):
        call(on_s3("s3://no-such-bucket", s3_server))


def test_a_record_in_a_missing_bucket_is_an_error_and_never_no_record(s3_server: str) -> None:
    with pytest.raises(SetupError):
        on_s3("s3://no-such-bucket", s3_server).find("ledger/x.json")


def test_a_store_that_cannot_be_reached_is_an_error_that_may_pass() -> None:
    with pytest.raises(LakeError) as caught:
        on_s3("s3://bucket", "http://127.0.0.1:9").find("ledger/x.json")
    assert caught.value.retryable


def test_a_replace_of_something_that_is_gone_gets_a_conflict(lake: Lake) -> None:
    etag = lake.create("entry", b"1")
    delete(lake, "entry")
    with pytest.raises(Conflict):
        lake.replace("entry", b"2", etag=etag)
    assert lake.find("entry") is None


def test_an_open_object_is_a_file_to_be_read_anywhere(lake: Lake) -> None:
    lake.write("a", bytes(range(256)) * 1000)
    with lake.open("a") as file:
        assert file.seekable()
        assert file.read(3) == b"\0\1\2"
        assert file.seek(-2, 2) == file.tell() == 255_998
        assert file.read() == b"\xfe\xff"
        assert file.read(1) == b""
        file.seek(256)
        into = bytearray(4)
        assert file.readinto(into) == 4  # type: ignore[attr-defined]
        assert into == b"\0\1\2\3"


def test_an_object_that_is_not_there_cannot_be_opened(lake: Lake) -> None:
    with pytest.raises(ObjectMissing), lake.open("nothing"):
        pass


def test_an_object_that_goes_while_it_is_read_is_an_error_of_the_lake(lake: Lake) -> None:
    lake.write("a", bytes(1_000_000))
    with lake.open("a") as file:
        delete(lake, "a")
        file.seek(500_000)
        with pytest.raises(LakeError):
            file.read(10)


def write_table(path: Path) -> list[str]:
    """20 MB in ten row groups; the column ``name``, which is returned, is a small part of it."""
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
    """What each of four processes won that ran ``target`` at the same moment."""
    spawn = multiprocessing.get_context("spawn")
    start, won = spawn.Barrier(4), spawn.Queue()
    racers = [spawn.Process(target=target, args=(folder, start, won), daemon=True) for _ in range(4)]
    for racer in racers:
        racer.start()
    wins = [won.get(timeout=1800) for _ in racers]
    for racer in racers:
        racer.join(1800)
    return wins


def test_of_processes_that_create_in_a_folder_one_wins(tmp_path: Path) -> None:
    wins = race(_create_all, tmp_path)
    assert sorted(number for mine in wins for number in mine) == list(range(50))


def test_of_processes_that_replace_in_a_folder_one_wins(tmp_path: Path) -> None:
    lake = Lake.in_folder(tmp_path)
    lake.create("counter", b"0")
    wins = race(_count_up, tmp_path)
    assert sorted(number for mine in wins for number in mine) == list(range(1, 201))
    assert lake.read("counter") == b"200"


def test_the_lock_of_a_folder_is_no_object(tmp_path: Path) -> None:
    lake = Lake.in_folder(tmp_path)
    lake.write("a", b"1")
    assert lake.list("") == ["a"]


def test_a_store_with_conditional_writes_passes_the_check_however_often(lake: Lake) -> None:
    for _ in range(3):
        lake.check_conditional_writes()
    assert lake.list("ledger/") == ["ledger/_probe"]
    assert b"may be deleted" in lake.read("ledger/_probe")


def test_the_check_costs_three_calls(s3_bucket: Bucket) -> None:
    with proxy(s3_bucket.endpoint_url) as server:
        on_s3(s3_bucket.uri, server.endpoint).check_conditional_writes()
    assert len(server.calls) == 3


@pytest.mark.parametrize(
    ("conditions", "fact"),
    [("ignored", "a second create of the same object was not refused"), ("not implemented", "501")],
)
def test_a_store_without_conditional_writes_is_refused_with_the_remedies(
    s3_bucket: Bucket, conditions: str, fact: str
) -> None:
    with proxy(s3_bucket.endpoint_url, conditions=conditions) as server:
        lake = on_s3(s3_bucket.uri, server.endpoint)
        with pytest.raises(SetupError, match=f"no conditional writes: .*{fact}") as caught:
            lake.check_conditional_writes()
    for part in ("both pay", "Nothing was sent", "MinIO", "ENRICHMENT_RUNS_NEVER_RACE=true"):
        assert part in str(caught.value)


def test_a_store_that_checks_creates_only_is_refused_as_well(
    s3_bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.gateways.test_lake.CONDITIONS", ("if-match",))
    with (
        proxy(s3_bucket.endpoint_url, conditions="ignored") as server,
        pytest.raises(SetupError, match="a replace with a wrong ETag was not refused"),
    ):
        on_s3(s3_bucket.uri, server.endpoint).check_conditional_writes()


def test_a_write_of_the_check_whose_answer_was_lost_proves_nothing_against_the_store(s3_bucket: Bucket) -> None:
    with proxy(s3_bucket.endpoint_url, conditions="answers lost") as server:
        on_s3(s3_bucket.uri, server.endpoint).check_conditional_writes()
    assert "lost" in server.calls


def test_a_check_that_could_not_reach_the_store_is_an_error_that_may_pass() -> None:
    with pytest.raises(LakeError) as caught:
        on_s3("s3://bucket", "http://127.0.0.1:9").check_conditional_writes()
    assert caught.value.retryable


@pytest.mark.parametrize("conditions", ["ignored", "not implemented"])
def test_where_runs_never_race_a_store_without_conditional_writes_will_do(s3_bucket: Bucket, conditions: str) -> None:
    with proxy(s3_bucket.endpoint_url, conditions=conditions) as server:
        lake = on_s3(s3_bucket.uri, server.endpoint, runs_never_race=True)
        lake.check_conditional_writes()
        assert server.calls == []
        etag = lake.create("entry", b"1")
        with pytest.raises(Conflict):
            lake.create("entry", b"2")
        newer = lake.replace("entry", b"3", etag=etag)
        with pytest.raises(Conflict):
            lake.replace("entry", b"4", etag=etag)
        assert lake.find("entry") is not None
        lake.replace("entry", b"5", etag=newer)
        assert lake.read("entry") == b"5"


def test_a_folder_keeps_its_promises_also_where_runs_never_race(tmp_path: Path) -> None:
    lake = Lake.in_folder(tmp_path, runs_never_race=True)
    lake.create("entry", b"1")
    with pytest.raises(Conflict):
        lake.create("entry", b"2")
