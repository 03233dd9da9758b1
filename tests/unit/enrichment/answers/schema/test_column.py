"""column.py: the stored value in a column, and values that no column holds."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from include.enrichment.answers.schema.column import converter, storage_problems
from include.enrichment.answers.schema.json_schema import Schema
from include.enrichment.answers.schema.kind import kind_of

MOMENT: Schema = {"type": "string", "format": "date-time"}
DAY: Schema = {"type": "string", "format": "date"}


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-01T10:00:00Z", datetime(2026, 11, 1, 10, tzinfo=UTC)),
        ("2026-11-01t10:00:00z", datetime(2026, 11, 1, 10, tzinfo=UTC)),
        ("2026-11-01T10:00:00.1z", datetime(2026, 11, 1, 10, 0, 0, 100_000, UTC)),
        ("2026-11-01T10:00:00.1234567891234Z", datetime(2026, 11, 1, 10, 0, 0, 123_456, UTC)),
        ("2026-11-01T10:00:00-00:00", datetime(2026, 11, 1, 10, tzinfo=UTC)),
        ("2026-11-01T23:59:00+23:59", datetime(2026, 11, 1, 0, 0, tzinfo=UTC)),
        ("2016-12-31T23:59:60Z", datetime(2017, 1, 1, tzinfo=UTC)),
        ("2017-01-01t05:29:60.25+05:30", datetime(2017, 1, 1, 0, 0, 0, 250_000, UTC)),
        ("0001-01-01T00:00:00Z", datetime(1, 1, 1, tzinfo=UTC)),
        ("9999-12-31T23:59:59.999999999Z", datetime(9999, 12, 31, 23, 59, 59, 999_999, UTC)),
    ],
)
def test_every_rfc_3339_time_is_stored(text: str, moment: datetime) -> None:
    convert = converter(kind_of(MOMENT, {}))
    assert convert is not None
    assert convert(text) == moment


@pytest.mark.parametrize(
    ("schema", "value", "fact"),
    [
        (MOMENT, "0000-06-30T10:00:00Z", "'0000-06-30T10:00:00Z' is not a time in the years 1 to 9999 UTC"),
        (MOMENT, "0001-01-01T00:00:00+00:01", "is not a time in the years 1 to 9999 UTC"),
        (MOMENT, "9999-12-31T23:59:60Z", "is not a time in the years 1 to 9999 UTC"),
        (DAY, "0000-01-01", "'0000-01-01' is not a date in the years 1 to 9999"),
        ({"type": "integer"}, 2**63, "9223372036854775808 does not fit a 64-bit integer"),
        ({"type": "integer"}, 1e300, "does not fit a 64-bit integer"),
        ({"type": "number"}, 10**400, "does not fit a 64-bit float"),
    ],
)
def test_a_value_outside_its_column_is_reported_with_the_bounds(schema: Schema, value: object, fact: str) -> None:
    convert = converter(kind_of(schema, {}))
    assert convert is not None
    with pytest.raises(ValueError, match=fact):
        convert(value)


@pytest.mark.parametrize(
    ("schema", "problems"),
    [
        ({"enum": [1, 2**63 - 1, -(2**63)]}, 0),
        ({"enum": [1, 2**63]}, 1),
        ({"const": -(2**63) - 1}, 1),
        ({"anyOf": [{"const": 2**63}, {"type": "integer"}]}, 1),
        ({"type": "array", "items": {"enum": [2**64]}}, 1),
        ({"type": "integer", "enum": [1, 2.5, "a", 2**63]}, 1),
        ({"enum": [2**53 + 1, 0.5]}, 1),
        ({"enum": [2**63, 0.5, 2**53]}, 0),
        ({"enum": [10**400, 0.5]}, 1),
        ({"anyOf": [{"const": 2**63}, {"type": "string"}]}, 0),
        ({**DAY, "enum": ["2026-11-01", "0000-01-01", "n/a"]}, 2),
        ({"anyOf": [DAY, {"enum": ["n/a"]}]}, 0),
        ({"enum": [date(2026, 11, 1).isoformat(), True, None]}, 0),
    ],
)
def test_a_named_value_that_its_column_cannot_hold_is_reported(schema: Schema, problems: int) -> None:
    assert len(set(storage_problems(kind_of(schema, {})))) == problems
