"""
The additional JSON Schema formats of the trigger form.

Importing this module registers them with Airflow's param checks. Unregistered, a format accepts any value.
"""

from __future__ import annotations

from datetime import UTC, date, datetime

from jsonschema import FormatChecker

from include.enrichment.runs.deadline import check_deadline_param

#: Completes the message that users see: "'2030-01-01' is not a 'day up to today (UTC)'".
DAY_UP_TO_TODAY = "day up to today (UTC)"
TIME_OF_DEADLINE = "time such as 05:30, 05:30 Europe/Berlin or 2026-12-01T05:30+01:00"


def is_begun(value: object) -> bool:
    """Return False for a future day (UTC). Anything that is not a date passes: the format ``date`` rejects it."""
    try:
        day = date.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        day = None
    return day is None or day <= datetime.now(UTC).date()


def is_deadline(value: object) -> bool:
    """Return False for a text that is no deadline of a run. The type rejects what is not a text."""
    try:
        return not isinstance(value, str) or bool(check_deadline_param(value))
    except ValueError:
        return False


FormatChecker.checkers[DAY_UP_TO_TODAY] = (is_begun, ())
FormatChecker.checkers[TIME_OF_DEADLINE] = (is_deadline, ())
