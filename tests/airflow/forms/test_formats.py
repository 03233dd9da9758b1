"""formats.py: the format of the form's day. test_params.py has the message."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from claude_batch.forms.formats import is_begun


def day(days_from_today: int) -> str:
    return f"{datetime.now(UTC) + timedelta(days=days_from_today):%Y-%m-%d}"


def test_a_day_passes_once_it_has_begun_in_utc() -> None:
    assert is_begun(day(-1))
    assert is_begun(day(0))
    assert not is_begun(day(2))


@pytest.mark.parametrize("value", [None, 7, "yesterday", "2026-13-01"])
def test_a_value_that_is_not_a_date_passes(value: object) -> None:
    assert is_begun(value)
