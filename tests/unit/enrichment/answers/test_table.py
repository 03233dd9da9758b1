"""table.py: rows and outcomes become the published table and the rejects."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from include.enrichment.answers.outcome import Outcome, OutcomeName
from include.enrichment.answers.schema.column_names import RESERVED_NAMES
from include.enrichment.answers.schema.keys import KEY_TYPES, key_type
from include.enrichment.answers.schema.output_schema import OutputSchema
from include.enrichment.answers.table import (
    ANSWERED_SCHEMA,
    DOCUMENTS,
    SAMPLE,
    SCORE,
    WARNINGS,
    Shape,
    changed_types,
    repeated_keys,
    row_carried,
    row_keys,
    rows_batch,
    rows_schema,
    split_rows,
)
from include.enrichment.errors import WarehouseError

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


def _answered(*outcomes: Outcome | None, cost_usd: Decimal | None = Decimal(0)) -> pa.Table:
    """Return the results of as many rows; None for a row without a request."""
    lines = [
        {
            **{name: getattr(outcome, name) for name in ("outcome", "output", "reason", "text")},
            "_request_id": outcome.request_id,
            "_batch_id": "msgbatch_1",
            "_model": outcome.model,
            "_cost_usd": cost_usd,
        }
        if outcome
        else {}
        for outcome in outcomes
    ]
    return pa.Table.from_pylist(lines, schema=ANSWERED_SCHEMA)


def _good(request_id: str = "r_1", output: str = GOOD) -> Outcome:
    return Outcome(request_id=request_id, outcome="succeeded", output=output, model="m")


def _bad(request_id: str, outcome: OutcomeName = "invalid", /, **fields: Any) -> Outcome:
    return Outcome(request_id=request_id, outcome=outcome, **{"reason": "not JSON", **fields})


def _publish(
    rows: pa.RecordBatch, answered: pa.Table, shape: Shape = SHAPE
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    published, rejected = split_rows(pa.table(rows), answered, shape)
    assert published.schema == shape.table
    assert rejected.schema == shape.rejects
    published.validate(full=True)
    rejected.validate(full=True)
    return published.to_pylist(), rejected.to_pylist()


class TestChangedTypes:
    @pytest.mark.parametrize("kind", [*KEY_TYPES, "decimal(20,0)"])
    def test_the_type_of_the_manifest_has_not_changed(self, kind: str) -> None:
        shape = Shape(keys=[pa.field("id", key_type(kind), nullable=False)], output=OUTPUT)
        columns = {field.name: str(field.type) for field in shape.table}
        assert changed_types(shape.keys, columns) == []

    def test_each_changed_column_is_described_with_both_types(self) -> None:
        keys = [pa.field("a", pa.string()), pa.field("b", pa.int64()), pa.field("c", pa.date32())]
        changed = changed_types(keys, {"a": "int64", "b": "int64", "c": "timestamp[us, tz=UTC]"})
        assert changed == [
            "'a' is string, but was published as int64",
            "'c' is date32[day], but was published as timestamp[us, tz=UTC]",
        ]

    def test_a_new_key_column_has_not_changed(self) -> None:
        assert changed_types([pa.field("a", pa.string())], {"b": "int64"}) == []


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
        keys = [pa.field("k", key_type(kind), nullable=False)]
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
    def test_a_key_that_its_type_would_change_is_rejected(self, kind: str, value: object) -> None:
        keys = [pa.field("k", key_type(kind), nullable=False)]
        with pytest.raises(
            WarehouseError, match=r"key column 'k' has a value that is not .*: .*Nothing was sent.*{k: …}"
        ):
            _batch(_row(k=value), keys=keys)

    def test_null_keys_are_rejected_with_their_number(self) -> None:
        with pytest.raises(WarehouseError, match=r"'id' is NULL in 2 of the last 3 rows.*Nothing was sent"):
            _batch(_row(id=None), _row(id=1), _row(id=None))

    def test_a_row_that_cannot_be_sent_keeps_its_reason(self) -> None:
        (row,) = _batch(_row(None, problem="too large", id=1)).to_pylist()
        assert row == {"id": 1, "request_id": None, "params": None, "problem": "too large"}

    def test_columns_outside_the_key_are_left_out(self) -> None:
        assert _batch(_row(id=1, description="x")).schema.names == ["id", "request_id", "params", "problem"]

    def test_no_rows_are_an_empty_typed_batch(self) -> None:
        assert (_batch().num_rows, _batch().schema) == (0, rows_schema(KEY))

    def test_samples_of_a_row_differ_by_their_number(self) -> None:
        sampled = rows_schema(KEY, sampled=True)
        rows = rows_batch([_row(f"r_{number}", id=7, _sample=number) for number in (1, 2)], sampled)
        assert rows.schema.names == ["id", SAMPLE, "request_id", "params", "problem"]
        assert rows.select(["id", SAMPLE]).to_pylist() == [{"id": 7, SAMPLE: 1}, {"id": 7, SAMPLE: 2}]

    def test_documents_of_a_row_are_listed_after_its_request(self) -> None:
        schema = rows_schema(KEY, attached=True)
        rows = rows_batch([_row(id=7) | {DOCUMENTS: ["ab"]}, _row(id=8) | {DOCUMENTS: ()}], schema)
        assert rows.schema.names == ["id", "request_id", "params", "problem", DOCUMENTS]
        assert rows[DOCUMENTS].to_pylist() == [["ab"], []]
        assert row_keys(schema) == KEY

    @pytest.mark.parametrize("checked", [False, True])
    @pytest.mark.parametrize("sampled", [False, True])
    def test_the_key_is_found_in_the_file_of_the_rows(self, sampled: bool, checked: bool) -> None:
        keys = [pa.field("b", pa.string(), nullable=False), *KEY]
        number = [pa.field(SAMPLE, pa.int64(), nullable=False)] if sampled else []
        sink = pa.BufferOutputStream()
        pq.write_table(rows_schema(keys, sampled=sampled, checked=checked).empty_table(), sink)
        assert row_keys(pq.read_schema(pa.BufferReader(sink.getvalue()))) == [*keys, *number]


class TestRepeatedKeys:
    def test_unique_keys_are_not_repeated(self) -> None:
        assert repeated_keys(pa.table({"a": [1, 1, 2], "b": ["x", "y", "x"]})).num_rows == 0
        assert repeated_keys(pa.table({"a": pa.array([], pa.int64())})).num_rows == 0

    def test_the_most_frequent_keys_come_first_with_their_counts(self) -> None:
        keys = pa.table({"a": [1, 2, 2, 3, 3, 3], "b": ["x"] * 6})
        assert repeated_keys(keys).to_pylist() == [{"a": 3, "b": "x", "count": 3}, {"a": 2, "b": "x", "count": 2}]

    @pytest.mark.parametrize("kind", [*KEY_TYPES, "decimal(20,0)"])
    def test_a_repeated_key_is_found_in_any_order_and_of_any_type(self, kind: str) -> None:
        numbers = pa.array([1, 0, 1, 1, 0], pa.int32() if kind == "date" else pa.int64())
        values = pa.array([UUID(int=n) for n in numbers.to_pylist()]) if kind == "uuid" else numbers
        keys = pa.table({"count_all": values.cast(key_type(kind)), SAMPLE: [1, 1, 2, 1, 2]})
        (repeated,) = repeated_keys(keys).to_pylist()
        assert (repeated["count_all"], repeated[SAMPLE], repeated["count"]) == (keys["count_all"][0].as_py(), 1, 2)

    def test_a_key_repeated_in_another_chunk_is_found(self) -> None:
        portions = [pa.table({"a": [n, n + 1]}) for n in (7, 1, 8, 3)]
        assert repeated_keys(pa.concat_tables(portions)).to_pylist() == [{"a": 8, "count": 2}]

    def test_keys_that_differ_in_one_column_are_two(self) -> None:
        assert repeated_keys(pa.table({"a": [1, 1], "b": ["x", "x "]})).num_rows == 0


class TestShape:
    def test_the_columns_are_key_output_and_origin(self) -> None:
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
                pa.field("_cost_usd", pa.decimal128(18, 12)),
            ]
        )
        assert SHAPE.rejects.names == ["id", "outcome", "reason", "text", *SHAPE.table.names[-4:]]
        assert SHAPE.rejects.field("_cost_usd") == SHAPE.table.field("_cost_usd")

    def test_the_key_of_a_sampled_row_includes_its_number(self) -> None:
        shape = Shape(keys=row_keys(rows_schema(KEY, sampled=True)), output=OUTPUT)
        assert shape.table.names[:3] == ["id", SAMPLE, "label"]
        assert shape.rejects.names[:3] == ["id", SAMPLE, "outcome"]

    def test_warnings_follow_the_answer(self) -> None:
        warned = Shape(keys=KEY, output=OUTPUT, warned=True)
        assert [name for name in warned.table.names if name not in SHAPE.table.names] == [WARNINGS]
        assert warned.table.names.index(WARNINGS) == warned.table.names.index("_request_id") - 1
        assert warned.rejects == SHAPE.rejects

    def test_carried_columns_stand_between_key_and_output_and_are_told_apart_in_the_rows(self) -> None:
        carried = [pa.field("output", pa.string()), pa.field("price", pa.float64())]
        schema = rows_schema(KEY, carried=carried, sampled=True)
        assert schema.names == ["id", SAMPLE, "output", "price", "request_id", "params", "problem"]
        shape = Shape(keys=row_keys(schema), carried=row_carried(schema), output=OUTPUT)
        assert (shape.keys[0], *shape.carried) == (*KEY, *carried)
        assert shape.table.names[:5] == ["id", SAMPLE, "output", "price", "label"]
        assert shape.rejects.names[:5] == ["id", SAMPLE, "output", "price", "outcome"]

    def test_key_and_carried_columns_are_told_apart_by_what_they_say_of_themselves(self) -> None:
        carried = [pa.field("price", pa.float64(), nullable=False)]
        schema = rows_schema(KEY, carried=carried, checked=True)
        other = pa.field("facts", pa.string(), nullable=False)
        moved = pa.schema([other, *reversed(schema)])
        assert (row_keys(moved), row_carried(moved)) == (KEY, carried)
        written = pa.BufferOutputStream()
        pq.write_table(schema.empty_table(), written)
        assert row_keys(pq.read_schema(pa.BufferReader(written.getvalue()))) == KEY

    def test_the_rows_of_an_earlier_release_say_nothing_of_themselves(self) -> None:
        carried = [pa.field("price", pa.float64())]
        for checked in (False, True):
            schema = rows_schema(KEY, carried=carried, sampled=True, checked=checked)
            earlier = pa.schema([field.remove_metadata() for field in schema])
            assert [field.name for field in row_keys(earlier)] == ["id", SAMPLE]
            assert row_carried(earlier) == carried

    def test_a_score_follows_the_warnings_and_samples_have_the_outcome_too(self) -> None:
        shape = Shape(keys=KEY, output=OUTPUT, warned=True, scored=True)
        place = shape.table.names.index(WARNINGS)
        assert shape.table.names[place : place + 3] == [WARNINGS, SCORE, "_request_id"]
        assert shape.samples.names == [*shape.table.names, "_outcome", "_reason"]
        assert [field.name for field in shape.judged] == ["id", *(field.name for field in OUTPUT.fields), WARNINGS]
        assert SCORE not in shape.rejects.names

    def test_all_other_column_names_are_reserved(self) -> None:
        ours = {*rows_schema(KEY, sampled=True).names, *SHAPE.table.names, *SHAPE.rejects.names}
        ours -= {"id", *(field.name for field in OUTPUT.fields)}
        assert not {name for name in ours if not name.startswith("_")} - RESERVED_NAMES


class TestSplitRows:
    def test_an_answer_becomes_a_typed_line(self) -> None:
        answered = _answered(_good(), cost_usd=Decimal("0.0010025"))
        published, rejected = _publish(_batch(_row(id=7)), answered)
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
                "_cost_usd": Decimal("0.0010025"),
            }
        ]

    def test_rows_that_render_alike_share_one_answer(self) -> None:
        rows = _batch(*(_row(id=number) for number in range(3)))
        published, _ = _publish(rows, _answered(*[_good()] * 3))
        assert [(row["id"], row["label"]) for row in published] == [(0, "bug"), (1, "bug"), (2, "bug")]

    @pytest.mark.parametrize(
        ("outcome", "text"),
        [
            (_bad("r_1", text="hm", model="m"), "hm"),
            (_bad("r_1", "errored", reason="api_error: Oops"), None),
            (_bad("r_1", "expired", reason="24 hours"), None),
            (_bad("r_1", "canceled", reason="canceled"), None),
            (_bad("r_1", "missing", reason="no line"), None),
        ],
        ids=lambda value: value.outcome if isinstance(value, Outcome) else None,
    )
    @pytest.mark.parametrize("cost_usd", [None, Decimal(0), Decimal("0.0010025")])
    def test_a_row_without_an_output_is_a_reject_with_its_reason_and_its_cost(
        self, outcome: Outcome, text: str | None, cost_usd: Decimal | None
    ) -> None:
        published, rejected = _publish(_batch(_row(id=1)), _answered(outcome, cost_usd=cost_usd))
        assert published == []
        assert rejected == [
            {
                "id": 1,
                "outcome": outcome.outcome,
                "reason": outcome.reason,
                "text": text,
                "_request_id": "r_1",
                "_batch_id": "msgbatch_1",
                "_model": outcome.model,
                "_cost_usd": cost_usd,
            }
        ]

    def test_a_row_that_was_never_sent_is_a_reject_at_no_cost(self) -> None:
        published, rejected = _publish(_batch(_row(None, problem="too large", id=1)), _answered(None))
        assert published == []
        assert rejected == [
            {
                "id": 1,
                "outcome": "errored",
                "reason": "not sent: too large",
                "text": None,
                "_request_id": None,
                "_batch_id": None,
                "_model": None,
                "_cost_usd": Decimal(0),
            }
        ]

    def test_every_row_is_either_published_or_rejected(self) -> None:
        kinds = [_good(), _bad("r_bad"), _bad("r_none", "expired"), None]
        rows = [
            _row(kind.request_id if kind else None, problem=None if kind else "too large", id=number)
            for number, kind in enumerate(kinds * 50)
        ]
        published, rejected = _publish(_batch(*rows), _answered(*kinds * 50))
        assert [row["id"] for row in published] == list(range(0, 200, 4))
        assert [row["id"] for row in rejected] == [number for number in range(200) if number % 4]

    def test_a_row_whose_answer_is_lost_breaks_the_counts(self) -> None:
        assert _publish(_batch(_row(id=1)), _answered(None)) == ([], [])

    def test_each_sample_is_published_with_its_own_answer(self) -> None:
        sampled = rows_schema(KEY, sampled=True)
        rows = rows_batch([_row(f"r_{number}", id=7, _sample=number) for number in (1, 2, 3)], sampled)
        shape = Shape(keys=row_keys(sampled), output=OUTPUT)
        answered = _answered(_good("r_1"), _bad("r_2"), _good("r_3", '{"label":"billing"}'))
        published, rejected = _publish(rows, answered, shape)
        assert [(row["id"], row[SAMPLE], row["label"]) for row in published] == [(7, 1, "bug"), (7, 3, "billing")]
        assert [(row["id"], row[SAMPLE]) for row in rejected] == [(7, 2)]

    def test_no_rows_give_two_empty_typed_tables(self) -> None:
        assert _publish(_batch(), _answered()) == ([], [])

    def test_a_missing_optional_property_is_null(self) -> None:
        published, _ = _publish(_batch(_row(id=1)), _answered(_good(output='{"label":"bug"}')))
        assert (published[0]["label"], published[0]["tags"], published[0]["urgent"]) == ("bug", None, None)

    @pytest.mark.parametrize(
        "name",
        ["output", "model", "batch_id", "stop_reason", "error_type", "input_tokens", "cost_usd", "position", "größe"],
    )
    def test_a_key_may_have_the_name_of_an_answer_column(self, name: str) -> None:
        keys = [pa.field(name, pa.string(), nullable=False), *KEY]
        rows = _batch(_row(id=1, **{name: "mine"}), _row("r_2", id=2, **{name: "too"}), keys=keys)
        published, rejected = _publish(rows, _answered(_good(), _bad("r_2")), Shape(keys=keys, output=OUTPUT))
        assert (published[0][name], published[0]["id"], published[0]["_model"]) == ("mine", 1, "m")
        assert (rejected[0][name], rejected[0]["id"]) == ("too", 2)

    def test_unneeded_columns_of_the_rows_may_be_missing(self) -> None:
        published, _ = _publish(_batch(_row(id=1)).select(["id", "request_id", "problem"]), _answered(_good()))
        assert published[0]["id"] == 1
