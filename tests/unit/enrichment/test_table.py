"""table.py: rows and outcomes become the published table and the rejects."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any, ClassVar
from uuid import UUID

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from include.enrichment.errors import SpecError, WarehouseError
from include.enrichment.outcome import OUTCOMES_SCHEMA, Outcome, OutcomeName, outcomes_batch
from include.enrichment.output_schema import OutputSchema
from include.enrichment.table import (
    ANSWERS_SCHEMA,
    KEY_TYPES,
    RESERVED_NAMES,
    SAMPLE,
    Shape,
    best_answers,
    key_fields,
    publishable,
    repeated_keys,
    row_keys,
    rows_batch,
    rows_schema,
)

OUTPUT = OutputSchema(
    {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "label": {"type": "string", "enum": ["bug", "billing"]},
            "tags": {"type": "array", "items": {"type": "string"}},
            "urgent": {"type": "boolean"},
            "due": {"type": "string", "format": "date"},
        },
    }
)
GOOD = '{"label":"bug","tags":["a","b"],"urgent":true,"due":"2026-11-30"}'
KEY = [pa.field("id", pa.int64(), nullable=False)]
SHAPE = Shape(keys=KEY, output=OUTPUT)


def _row(request_id: str | None = "r_1", problem: str | None = None, **key: Any) -> dict[str, Any]:
    return {"request_id": request_id, "params": None if problem else "{}", "problem": problem, **key}


def _batch(*rows: dict[str, Any], keys: list[pa.Field] = KEY) -> pa.RecordBatch:
    return rows_batch(rows, rows_schema(keys))


def _batch_answers(*outcomes: Outcome, batch_id: str = "msgbatch_1") -> pa.Table:
    """The answers of one batch, as the result store gives them."""
    table = pa.Table.from_batches([outcomes_batch(outcomes)], schema=OUTCOMES_SCHEMA)
    column = pa.array([batch_id] * table.num_rows, pa.string())
    return table.append_column(ANSWERS_SCHEMA.field("batch_id"), column).cast(ANSWERS_SCHEMA)


def _repairs(**repairs: str) -> pa.Table:
    """The repair of each request, by request id."""
    columns = [pa.array(column, pa.string()) for column in (repairs, repairs.values())]
    return pa.table(columns, names=["request_id", "repair_id"])


def _answers(*outcomes: Outcome, batch_id: str = "msgbatch_1") -> pa.Table:
    return best_answers([_batch_answers(*outcomes, batch_id=batch_id)], _repairs())


def _good(request_id: str = "r_1", output: str = GOOD) -> Outcome:
    return Outcome(request_id=request_id, outcome="succeeded", output=output, model="m")


def _bad(request_id: str, outcome: OutcomeName = "invalid", /, **fields: Any) -> Outcome:
    return Outcome(request_id=request_id, outcome=outcome, **{"reason": "not JSON", **fields})


def _publish(
    *batches: pa.RecordBatch, answers: pa.Table, shape: Shape = SHAPE
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    published: list[dict[str, Any]] = []
    rejected: list[dict[str, Any]] = []
    for good, bad in publishable(batches, answers, shape):
        assert good.schema == shape.table
        assert bad.schema == shape.rejects
        good.validate(full=True)
        bad.validate(full=True)
        published += good.to_pylist()
        rejected += bad.to_pylist()
    return published, rejected


class TestKeyFields:
    @pytest.mark.parametrize(
        ("value", "kind"),
        [
            ("a", "string"),
            (1, "int64"),
            (True, "boolean"),
            (date(2026, 11, 21), "date"),
            (datetime(2026, 11, 21, 5, tzinfo=UTC), "timestamp"),
            (UUID(int=5), "string"),
            (None, "string"),
        ],
    )
    def test_a_type_that_is_not_named_is_the_first_rows(self, value: object, kind: str) -> None:
        assert key_fields({"k": None}, {"k": value}) == [pa.field("k", KEY_TYPES[kind], nullable=False)]

    @pytest.mark.parametrize("kind", KEY_TYPES)
    @pytest.mark.parametrize("first_row", [None, {"k": "text"}, {"k": 1.5}])
    def test_a_type_that_is_named_is_taken_whatever_the_rows(self, kind: str, first_row: dict[str, Any] | None) -> None:
        assert key_fields({"k": kind}, first_row) == [pa.field("k", KEY_TYPES[kind], nullable=False)]

    def test_without_rows_a_key_is_text(self) -> None:
        assert key_fields({"k": None}, None) == [pa.field("k", pa.string(), nullable=False)]

    def test_columns_of_the_key_keep_the_specs_order(self) -> None:
        assert [field.name for field in key_fields({"b": None, "a": None}, {"a": 1, "b": 2, "c": 3})] == ["b", "a"]

    @pytest.mark.parametrize("value", [1.5, Decimal("1"), b"x", [1], {}, timedelta(1)])
    def test_a_value_without_an_obvious_type_asks_for_one(self, value: object) -> None:
        with pytest.raises(
            SpecError, match=rf"'k' comes from the warehouse as {type(value).__name__}.*key: {{k: int64}}"
        ):
            key_fields({"k": None}, {"k": value})


class TestRowsBatch:
    @pytest.mark.parametrize(
        ("kind", "value", "stored"),
        [
            ("string", "Grüße\0", "Grüße\0"),
            ("string", UUID(int=5), "00000000-0000-0000-0000-000000000005"),
            ("int64", -(2**63), -(2**63)),
            ("int64", 2**63 - 1, 2**63 - 1),
            ("int64", Decimal("7"), 7),
            ("int64", 7.0, 7),
            ("boolean", False, False),
            ("date", date(2026, 11, 21), date(2026, 11, 21)),
            ("timestamp", datetime(2026, 11, 21, 5), datetime(2026, 11, 21, 5, tzinfo=UTC)),  # noqa: DTZ001 (as databases give it)
            (
                "timestamp",
                datetime(2026, 11, 21, 5, tzinfo=timezone(timedelta(hours=2))),
                datetime(2026, 11, 21, 3, tzinfo=UTC),
            ),
        ],
    )
    def test_a_key_keeps_its_value(self, kind: str, value: object, stored: object) -> None:
        keys = [pa.field("k", KEY_TYPES[kind], nullable=False)]
        assert _batch(_row(k=value), keys=keys)["k"].to_pylist() == [stored]

    @pytest.mark.parametrize(
        ("kind", "value"),
        [
            ("string", 1),
            ("string", date(2026, 11, 21)),
            ("string", b"\xff"),
            ("string", "a\ud800"),
            ("int64", 2**63),
            ("int64", True),
            ("int64", 1.5),
            ("int64", Decimal("1.5")),
            ("int64", Decimal("NaN")),
            ("int64", float("nan")),
            ("int64", float("inf")),
            ("int64", "1"),
            ("int64", UUID(int=5)),
            ("boolean", 1),
            ("boolean", "true"),
            ("date", 1),
            ("date", 1.5),
            ("date", float("nan")),
            ("date", "2026-11-21"),
            ("date", datetime(2026, 11, 21, 5, tzinfo=UTC)),
            ("timestamp", 1),
            ("timestamp", float("nan")),
            ("timestamp", date(2026, 11, 21)),
            ("timestamp", "2026-11-21T05:00:00Z"),
        ],
    )
    def test_a_key_that_would_have_to_be_changed_is_refused(self, kind: str, value: object) -> None:
        keys = [pa.field("k", KEY_TYPES[kind], nullable=False)]
        with pytest.raises(
            WarehouseError, match=r"business key 'k' holds a value that is not .*Nothing was sent.*{k: …}"
        ):
            _batch(_row(k=value), keys=keys)

    def test_a_null_key_is_refused_with_its_count(self) -> None:
        with pytest.raises(WarehouseError, match=r"'id' is NULL in 2 of 3 rows.*Nothing was sent"):
            _batch(_row(id=None), _row(id=1), _row(id=None))

    def test_a_row_that_cannot_be_sent_keeps_its_reason(self) -> None:
        (row,) = _batch(_row(None, problem="too large", id=1)).to_pylist()
        assert row == {"id": 1, "request_id": None, "params": None, "problem": "too large"}

    def test_columns_that_are_not_of_the_key_stay_behind(self) -> None:
        assert _batch(_row(id=1, description="x")).schema.names == ["id", "request_id", "params", "problem"]

    def test_no_rows_are_an_empty_typed_batch(self) -> None:
        assert (_batch().num_rows, _batch().schema) == (0, rows_schema(KEY))

    def test_samples_of_a_row_are_told_apart_by_their_number(self) -> None:
        sampled = rows_schema(KEY, sampled=True)
        rows = rows_batch([_row(f"r_{number}", id=7, _sample=number) for number in (1, 2)], sampled)
        assert rows.schema.names == ["id", SAMPLE, "request_id", "params", "problem"]
        assert rows.select(["id", SAMPLE]).to_pylist() == [{"id": 7, SAMPLE: 1}, {"id": 7, SAMPLE: 2}]

    @pytest.mark.parametrize("sampled", [False, True])
    def test_the_key_of_rows_is_found_in_their_file(self, sampled: bool) -> None:
        keys = [pa.field("b", pa.string(), nullable=False), *KEY]
        number = [pa.field(SAMPLE, pa.int64(), nullable=False)] if sampled else []
        sink = pa.BufferOutputStream()
        pq.write_table(rows_schema(keys, sampled=sampled).empty_table(), sink)
        assert row_keys(pq.read_schema(pa.BufferReader(sink.getvalue()))) == [*keys, *number]


class TestRepeatedKeys:
    def test_a_unique_key_is_repeated_nowhere(self) -> None:
        assert repeated_keys(pa.table({"a": [1, 1, 2], "b": ["x", "y", "x"]})).num_rows == 0
        assert repeated_keys(pa.table({"a": pa.array([], pa.int64())})).num_rows == 0

    def test_the_most_frequent_stand_first_with_their_counts(self) -> None:
        keys = pa.table({"a": [1, 2, 2, 3, 3, 3], "b": ["x"] * 6})
        assert repeated_keys(keys).to_pylist() == [{"a": 3, "b": "x", "count": 3}, {"a": 2, "b": "x", "count": 2}]

    def test_keys_that_differ_in_one_column_are_two(self) -> None:
        assert repeated_keys(pa.table({"a": [1, 1], "b": ["x", "x "]})).num_rows == 0


class TestShape:
    def test_the_key_stands_first_then_the_output_then_the_origin(self) -> None:
        assert SHAPE.table == pa.schema(
            [
                pa.field("id", pa.int64(), nullable=False),
                pa.field("label", pa.string()),
                pa.field("tags", pa.list_(pa.string())),
                pa.field("urgent", pa.bool_()),
                pa.field("due", pa.date32()),
                pa.field("_request_id", pa.string()),
                pa.field("_batch_id", pa.string()),
                pa.field("_model", pa.string()),
            ]
        )
        reasons = ["outcome", "reason", "text", "cost_usd"]
        assert SHAPE.rejects.names == ["id", *reasons, "_request_id", "_batch_id", "_model"]
        assert SHAPE.rejects.field("cost_usd").type == pa.decimal128(18, 12)

    def test_a_sampled_row_has_its_number_in_the_key_of_both(self) -> None:
        shape = Shape(keys=row_keys(rows_schema(KEY, sampled=True)), output=OUTPUT)
        assert shape.table.names[:3] == ["id", SAMPLE, "label"]
        assert shape.rejects.names[:3] == ["id", SAMPLE, "outcome"]

    def test_every_column_beside_key_and_output_has_a_name_that_no_key_may_have(self) -> None:
        ours = {*rows_schema(KEY, sampled=True).names, *SHAPE.table.names, *SHAPE.rejects.names}
        ours -= {"id", *(field.name for field in OUTPUT.fields)}
        assert not {name for name in ours if not name.startswith("_")} - RESERVED_NAMES


#: From the best to the worst: what can be used, what was paid for, what was not.
UNBILLED: list[OutcomeName] = ["errored", "expired", "canceled", "missing"]
KINDS: list[OutcomeName] = ["succeeded", "invalid", *UNBILLED]


class TestBestAnswers:
    @staticmethod
    def _best(*batches: list[Outcome], **repairs: str) -> dict[str, tuple[str, str, str]]:
        """Outcome, batch and answered request of each request; the batches are b_0, b_1, …"""
        answers = [_batch_answers(*batch, batch_id=f"b_{number}") for number, batch in enumerate(batches)]
        best = best_answers(answers, _repairs(**repairs))
        lines = best.to_pylist()
        assert best.schema.names == [*ANSWERS_SCHEMA.names, "answered_request_id", "spent_usd"]
        found = {line["request_id"]: (line["outcome"], line["batch_id"], line["answered_request_id"]) for line in lines}
        assert len(found) == len(lines), "a request has two answers"
        return found

    @pytest.mark.parametrize("best_first", [True, False])
    @pytest.mark.parametrize(
        ("best", "worse"),
        [("succeeded", "invalid"), *((paid, unpaid) for paid in ("succeeded", "invalid") for unpaid in UNBILLED)],
    )
    def test_what_can_be_used_comes_before_what_was_paid_for_and_that_before_the_rest(
        self, best: OutcomeName, worse: OutcomeName, best_first: bool
    ) -> None:
        batches = [[_bad("r_1", best)], [_bad("r_1", worse)]]
        found = self._best(*(batches if best_first else batches[::-1]))
        assert found == {"r_1": (best, "b_0" if best_first else "b_1", "r_1")}

    @pytest.mark.parametrize("kind", KINDS)
    def test_of_several_alike_the_last_counts(self, kind: OutcomeName) -> None:
        assert self._best(*([_bad("r_1", kind)] for _ in range(3))) == {"r_1": (kind, "b_2", "r_1")}

    @pytest.mark.parametrize(
        ("first", "last"), [("errored", "expired"), ("missing", "errored"), ("expired", "missing")]
    )
    def test_what_was_not_paid_for_is_all_alike(self, first: OutcomeName, last: OutcomeName) -> None:
        assert self._best([_bad("r_1", first)], [_bad("r_1", last)]) == {"r_1": (last, "b_1", "r_1")}

    def test_each_request_has_its_own(self) -> None:
        batches = [_good("r_1"), _bad("r_2"), _bad("r_3", "expired")], [_good("r_3"), _bad("r_1", "errored")]
        assert self._best(*batches) == {
            "r_1": ("succeeded", "b_0", "r_1"),
            "r_2": ("invalid", "b_0", "r_2"),
            "r_3": ("succeeded", "b_1", "r_3"),
        }

    @pytest.mark.parametrize("repair_first", [True, False])
    @pytest.mark.parametrize("ended", ["succeeded", "invalid"])
    def test_the_answer_of_a_repair_is_the_last_word_on_the_request_it_repairs(
        self, ended: OutcomeName, repair_first: bool
    ) -> None:
        batches = [[_bad("r_1"), _good("r_2")], [_bad("again_1", ended)]]
        found = self._best(*(batches[::-1] if repair_first else batches), r_1="again_1", r_2="again_2")
        assert found["r_1"] == (ended, "b_0" if repair_first else "b_1", "again_1")
        assert found["r_2"][2] == "r_2"
        assert len(found) == 2

    @pytest.mark.parametrize("ended", UNBILLED)
    def test_a_repair_that_was_not_answered_leaves_the_invalid_answer_that_was_paid_for(
        self, ended: OutcomeName
    ) -> None:
        found = self._best([_bad("r_1")], [_bad("again_1", ended)], r_1="again_1")
        assert found == {"r_1": ("invalid", "b_0", "r_1")}

    def test_a_usable_answer_comes_before_a_repair_that_failed(self) -> None:
        found = self._best([_bad("r_1")], [_bad("again_1")], [_good("r_1")], r_1="again_1")
        assert found == {"r_1": ("succeeded", "b_2", "r_1")}

    @pytest.mark.parametrize("seed", range(30))
    def test_every_request_with_any_answer_gets_the_best_of_its_own(self, seed: int) -> None:
        luck = random.Random(seed)
        repairs = {f"r_{number}": f"again_{number}" for number in range(0, 20, 2)}
        asked = [*(f"r_{number}" for number in range(20)), *repairs.values()]
        batches = [
            [_bad(name, luck.choice(KINDS)) for name in luck.sample(asked, luck.randrange(len(asked)))]
            for _ in range(luck.randrange(6))
        ]
        expected: dict[str, tuple[int, str, str, str]] = {}
        for name in asked:
            request_id = name.replace("again", "r")
            for number, batch in enumerate(batches):
                for outcome in batch:
                    if outcome.request_id != name:
                        continue
                    rank = min(KINDS.index(outcome.outcome), 2)
                    # Later ones replace those that are alike, and repairs come after all requests.
                    if request_id not in expected or rank <= expected[request_id][0]:
                        expected[request_id] = (rank, outcome.outcome, f"b_{number}", name)
        assert self._best(*batches, **repairs) == {name: line[1:] for name, line in expected.items()}

    def test_the_whole_line_is_that_of_the_answer_that_was_chosen(self) -> None:
        chosen = _bad("r_1", text="hm", model="m", stop_reason="end_turn", input_tokens=5, output_tokens=7)
        (line,) = _answers(_bad("r_1", "errored", error_type="api_error"), chosen).to_pylist()
        fields = {name: getattr(chosen, name) for name in OUTCOMES_SCHEMA.names}
        assert line == fields | {"batch_id": "msgbatch_1", "answered_request_id": "r_1", "spent_usd": None}

    @pytest.mark.parametrize("batches", [[], [[]], [[], []]])
    def test_without_any_answer_there_is_an_empty_typed_table(self, batches: list[list[Outcome]]) -> None:
        assert self._best(*batches) == {}
        assert self._best(*batches, r_1="again_1") == {}


class TestPublishable:
    def test_an_answer_becomes_a_typed_line(self) -> None:
        published, rejected = _publish(_batch(_row(id=7)), answers=_answers(_good()))
        assert rejected == []
        assert published == [
            {
                "id": 7,
                "label": "bug",
                "tags": ["a", "b"],
                "urgent": True,
                "due": date(2026, 11, 30),
                "_request_id": "r_1",
                "_batch_id": "msgbatch_1",
                "_model": "m",
            }
        ]

    def test_rows_that_render_alike_share_one_answer(self) -> None:
        rows = _batch(*(_row(id=number) for number in range(3)))
        published, _ = _publish(rows, answers=_answers(_good()))
        assert [(row["id"], row["label"]) for row in published] == [(0, "bug"), (1, "bug"), (2, "bug")]

    def test_order_is_the_rows_and_not_the_answers(self) -> None:
        ids = ["r_3", "r_1", "r_2", "r_0"]
        rows = [_batch(_row(ids[0], id=0), _row(ids[1], id=1)), _batch(_row(ids[2], id=2), _row(ids[3], id=3))]
        published, _ = _publish(*rows, answers=_answers(*map(_good, sorted(ids))))
        assert [row["_request_id"] for row in published] == ids
        assert [row["id"] for row in published] == [0, 1, 2, 3]

    @pytest.mark.parametrize(
        ("row", "outcome", "reason", "text"),
        [
            (_row("r_invalid", id=1), "invalid", "not JSON", "hm"),
            (_row("r_errored", id=1), "errored", "api_error: Oops", None),
            (_row("r_expired", id=1), "expired", "24 hours", None),
            (_row("r_canceled", id=1), "canceled", "canceled", None),
            (_row("r_missing", id=1), "missing", "no line", None),
            (_row(None, problem="too large", id=1), "errored", "not sent: too large", None),
        ],
        ids=lambda value: value if isinstance(value, str) else None,
    )
    def test_a_row_without_an_output_is_a_reject_with_its_reason(
        self, row: dict[str, Any], outcome: str, reason: str, text: str | None
    ) -> None:
        answers = _answers(
            _bad("r_invalid", text="hm", model="m"),
            _bad("r_errored", "errored", reason="api_error: Oops"),
            _bad("r_expired", "expired", reason="24 hours"),
            _bad("r_canceled", "canceled", reason="canceled"),
            _bad("r_missing", "missing", reason="no line"),
            _good("r_else"),
        )
        published, rejected = _publish(_batch(row), answers=answers)
        assert published == []
        assert rejected == [
            {
                "id": 1,
                "outcome": outcome,
                "reason": reason,
                "text": text,
                "cost_usd": None if outcome == "invalid" else Decimal(0),
                "_request_id": row["request_id"],
                "_batch_id": "msgbatch_1" if row["request_id"] else None,
                "_model": "m" if outcome == "invalid" else None,
            }
        ]

    def test_every_row_is_in_exactly_one_of_the_two(self) -> None:
        kinds = ["r_1", "r_bad", "r_none", None]
        rows = [_row(kind, problem=None if kind else "too large", id=number) for number, kind in enumerate(kinds * 50)]
        answers = _answers(_good(), _bad("r_bad"), _bad("r_none", "expired"))
        published, rejected = _publish(_batch(*rows[:130]), _batch(*rows[130:]), answers=answers)
        assert (len(published), len(rejected)) == (50, 150)
        assert sorted(row["id"] for row in [*published, *rejected]) == list(range(200))
        assert [row["id"] for row in rejected] == sorted(row["id"] for row in rejected)

    def test_more_rows_than_are_worked_on_at_once_are_published_whole_and_in_order(self) -> None:
        rows = _batch(*(_row("r_1" if number % 3 else "r_bad", id=number) for number in range(12_000)))
        published, rejected = _publish(rows, answers=_answers(_good(), _bad("r_bad")))
        assert [row["id"] for row in published] == [number for number in range(12_000) if number % 3]
        assert [row["id"] for row in rejected] == list(range(0, 12_000, 3))

    def test_answers_of_several_batches_keep_their_origin(self) -> None:
        batches = [_batch_answers(_good("r_1"), batch_id="b_1"), _batch_answers(_good("r_2"), batch_id="b_2")]
        rows = _batch(_row("r_2", id=1), _row("r_1", id=2))
        published, _ = _publish(rows, answers=best_answers(batches, _repairs()))
        assert [row["_batch_id"] for row in published] == ["b_2", "b_1"]

    def test_a_row_whose_answer_was_repaired_names_the_request_that_was_answered(self) -> None:
        batches = [
            _batch_answers(_bad("r_1"), _bad("r_2"), _bad("r_3"), batch_id="b_1"),
            _batch_answers(_good("again_1"), _bad("again_2"), _bad("again_3", "expired"), batch_id="b_2"),
        ]
        answers = best_answers(batches, _repairs(r_1="again_1", r_2="again_2", r_3="again_3"))
        rows = _batch(*(_row(f"r_{number}", id=number) for number in (1, 2, 3)))
        published, rejected = _publish(rows, answers=answers)
        origin = [(row["id"], row["_request_id"], row["_batch_id"]) for row in [*published, *rejected]]
        assert origin == [(1, "again_1", "b_2"), (2, "again_2", "b_2"), (3, "r_3", "b_1")]

    def test_samples_of_a_row_are_published_each_with_its_own_answer(self) -> None:
        sampled = rows_schema(KEY, sampled=True)
        rows = rows_batch([_row(f"r_{number}", id=7, _sample=number) for number in (1, 2, 3)], sampled)
        shape = Shape(keys=row_keys(sampled), output=OUTPUT)
        answers = _answers(_good("r_1"), _bad("r_2"), _good("r_3", '{"label":"billing"}'))
        published, rejected = _publish(rows, answers=answers, shape=shape)
        assert [(row["id"], row[SAMPLE], row["label"]) for row in published] == [(7, 1, "bug"), (7, 3, "billing")]
        assert [(row["id"], row[SAMPLE]) for row in rejected] == [(7, 2)]

    def test_an_empty_portion_gives_two_empty_typed_tables(self) -> None:
        assert _publish(_batch(), answers=_answers()) == ([], [])
        assert len(list(publishable([_batch()], _answers(), SHAPE))) == 1

    def test_an_optional_property_that_is_left_out_is_null(self) -> None:
        published, _ = _publish(_batch(_row(id=1)), answers=_answers(_good(output='{"label":"bug"}')))
        assert (published[0]["label"], published[0]["tags"], published[0]["urgent"]) == ("bug", None, None)

    @pytest.mark.parametrize(
        "name",
        ["output", "model", "batch_id", "stop_reason", "error_type", "input_tokens", "answered_request_id", "größe"],
    )
    def test_a_key_may_be_called_like_a_column_of_the_answers(self, name: str) -> None:
        keys = [pa.field(name, pa.string(), nullable=False), *KEY]
        rows = _batch(_row(id=1, **{name: "mine"}), _row("r_2", id=2, **{name: "too"}), keys=keys)
        answers = _answers(_good(), _bad("r_2"))
        published, rejected = _publish(rows, answers=answers, shape=Shape(keys=keys, output=OUTPUT))
        assert (published[0][name], published[0]["id"], published[0]["_model"]) == ("mine", 1, "m")
        assert (rejected[0][name], rejected[0]["id"]) == ("too", 2)

    def test_columns_of_the_row_file_that_are_not_needed_may_be_left_out(self) -> None:
        rows = _batch(_row(id=1)).select(["id", "request_id", "problem"])
        published, _ = _publish(rows, answers=_answers(_good()))
        assert published[0]["id"] == 1


class TestCostOfRejects:
    #: A million tokens of Haiku 4.5 cost 1 dollar as input and 5 as output; all is half in a batch.
    USED: ClassVar[dict[str, int]] = {"input_tokens": 1_000, "output_tokens": 201}

    def _costs(self, *outcomes: Outcome) -> list[Decimal | None]:
        rows = _batch(*(_row(outcome.request_id, id=number) for number, outcome in enumerate(outcomes)))
        _, rejected = _publish(rows, answers=_answers(*outcomes))
        return [row["cost_usd"] for row in rejected]

    def test_an_invalid_answer_costs_what_its_tokens_cost(self) -> None:
        assert self._costs(_bad("r_1", model="claude-haiku-4-5", **self.USED)) == [Decimal("0.0010025")]

    def test_every_kind_of_token_counts(self) -> None:
        kinds = ["input", "cache_write_5m", "cache_write_1h", "cache_read", "output"]
        costs = self._costs(*(_bad(kind, model="claude-haiku-4-5", **{f"{kind}_tokens": 1_000}) for kind in kinds))
        assert costs == list(map(Decimal, ["0.0005", "0.000625", "0.001", "0.00005", "0.0025"]))

    @pytest.mark.parametrize("outcome", UNBILLED)
    def test_what_was_not_billed_costs_nothing_whatever_it_says(self, outcome: OutcomeName) -> None:
        assert self._costs(_bad("r_1", outcome, model="claude-haiku-4-5", **self.USED)) == [Decimal(0)]

    @pytest.mark.parametrize("model", ["claude-of-tomorrow", "", None])
    def test_where_the_price_is_not_known_the_cost_is_null_and_never_a_guess(self, model: str | None) -> None:
        assert self._costs(_bad("r_1", model=model, **self.USED)) == [None]

    def test_costs_of_several_kinds_stand_side_by_side_without_rounding(self) -> None:
        tiny = _bad("r_1", model="claude-haiku-5-5", cache_write_5m_tokens=1, cache_read_tokens=1)
        large = _bad("r_2", model="claude-opus-4-5", output_tokens=32_000)
        costs = self._costs(tiny, _bad("r_3", "expired"), _bad("r_4", model="x"), large)
        assert costs == [Decimal("0.0000000675"), Decimal(0), None, Decimal("0.4")]

    def test_rows_that_share_an_answer_each_show_its_cost(self) -> None:
        rows = _batch(_row(id=1), _row(id=2))
        _, rejected = _publish(rows, answers=_answers(_bad("r_1", model="claude-haiku-4-5", **self.USED)))
        assert [row["cost_usd"] for row in rejected] == [Decimal("0.0010025")] * 2

    def test_a_repair_that_is_no_better_costs_what_both_answers_cost(self) -> None:
        used = {"model": "claude-haiku-4-5", **self.USED}
        batches = [_batch_answers(_bad("r_1", **used)), _batch_answers(_bad("repair", **used), batch_id="msgbatch_2")]
        (line,) = best_answers(batches, _repairs(r_1="repair")).to_pylist()
        assert (line["answered_request_id"], line["spent_usd"]) == ("repair", 2 * Decimal("0.0010025"))
