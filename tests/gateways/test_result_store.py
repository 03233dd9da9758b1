from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from include.enrichment.answers.outcome import OUTCOMES_SCHEMA, Outcome, OutcomeName, outcomes_batch
from include.enrichment.answers.table import ANSWERS_SCHEMA
from include.enrichment.batches.prior_results import COMPACT_SCHEMA
from include.enrichment.batches.usage import USAGE_COLUMNS
from include.enrichment.errors import EnrichmentError, LakeError, LoadError
from include.gateways import result_store
from include.gateways.lake import Lake, ObjectMissing
from include.gateways.result_store import Received, ResultStore, in_parts, lines
from tests.fixtures.usage import facts_of

COMPLETE = Outcome(
    request_id="x",
    outcome="invalid",
    output=None,
    reason="not JSON",
    error_type="t",
    text="hm \u2028☃",
    model="m",
    stop_reason="end_turn",
    input_tokens=1,
    cache_write_5m_tokens=2,
    cache_write_1h_tokens=3,
    cache_read_tokens=4,
    output_tokens=5,
    web_searches=6,
    inference_geo="us",
)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake.in_folder(tmp_path / "lake")


@pytest.fixture
def store(lake: Lake) -> ResultStore:
    return ResultStore(lake, pipeline="p")


@pytest.fixture
def load(store: ResultStore, tmp_path: Path) -> Callable[..., None]:
    """Publish outcomes as those of a batch."""

    def publish(
        batch_id: str, *outcomes: Outcome, raw: Iterable[bytes] = (b"raw bytes\n",), run_id: str | None = "r"
    ) -> None:
        store.publish(batch_id, received(tmp_path, outcomes, raw=raw, run_id=run_id))

    return publish


def received(
    folder: Path, outcomes: Iterable[Outcome], *, raw: Iterable[bytes] = (b"raw bytes\n",), run_id: str | None = "r"
) -> Received:
    with Received(folder, facts=facts_of(run_id=run_id)) as result:
        assert b"".join(part.data for part in result.parts(iter(raw))) == b"".join(raw)
        result.add(outcomes_batch(list(outcomes)))
    return result


def sent_by(store: ResultStore, batch_id: str) -> str | None:
    """Return the run that sent the batch, according to its results."""
    with tempfile.TemporaryDirectory() as folder:
        known = store.fetch(batch_id, Path(folder) / "results.parquet")
        return known.run_id if known else None


def some(*request_ids: str, outcome: OutcomeName = "succeeded") -> list[Outcome]:
    return [Outcome(request_id=request_id, outcome=outcome, stop_reason="end_turn") for request_id in request_ids]


def ids(*request_ids: str) -> pa.Array:
    return pa.array(request_ids, pa.string())


def write_old_results(lake: Lake, batch_id: str) -> None:
    """Write results of a version without ``error_type`` and without facts of the batch."""
    schema = pa.schema([field for field in OUTCOMES_SCHEMA if field.name != "error_type"])
    lines = [msgspec.structs.asdict(outcome) for outcome in (*some("x"), *some("y", outcome="errored"))]
    pq.write_table(pa.Table.from_pylist(lines, schema=schema), sink := pa.BufferOutputStream())
    lake.write(f"results/p/{batch_id}.parquet", sink.getvalue().to_pybytes())


def test_outcomes_added_in_several_parts_are_read_as_one_table(store: ResultStore, tmp_path: Path) -> None:
    known = [f"r{number}" for number in range(12_000)]
    with Received(tmp_path, facts=facts_of()) as result:
        for number in range(0, 12_000, 4_000):
            result.add(outcomes_batch(some(*known[number : number + 4_000])))
        result.add(outcomes_batch([]))
        result.add(outcomes_batch(some("x", outcome="expired")))
    store.publish("b1", result)
    assert store.outcome_counts("b1", of=["x", *known]) == {"succeeded": 12_000, "expired": 1}
    assert store.answers("b1", of=ids(*known, "x"))["request_id"].to_pylist() == [*known, "x"]


