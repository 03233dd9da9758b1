"""report_days.py: the days of a usage report."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from include.enrichment.cost.report_days import DAYS, MOST_DAYS, ReportDays, newest_daily, report_days
from include.enrichment.errors import ParamError

TODAY = date(2026, 11, 28)


def days(first: object = None, last: object = None) -> ReportDays:
    return report_days(first=first, last=last, today=TODAY)


def of(first: str, last: str) -> ReportDays:
    return ReportDays(first=date.fromisoformat(first), last=date.fromisoformat(last))


def test_the_default_is_the_thirty_days_up_to_yesterday() -> None:
    assert days() == of("2026-10-29", "2026-11-27")
    assert len(days()) == DAYS == len(days().all())


def test_a_missing_param_follows_from_the_other() -> None:
    assert days(last="2026-11-10") == of("2026-10-12", "2026-11-10")
    assert days(first="2026-11-20") == of("2026-11-20", "2026-11-27")


def test_a_report_may_cover_one_day_and_today() -> None:
    assert days("2026-11-28", "2026-11-28").all() == [TODAY]


def test_the_text_of_a_range_names_its_days() -> None:
    assert str(days("2026-11-20", "2026-11-27")) == "2026-11-20 to 2026-11-27"
    assert str(days("2026-11-27", "2026-11-27")) == "2026-11-27"


@pytest.mark.parametrize("text", ["yesterday", "2026-02-30", "2026-11-1", "20261101", "0001-01-02", 20261101])
@pytest.mark.parametrize("name", ["first", "last"])
def test_an_invalid_date_is_rejected(name: str, text: object) -> None:
    with pytest.raises(
        ParamError, match=f"'{name}' is .* and must be a date like 2026-11-21. Nothing was read or written"
    ):
        days(**{name: text})


def test_a_last_day_before_the_first_is_rejected() -> None:
    with pytest.raises(ParamError, match=r"'last' \(2026-11-01\) is before 'first' \(2026-11-02\)"):
        days("2026-11-02", "2026-11-01")


def test_more_than_400_days_are_rejected() -> None:
    most = TODAY - timedelta(days=MOST_DAYS - 1)
    assert len(days(str(most), str(TODAY))) == MOST_DAYS
    with pytest.raises(ParamError, match="is 401 days, and a report has at most 400"):
        days(str(most - timedelta(days=1)), str(TODAY))


def test_the_newest_daily_report_is_not_a_manual_one() -> None:
    daily = days(last="2026-11-10")
    assert newest_daily([daily, days(last="2026-11-09"), of("2026-11-01", "2026-11-28")]) == daily
    assert newest_daily([of("2026-11-01", "2026-11-28")]) is None
