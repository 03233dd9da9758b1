"""The days of a usage report."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta

from include.enrichment.errors import ParamError

#: The length of a report without a range.
DAYS = 30
MOST_DAYS = 400


@dataclass(frozen=True, kw_only=True)
class ReportDays:
    """
    A range of UTC days.

    :param last: inclusive
    """

    first: date
    last: date

    def __len__(self) -> int:
        return (self.last - self.first).days + 1

    def __str__(self) -> str:
        return str(self.first) if len(self) == 1 else f"{self.first} to {self.last}"

    def all(self) -> list[date]:
        """Return each day, in order."""
        return [self.first + timedelta(days=number) for number in range(len(self))]


def report_days(*, first: object, last: object, today: date) -> ReportDays:
    """
    Return the days that a run's params ask for.

    :param first: a text like ``2026-11-21``; if empty, the report has 30 days
    :param last: likewise; if empty, yesterday
    :param today: in UTC

    Raises ParamError if one of them is not a date, ``last`` is before ``first``, or there are more than 400 days.
    """
    until = _day("last", last) if last else today - timedelta(days=1)
    since = _day("first", first) if first else until - timedelta(days=DAYS - 1)
    days = ReportDays(first=since, last=until)
    if until < since:
        raise _rejected(f"'last' ({until}) is before 'first' ({since})")
    if len(days) > MOST_DAYS:
        raise _rejected(f"{since} to {until} is {len(days):,} days, and a report has at most {MOST_DAYS}")
    return days


def newest_daily(made: Iterable[ReportDays]) -> ReportDays | None:
    """Return the newest of these reports that is as long as the daily one; None if there is none."""
    return max((days for days in made if len(days) == DAYS), key=lambda days: days.last, default=None)


def _day(name: str, value: object) -> date:
    try:
        day = date.fromisoformat(str(value))
        _ = day - timedelta(days=DAYS)
    except (ValueError, OverflowError):
        day = None
    if day is None or day.isoformat() != value:
        raise _rejected(f"{name!r} is {value!r} and must be a date like 2026-11-21")
    return day


def _rejected(fact: str) -> ParamError:
    return ParamError(f"The report's params: {fact}. Nothing was read or written. Choose other days.")