def test_results_of_other_requests_are_an_error(store: ResultStore, load: Callable[..., None]) -> None:
    load("b1", *some("x", "y"))
    for others in (["x"], ["x", "z"], ["x", "y", "z"], ["x", "y", "y"], []):
        with pytest.raises(LoadError, match="batch b1 is not its batch"):
            store.outcome_counts("b1", of=others)


def test_a_batch_that_is_not_loaded_has_no_counts_answers_or_raw_copy(store: ResultStore) -> None:
    assert store.outcome_counts("b1", of=["x"]) is None
    assert store.raw("b1") is None
    for read in (lambda: store.answers("b1", of=ids("x")), lambda: sent_by(store, "b1")):
        with pytest.raises(ObjectMissing):
            read()


def test_the_address_of_the_outcomes_is_their_file(lake: Lake, store: ResultStore, load: Callable[..., None]) -> None:
    load("b1", *some("x"))
    assert store.locate("b1") == lake.locate("results/p/b1.parquet")
    assert Path(store.locate("b1")).exists()


class TestLookUp:
    def test_it_finds_the_wanted_requests_in_every_batch_and_no_others(
        self, store: ResultStore, load: Callable[..., None]
    ) -> None:
        load("b1", *some("x", "y", "other"))
        load("b2", *some("other"))
        load("b3", Outcome(request_id="x", outcome="errored", error_type="api_error"), *some("another"))
        found = store.look_up({"x", "y", "unheard of"})
        lines = sorted(found.table.to_pylist(), key=lambda line: (line["request_id"], line["batch_id"]))
        assert [tuple(line.values()) for line in lines] == [
            ("x", "succeeded", None, "end_turn", "b1"),
            ("x", "errored", "api_error", None, "b3"),
            ("y", "succeeded", None, "end_turn", "b1"),
        ]
        assert found.table.schema == COMPACT_SCHEMA
        assert found.batches == ["b1", "b3"]

    def test_it_reads_more_batches_than_it_has_readers(self, store: ResultStore, load: Callable[..., None]) -> None:
        for number in range(30):
            load(f"b{number:02}", *some("x", f"r{number}"))
        assert store.look_up(["x"]).batches == [f"b{number:02}" for number in range(30)]
        assert store.look_up(["r7"]).failed_in({"r7"}) == {}

    def test_without_loaded_batches_it_finds_nothing(self, store: ResultStore) -> None:
        assert store.look_up(["x"]).table == COMPACT_SCHEMA.empty_table()

    def test_without_wanted_requests_it_reads_nothing(self, lake: Lake, store: ResultStore) -> None:
        lake.write("results/p/b1.parquet", b"garbage")
        assert store.look_up([]).table == COMPACT_SCHEMA.empty_table()

    def test_a_batch_of_other_requests_is_not_found(self, store: ResultStore, load: Callable[..., None]) -> None:
        load("b1", *some("other"))
        load("b2")
        assert store.look_up(["x"]).batches == []

    def test_batches_of_another_pipeline_are_not_found(self, lake: Lake, load: Callable[..., None]) -> None:
        load("b1", *some("x"))
        assert ResultStore(lake, pipeline="p2").look_up(["x"]).batches == []

    @pytest.mark.parametrize("wanted", [["x", "y"], {"x": 1, "y": 2}, {"x": 1, "y": 2}.keys(), frozenset({"x", "y"})])
    def test_the_wanted_ids_may_come_in_any_collection(
        self, store: ResultStore, load: Callable[..., None], wanted: Iterable[str]
    ) -> None:
        load("b1", *some("x", "z"))
        assert store.look_up(wanted).paid == {"x"}


