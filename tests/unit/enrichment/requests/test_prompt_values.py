"""prompt_values.py: a NULL, and a time without a zone."""

from __future__ import annotations

import operator
import time as clock
from datetime import UTC, date, datetime
from typing import Any

import pytest

from include.enrichment.requests.conversion import to_prompt_value
from include.enrichment.requests.prompt_values import NULL, UnsupportedValue


class TestNull:
    def test_it_is_the_empty_text_and_none(self) -> None:
        assert to_prompt_value(None) is NULL
        assert not NULL
        assert NULL == ""
        assert NULL == None  # noqa: E711
        assert None in [NULL]
        assert NULL in ["a", None]
        assert NULL != "None"
        assert NULL != 0

    def test_it_sorts_as_the_empty_text_and_cannot_be_compared_with_other_values(self) -> None:
        assert sorted(["b", NULL, "a"]) == ["", "a", "b"]
        assert NULL <= ""
        assert NULL >= ""
        for other in (5, 0.5, date(2026, 11, 1)):
            for compare in (operator.lt, operator.le, operator.gt, operator.ge):
                with pytest.raises(UnsupportedValue, match=f"NULL cannot be compared with {other}: give it a default"):
                    compare(NULL, other)
                with pytest.raises(UnsupportedValue, match=f"NULL cannot be compared with {other}: give it a default"):
                    compare(other, NULL)


def test_a_time_without_a_zone_counts_as_utc_in_every_time_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    clock.tzset()
    try:
        local: Any = to_prompt_value(datetime.fromisoformat("2026-11-01 08:00"))
        assert local.timestamp() == datetime(2026, 11, 1, 8, tzinfo=UTC).timestamp()
        assert str(local.astimezone()) == "2026-11-01 08:00:00+00:00"
    finally:
        monkeypatch.undo()
        clock.tzset()
