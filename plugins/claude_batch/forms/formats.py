"""
The additional JSON Schema format of the trigger form.

Importing this module registers the format with Airflow's param checks. Unregistered, the format accepts any value.
"""

from __future__ import annotations

from datetime import UTC, date, datetime

from jsonschema import FormatChecker

#: Completes the message that users see: "'2030-01-01' is not a 'day up to today (UTC)'".
DAY_UP_TO_TODAY = "day up to today (UTC)"


def is_begun(value: object) -> bool:
    """Return False for a future day (UTC). Anything that is not a date passes: the format ``date`` rejects it."""
    try:
        day = date.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        day = None
    return day is None or day <= datetime.now(UTC).date()


FormatChecker.checkers[DAY_UP_TO_TODAY] = (is_begun, ())