class TestAnswers:
    def test_they_have_every_column_of_the_wanted_requests(self, store: ResultStore, load: Callable[..., None]) -> None:
        load("b1", *some("a"), COMPLETE, *some("z"))
        answers = store.answers("b1", of=ids("x", "elsewhere"))
        assert answers.schema == ANSWERS_SCHEMA
        assert answers.to_pylist() == [msgspec.structs.asdict(COMPLETE) | {"batch_id": "b1"}]

    @pytest.mark.parametrize("wanted", [(), ("elsewhere",)])
    def test_without_a_wanted_request_they_are_an_empty_typed_table(
        self, store: ResultStore, load: Callable[..., None], wanted: tuple[str, ...]
    ) -> None:
        load("b1", *some("x"))
        assert store.answers("b1", of=ids(*wanted)) == ANSWERS_SCHEMA.empty_table()

    def test_an_empty_batch_has_an_empty_table(self, store: ResultStore, load: Callable[..., None]) -> None:
        load("b1")
        assert store.outcome_counts("b1", of=[]) == {}
        assert store.answers("b1", of=ids("x")) == ANSWERS_SCHEMA.empty_table()


class TestOldResults:
    """Results of an earlier version remain usable: their requests are never paid for again."""

    def test_their_requests_are_found(self, lake: Lake, store: ResultStore, load: Callable[..., None]) -> None:
        write_old_results(lake, "b_old")
        load("b_new", *some("x"))
        found = store.look_up(["x", "y"])
        assert found.batches == ["b_new", "b_old"]
        assert found.paid == {"x"}
        assert found.failed == set()

    def test_their_answers_have_no_error_type(self, lake: Lake, store: ResultStore) -> None:
        write_old_results(lake, "b_old")
        answers = store.answers("b_old", of=ids("x", "y"))
        assert answers.schema == ANSWERS_SCHEMA
        assert answers.select(["request_id", "outcome", "error_type"]).to_pylist() == [
            {"request_id": "x", "outcome": "succeeded", "error_type": None},
            {"request_id": "y", "outcome": "errored", "error_type": None},
        ]

    def test_they_are_counted_and_have_no_run(self, lake: Lake, store: ResultStore) -> None:
        write_old_results(lake, "b_old")
        assert store.outcome_counts("b_old", of=["x", "y"]) == {"succeeded": 1, "errored": 1}
        assert sent_by(store, "b_old") is None

    def test_they_have_no_usage_facts(self, lake: Lake, store: ResultStore) -> None:
        write_old_results(lake, "b_old")
        known, outcomes = store.billed("b_old")
        assert (known, len(outcomes)) == (None, 2)


@pytest.mark.parametrize(
    "read",
    [
        lambda store: store.answers("b1", of=ids("x")),
        lambda store: store.outcome_counts("b1", of=[]),
        lambda store: store.look_up(["x"]),
        lambda store: sent_by(store, "b1"),
        lambda store: store.billed("b1"),
    ],
    ids=["answers", "outcome_counts", "look_up", "sent_by", "billed"],
)
@pytest.mark.parametrize("garbage", [b"", b"garbage", b"PAR1 is how a Parquet file begins and ends PAR1"])
def test_the_error_for_unreadable_results_names_the_remedy(
    lake: Lake, store: ResultStore, read: Callable[[ResultStore], object], garbage: bytes
) -> None:
    lake.write("results/p/b1.parquet", garbage)
    with pytest.raises(LakeError, match=r"b1\.parquet cannot be read.*clear the chunk's `load`") as caught:
        read(store)
    assert not caught.value.retryable


