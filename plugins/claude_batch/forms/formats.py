"""
A format that the fields of the trigger form have beyond those of JSON Schema. To import this module makes Airflow's
checks of params know it; where it is not known, any value passes.
"""

from __future__ import annotations

from datetime import UTC, date, datetime

from jsonschema import FormatChecker

#: Reads as the end of the message that a person sees: "'2030-01-01' is not a 'day up to today (UTC)'".
DAY_UP_TO_TODAY = "day up to today (UTC)"


def is_begun(value: object) -> bool:
    """Whether the value is a day that has begun in UTC. What is no date at all is for the format ``date`` to reject."""
    try:
        day = date.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        day = None
    return day is None or day <= datetime.now(UTC).date()


FormatChecker.checkers[DAY_UP_TO_TODAY] = (is_begun, ())
