"""When a run should have its answers: a time of day in pipeline.yaml, or a moment in the run's params."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from math import ceil
from zoneinfo import ZoneInfo

#: The types of run to which the deadline of pipeline.yaml applies. Nobody waits for a backfill by the hour, and a
#: person who starts a run sets its deadline in the form.
_EXPECTED_RUNS = ("scheduled", "asset_triggered")
_FORMS = "write a time of day such as '05:30' (UTC) or '05:30 Europe/Berlin'"


@dataclass(frozen=True, kw_only=True)
class _Daily:
    """A time of day in a time zone. Where the clock is put forward over it, it is as much later; else its first one."""

    at: time
    zone: ZoneInfo

    def next_after(self, moment: datetime) -> datetime:
        day = moment.astimezone(self.zone).date()
        for later in (0, 1):
            found = datetime.combine(day + timedelta(days=later), self.at, self.zone).astimezone(UTC)
            if found > moment:
                return found
        return found + timedelta(days=1)  # the first of them was moved by a change of the clock


def check_deadline(text: object) -> str:
    """
    Return the deadline of pipeline.yaml as it is: ``05:30`` or ``05:30 Europe/Berlin``.

    Raises ValueError for anything else.
    """
    if not isinstance(text, str):
        read = (
            f"is the number {text}, as YAML reads a time without quotes" if type(text) is int else "is no time of day"
        )
        raise ValueError(f"{read}: {_FORMS}")
    if not isinstance(_parse(text), _Daily):
        raise ValueError(f"{text!r} is one moment, and every run has the same deadline: {_FORMS}")
    return text


def check_deadline_param(text: str) -> str:
    """
    Return the deadline of one run as it is: as in pipeline.yaml, or a moment such as ``2026-12-01T05:30+01:00``.

    Raises ValueError for anything else.
    """
    _parse(text)
    return text


def deadline_of_run(
    setting: str | None, param: str | None, *, run_type: str, run_after: datetime, now: datetime
) -> datetime | None:
    """
    Return when a run should have its answers, UTC; None for a run without a deadline.

    A time of day is the first one after the run may start. A deadline that has passed is none: the run is late anyway,
    or was cleared long after.

    :param setting: ``limits.deadline``, for scheduled and asset-triggered runs
    :param param: that of the run, which replaces it and holds for any type of run
    :param run_type: Airflow's
    :param run_after: the moment from which Airflow may start the run
    """
    text = param or (setting if run_type in _EXPECTED_RUNS else None)
    if text is None:
        return None
    parsed = _parse(text)
    due_at = parsed if isinstance(parsed, datetime) else parsed.next_after(run_after)
    return due_at if due_at > now else None


def format_duration(duration: timedelta) -> str:
    """Return a duration in whole minutes, rounded up: ``12 min`` or ``1 h 12 min``."""
    minutes = ceil(duration / timedelta(minutes=1))
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min"


def _parse(text: str) -> _Daily | datetime:
    clock, _, zone = text.partition(" ")
    try:
        if re.fullmatch(r"\d\d:\d\d", clock):
            return _Daily(at=time.fromisoformat(clock), zone=ZoneInfo(zone.strip() or "UTC"))
        moment = datetime.fromisoformat(text)
        at = moment.astimezone(UTC)
    except (ValueError, KeyError, OSError, OverflowError):
        raise ValueError(f"{text!r} is no time: {_FORMS}") from None
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone: add one, for example '{text}+00:00' for UTC")
    return at
