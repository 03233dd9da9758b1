"""deadline.py: when a run should have its answers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from include.enrichment.errors import ParamError
from include.enrichment.runs.deadline import check_deadline, check_deadline_param, deadline_of_run
from include.enrichment.runs.options import RunOptions, run_options
from include.enrichment.spec.settings import Limits

NIGHT = datetime(2026, 12, 1, 2, tzinfo=UTC)


def due(
    setting: str | None,
    param: str | None = None,
    *,
    run_type: str = "scheduled",
    run_after: datetime = NIGHT,
    now: datetime | None = None,
) -> datetime | None:
    return deadline_of_run(setting, param, run_type=run_type, run_after=run_after, now=now or run_after)


@pytest.mark.parametrize(
    ("text", "run_after", "expected"),
    [
        ("05:30", NIGHT, "2026-12-01T05:30"),
        ("01:30", NIGHT, "2026-12-02T01:30"),
        ("02:00", NIGHT, "2026-12-02T02:00"),
        ("05:30 Europe/Berlin", NIGHT, "2026-12-01T04:30"),
        # In winter, 23:30 UTC is the next day in Berlin.
        ("05:30 Europe/Berlin", NIGHT - timedelta(hours=2, minutes=30), "2026-12-01T04:30"),
        ("05:30 America/New_York", NIGHT, "2026-12-01T10:30"),
        # Summer time begins at 02:00 on that night, so 02:30 is at 03:30; it ends at 03:00, and 02:30 is the first one.
        ("02:30 Europe/Berlin", datetime(2026, 3, 28, 22, tzinfo=UTC), "2026-03-29T01:30"),
        ("02:30 Europe/Berlin", datetime(2026, 10, 24, 22, tzinfo=UTC), "2026-10-25T00:30"),
    ],
)
def test_a_time_of_day_is_the_first_one_after_the_run_may_start(text: str, run_after: datetime, expected: str) -> None:
    assert due(text, run_after=run_after) == datetime.fromisoformat(expected).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("run_type", "has_one"),
    [("scheduled", True), ("asset_triggered", True), ("backfill", False), ("manual", False)],
)
def test_only_scheduled_and_asset_triggered_runs_have_the_deadline_of_the_pipeline(
    run_type: str, has_one: bool
) -> None:
    assert (due("05:30", run_type=run_type) is not None) == has_one


@pytest.mark.parametrize("run_type", ["scheduled", "manual", "backfill"])
def test_the_deadline_of_a_run_replaces_that_of_the_pipeline_and_holds_for_any_run(run_type: str) -> None:
    assert due("05:30", "04:00", run_type=run_type) == NIGHT + timedelta(hours=2)
    assert due(None, "2026-12-01T04:00+01:00", run_type=run_type) == NIGHT + timedelta(hours=1)


def test_a_deadline_that_has_passed_when_the_run_begins_is_none() -> None:
    assert due("05:30", now=NIGHT + timedelta(hours=3)) is not None
    assert due("05:30", now=NIGHT + timedelta(hours=4)) is None


def test_without_a_deadline_there_is_none() -> None:
    assert due(None) is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("5:30", "is no time: write a time of day such as '05:30'"),
        ("25:00", "is no time"),
        ("05:30 Berlin/Europe", "is no time"),
        ("05:30 ../../etc", "is no time"),
        ("tomorrow", "is no time"),
        ("9999-12-31T23:59-12:00", "is no time"),
        ("2026-12-01T05:30", r"has no time zone: add one, for example '2026-12-01T05:30\+00:00' for UTC"),
    ],
)
def test_a_mistake_in_a_deadline_says_how_to_write_one(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        check_deadline(text)
    with pytest.raises(ParamError, match=why):
        run_options({"deadline": text}, others=[])


def test_a_moment_is_a_deadline_of_one_run_only() -> None:
    moment = "2026-12-01T05:30+00:00"
    assert check_deadline_param(moment) == moment
    with pytest.raises(ValueError, match="every run has the same deadline"):
        Limits(deadline=moment)


@pytest.mark.parametrize(
    ("limits", "why"),
    [
        # YAML 1.1 reads 10:30 without quotes as a number in base 60.
        ({"deadline": 630}, "is the number 630, as YAML reads a time without quotes"),
        ({"deadline": "05:30", "retry_passes": 0}, "needs retry_passes of 1 or more"),
    ],
)
def test_the_limits_reject_a_deadline_that_cannot_be_kept(limits: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Limits.model_validate(limits)


def test_the_deadline_of_a_run_needs_a_retry_pass_too() -> None:
    options = RunOptions(deadline="05:30")
    options.check_deadline(retry_passes=1, file="p/pipeline.yaml")
    with pytest.raises(ParamError, match=r"but p/pipeline.yaml has no retry pass, which would ask for"):
        options.check_deadline(retry_passes=0, file="p/pipeline.yaml")
