"""table.py: rows and outcomes become the published table and the rejects."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pyarrow as pa
import pytest

from include.enrichment.errors import SpecError, WarehouseError
from include.enrichment.outcome import OUTCOMES_SCHEMA, Outcome, outcomes_batch
from include.enrichment.output_schema import OutputSchema
from include.enrichment.table import (
    ANSWERS_SCHEMA,
    KEY_TYPES,
    Shape,
    key_fields,
    publishable,
    repeated_keys,
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


def _row(request_id: str | None = "r-1", problem: str | None = None, **key: Any) -> dict[str, Any]:
    return {"request_id": request_id, "params": None if problem else "{}", "problem": problem, **key}


def _batch(*rows: dict[str, Any], keys: list[pa.Field] = KEY) -> pa.RecordBatch:
    return rows_batch(rows, rows_schema(keys))


def _answers(*outcomes: Outcome, batch_id: str = "msgbatch_1") -> pa.Table:
    table = pa.Table.from_batches([outcomes_batch(outcomes)], schema=OUTCOMES_SCHEMA)
    column = pa.array([batch_id] * table.num_rows, pa.string())
    return table.append_column(ANSWERS_SCHEMA.field("batch_id"), column)


def _good(request_id: str = "r-1", output: str = GOOD) -> Outcome:
    return Outcome(request_id=request_id, outcome="succeeded", output=output, model="m")


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
        assert SHAPE.rejects.names == ["id", "outcome", "reason", "text", "_request_id", "_batch_id", "_model"]


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
                "_request_id": "r-1",
                "_batch_id": "msgbatch_1",
                "_model": "m",
            }
        ]

    def test_rows_that_render_alike_share_one_answer(self) -> None:
        rows = _batch(*(_row(id=number) for number in range(3)))
        published, _ = _publish(rows, answers=_answers(_good()))
        assert [(row["id"], row["label"]) for row in published] == [(0, "bug"), (1, "bug"), (2, "bug")]

    def test_order_is_the_rows_and_not_the_answers(self) -> None:
        ids = ["r-3", "r-1", "r-2", "r-0"]
        rows = [_batch(_row(ids[0], id=0), _row(ids[1], id=1)), _batch(_row(ids[2], id=2), _row(ids[3], id=3))]
        published, _ = _publish(*rows, answers=_answers(*map(_good, sorted(ids))))
        assert [row["_request_id"] for row in published] == ids
        assert [row["id"] for row in published] == [0, 1, 2, 3]

    @pytest.mark.parametrize(
        ("row", "outcome", "reason", "text"),
        [
            (_row("r-invalid", id=1), "invalid", "not JSON", "hm"),
            (_row("r-errored", id=1), "errored", "api_error: Oops", None),
            (_row("r-expired", id=1), "expired", "24 hours", None),
            (_row("r-canceled", id=1), "canceled", "canceled", None),
            (_row("r-elsewhere", id=1), "missing", "no batch of this run holds an answer for it", None),
            (_row(None, problem="too large", id=1), "errored", "not sent: too large", None),
        ],
        ids=lambda value: value if isinstance(value, str) else None,
    )
    def test_a_row_without_an_output_is_a_reject_with_its_reason(
        self, row: dict[str, Any], outcome: str, reason: str, text: str | None
    ) -> None:
        answers = _answers(
            Outcome(request_id="r-invalid", outcome="invalid", reason="not JSON", text="hm", model="m"),
            Outcome(request_id="r-errored", outcome="errored", reason="api_error: Oops"),
            Outcome(request_id="r-expired", outcome="expired", reason="24 hours"),
            Outcome(request_id="r-canceled", outcome="canceled", reason="canceled"),
            _good("r-else"),
        )
        published, rejected = _publish(_batch(row), answers=answers)
        assert published == []
        known = outcome != "missing" and row["request_id"] is not None
        assert rejected == [
            {
                "id": 1,
                "outcome": outcome,
                "reason": reason,
                "text": text,
                "_request_id": row["request_id"],
                "_batch_id": "msgbatch_1" if known else None,
                "_model": "m" if outcome == "invalid" else None,
            }
        ]

    def test_every_row_is_in_exactly_one_of_the_two(self) -> None:
        kinds = ["r-1", "r-bad", "r-nowhere", None]
        rows = [_row(kind, problem=None if kind else "too large", id=number) for number, kind in enumerate(kinds * 50)]
        answers = _answers(_good(), Outcome(request_id="r-bad", outcome="invalid", reason="x"))
        published, rejected = _publish(_batch(*rows[:130]), _batch(*rows[130:]), answers=answers)
        assert (len(published), len(rejected)) == (50, 150)
        assert sorted(row["id"] for row in [*published, *rejected]) == list(range(200))
        assert [row["id"] for row in rejected] == sorted(row["id"] for row in rejected)

    def test_answers_of_several_batches_keep_their_origin(self) -> None:
        answers = pa.concat_tables([_answers(_good("r-1"), batch_id="b-1"), _answers(_good("r-2"), batch_id="b-2")])
        published, _ = _publish(_batch(_row("r-2", id=1), _row("r-1", id=2)), answers=answers)
        assert [row["_batch_id"] for row in published] == ["b-2", "b-1"]

    def test_without_answers_every_row_is_missing(self) -> None:
        published, rejected = _publish(_batch(_row(id=1)), answers=ANSWERS_SCHEMA.empty_table())
        assert (published, [row["outcome"] for row in rejected]) == ([], ["missing"])

    def test_an_empty_portion_gives_two_empty_typed_tables(self) -> None:
        assert _publish(_batch(), answers=ANSWERS_SCHEMA.empty_table()) == ([], [])
        assert len(list(publishable([_batch()], ANSWERS_SCHEMA.empty_table(), SHAPE))) == 1

    def test_an_optional_property_that_is_left_out_is_null(self) -> None:
        published, _ = _publish(_batch(_row(id=1)), answers=_answers(_good(output='{"label":"bug"}')))
        assert (published[0]["label"], published[0]["tags"], published[0]["urgent"]) == ("bug", None, None)

    @pytest.mark.parametrize("name", ["output", "model", "batch_id", "stop_reason", "input_tokens", "label_", "größe"])
    def test_a_key_may_be_called_like_a_column_of_the_answers(self, name: str) -> None:
        keys = [pa.field(name, pa.string(), nullable=False), *KEY]
        rows = _batch(_row(id=1, **{name: "mine"}), _row("r-2", id=2, **{name: "too"}), keys=keys)
        published, rejected = _publish(rows, answers=_answers(_good()), shape=Shape(keys=keys, output=OUTPUT))
        assert (published[0][name], published[0]["id"], published[0]["_model"]) == ("mine", 1, "m")
        assert (rejected[0][name], rejected[0]["id"]) == ("too", 2)

    def test_columns_of_the_row_file_that_are_not_needed_may_be_left_out(self) -> None:
        rows = _batch(_row(id=1)).select(["id", "request_id", "problem"])
        published, _ = _publish(rows, answers=_answers(_good()))
        assert published[0]["id"] == 1