class TestReceived:
    def test_the_facts_of_a_batch_are_read_with_its_billed_columns(
        self, store: ResultStore, load: Callable[..., None]
    ) -> None:
        load("b1", COMPLETE)
        known, outcomes = store.billed("b1")
        assert known == facts_of()
        (line,) = outcomes.to_pylist()
        assert line == {name: getattr(COMPLETE, name) for name in USAGE_COLUMNS}

    def test_results_name_the_run_that_sent_the_batch(self, store: ResultStore, load: Callable[..., None]) -> None:
        load("b1", *some("x"), run_id="scheduled__2026-11-21T00:00:00+00:00 ☃")
        load("b2", *some("y"), run_id=None)
        assert sent_by(store, "b1") == "scheduled__2026-11-21T00:00:00+00:00 ☃"
        assert sent_by(store, "b2") is None

    @pytest.mark.parametrize(
        "raw", [[], [b"a"], [b"a\n", b"", b"b", b"\xff\0\n"], [b"12345678" * 100_000] * 4], ids=len
    )
    def test_the_raw_copy_is_identical_to_the_received_bytes(
        self, store: ResultStore, load: Callable[..., None], raw: list[bytes]
    ) -> None:
        load("b1", raw=raw)
        kept = store.raw("b1")
        assert kept is not None
        pieces = list(kept)
        assert b"".join(pieces) == b"".join(raw)
        assert all(0 < len(piece) <= 1 << 20 for piece in pieces)

    def test_each_part_is_kept_before_it_is_processed(
        self, tmp_path: Path, store: ResultStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(result_store, "_FIRST_PART_BYTES", 2)
        with Received(tmp_path, facts=facts_of()) as result:
            for _ in result.parts(iter([b"1\n", b"2\n", b"3\n"])):
                break
        store.publish("b1", result)
        assert list(store.raw("b1") or ()) == [b"1\n"]

    def test_nothing_is_on_the_lake_before_publish(self, lake: Lake, tmp_path: Path) -> None:
        received(tmp_path, some("x"))
        assert lake.list("") == []

    def test_the_raw_copy_is_written_before_the_outcomes(self, lake: Lake, store: ResultStore, tmp_path: Path) -> None:
        (tmp_path / "lake/results").write_bytes(b"")  # no results can be written here
        with pytest.raises(EnrichmentError):
            store.publish("b1", received(tmp_path, some("x")))
        assert store.raw("b1") is not None

    @pytest.mark.parametrize("cut_by_an_error", [True, False])
    def test_entering_it_again_starts_over(self, tmp_path: Path, store: ResultStore, cut_by_an_error: bool) -> None:
        result = Received(tmp_path, facts=facts_of())

        def receive(raw: Iterator[bytes], outcomes: list[Outcome], *, cut: bool) -> None:
            with result:
                list(result.parts(raw))
                result.add(outcomes_batch(outcomes))
                if cut:
                    raise LoadError("cut")

        try:
            receive(iter([b"first", b"try"]), some(*(f"old{number}" for number in range(6_000))), cut=cut_by_an_error)
        except LoadError:
            assert cut_by_an_error
        receive(iter([b"second"]), some("x"), cut=False)
        store.publish("b1", result)
        assert store.outcome_counts("b1", of=["x"]) == {"succeeded": 1}
        assert list(store.raw("b1") or ()) == [b"second"]

    def test_publishing_again_replaces_the_results(self, store: ResultStore, load: Callable[..., None]) -> None:
        load("b1", *some("x", outcome="missing"), raw=[b"1"], run_id="r-1")
        load("b1", *some("x"), raw=[b"2"], run_id="r-2")
        assert store.outcome_counts("b1", of=["x"]) == {"succeeded": 1}
        assert (list(store.raw("b1") or ()), sent_by(store, "b1")) == ([b"2"], "r-2")


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_lines_do_not_depend_on_where_pieces_end(size: int) -> None:
    body = "a\n\u2028b\r\n\nc".encode()
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    assert list(lines(pieces)) == [b"a\n", "\u2028b\r\n".encode(), b"\n", b"c"]


def test_a_body_is_split_into_parts_of_whole_lines_with_their_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(result_store, "_FIRST_PART_BYTES", 5)
    monkeypatch.setattr(result_store, "_PART_BYTES", 10)
    parts = list(in_parts(iter([b"1234567\n9", b"012\n456", b"78\n", b"1\n2\n3"])))
    assert [(part.data, part.first, part.lines) for part in parts] == [
        (b"1234567\n", 1, 1),  # the first is enough sooner
        (b"9012\n45678\n", 2, 2),
        (b"1\n2\n3", 4, 3),
    ]
