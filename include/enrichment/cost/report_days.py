"""Which days a usage report is about."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta

from include.enrichment.errors import ParamError

#: A report without a range has so many days.
DAYS = 30
#: A page of more days would be no page any more.
MOST_DAYS = 400


@dataclass(frozen=True, kw_only=True)
class ReportDays:
    """
    Days of UTC.

    :param last: belongs to them
    """

    first: date
    last: date

    def __len__(self) -> int:
        return (self.last - self.first).days + 1

    def __str__(self) -> str:
        return str(self.first) if len(self) == 1 else f"{self.first} to {self.last}"

    def all(self) -> list[date]:
        """Each of them, in order."""
        return [self.first + timedelta(days=number) for number in range(len(self))]


def report_days(*, first: object, last: object, today: date) -> ReportDays:
    """
    The days that a run's params mean, each of them a text such as ``2026-11-21``. Without ``last`` they end with
    yesterday, whose runs have just been; without ``first`` there are 30 of them.

    Raises ParamError if one is not a date, the last is before the first, or there would be more than 400.

    :param today: of UTC
    """
    until = _day("last", last) if last else today - timedelta(days=1)
    since = _day("first", first) if first else until - timedelta(days=DAYS - 1)
    days = ReportDays(first=since, last=until)
    if until < since:
        raise _refused(f"'last' is {until}, which is before 'first', {since}")
    if len(days) > MOST_DAYS:
        raise _refused(f"{since} to {until} are {len(days):,} days, and a report has at most {MOST_DAYS}")
    return days


def newest_daily(made: Iterable[ReportDays]) -> ReportDays | None:
    """Of these reports the newest that is of as many days as the daily one is; None if there is none."""
    return max((days for days in made if len(days) == DAYS), key=lambda days: days.last, default=None)


def _day(name: str, value: object) -> date:
    try:
        day = date.fromisoformat(str(value))
        _ = day - timedelta(days=DAYS)
    except (ValueError, OverflowError):
        day = None
    if day is None or day.isoformat() != value:
        raise _refused(f"{name!r} is {value!r}, which is not a date like 2026-11-21")
    return day


def _refused(fact: str) -> ParamError:
    return ParamError(f"The report's params: {fact}. Nothing was read or written. Give other days.")
