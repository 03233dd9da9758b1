"""A format that the fields of the trigger form have beyond those of JSON Schema."""

from __future__ import annotations

from datetime import UTC, date, datetime

from jsonschema import FormatChecker

#: Reads as the end of the message that a person sees: "'2030-01-01' is not a 'day up to today (UTC)'".
DAY_UP_TO_TODAY = "day up to today (UTC)"


def register_formats() -> None:
    """Make Airflow's checks of params know the format, in this process; where it is not known, it passes any value."""
    FormatChecker.checkers[DAY_UP_TO_TODAY] = (is_begun, ())


def is_begun(value: object) -> bool:
    """Whether the value is a day that has begun in UTC. What is no date at all is for the format ``date`` to reject."""
    try:
        day = date.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        day = None
    return day is None or day <= datetime.now(UTC).date()
