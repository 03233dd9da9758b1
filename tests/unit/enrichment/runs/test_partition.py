"""partition.py: the day a run reads and replaces."""

from __future__ import annotations

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from include.enrichment.errors import PartitionError
from include.enrichment.runs.partition import (
    Partition,
    check_daily,
    check_not_future,
    interval_warning,
    resolve_partition,
)

INTERVAL_START = datetime(2026, 11, 19, 2, tzinfo=UTC)


@pytest.mark.parametrize(
    ("param", "key", "interval_start", "day"),
    [
        ("2026-11-21", "2026-11-20", INTERVAL_START, "2026-11-21"),
        (None, "2026-11-20", INTERVAL_START, "2026-11-20"),
        ("", "2026-11-20", INTERVAL_START, "2026-11-20"),
        (None, None, INTERVAL_START, "2026-11-19"),
        (None, "", INTERVAL_START, "2026-11-19"),
        (None, None, datetime(2026, 11, 19, 23, 59, 59, tzinfo=UTC), "2026-11-19"),
        (None, None, datetime(2026, 11, 19, 0, 30, tzinfo=ZoneInfo("Europe/Berlin")), "2026-11-18"),
        ("2024-02-29", None, None, "2024-02-29"),
    ],
)
def test_the_param_precedes_the_key_and_the_key_the_interval(
    param: object, key: str | None, interval_start: datetime | None, day: str
) -> None:
    assert str(resolve_partition(param=param, partition_key=key, data_interval_start=interval_start)) == day


@pytest.mark.parametrize(
    ("param", "key", "published", "day"),
    [
        (None, None, ["2026-11-18"], "2026-11-18"),
        (None, None, ["2026-11-18", "2026-11-18"], "2026-11-18"),
        (None, "2026-11-20", ["2026-11-18"], "2026-11-20"),
        ("2026-11-21", None, ["2026-11-18", "2026-11-17"], "2026-11-21"),
    ],
)
def test_the_day_of_the_asset_event_comes_after_param_and_key_and_before_the_interval(
    param: object, key: str | None, published: list[object], day: str
) -> None:
    found = resolve_partition(param=param, partition_key=key, data_interval_start=INTERVAL_START, published=published)
    assert str(found) == day


def test_events_of_several_days_are_rejected_with_the_days() -> None:
    told = r'2 days were published.*: 2026-11-17, 2026-11-18\..*once for each.*\{"partition": "2026-11-17"\}'
    with pytest.raises(PartitionError, match=told):
        resolve_partition(
            param=None, partition_key=None, data_interval_start=None, published=["2026-11-18", "2026-11-17"]
        )


@pytest.mark.parametrize("day", ["yesterday", None, 20261101])
def test_an_event_whose_partition_is_no_day_is_rejected(day: object) -> None:
    with pytest.raises(
        PartitionError, match=r"the partition of the asset event that triggered the run is .* not a date"
    ):
        resolve_partition(param=None, partition_key=None, data_interval_start=None, published=[day])


def test_a_backfill_with_one_day_for_all_its_runs_is_rejected() -> None:
    with pytest.raises(PartitionError, match="is for 2026-11-19, but its param `partition` says 2026-11-21"):
        resolve_partition(param="2026-11-21", partition_key=None, data_interval_start=INTERVAL_START, backfill=True)
    its_own = resolve_partition(
        param="2026-11-19", partition_key=None, data_interval_start=INTERVAL_START, backfill=True
    )
    assert str(its_own) == "2026-11-19"


def test_a_run_without_a_partition_fails_and_says_how_to_name_one() -> None:
    with pytest.raises(PartitionError, match=r'has no partition.*Nothing was read.*\{"partition": "2026-11-21"\}'):
        resolve_partition(param=None, partition_key=None, data_interval_start=None)


@pytest.mark.parametrize(
    "text",
    [
        "20261121",
        "2026-W47-6",
        "2026-11-21T00:00:00",
        " 2026-11-21",
        "2026-11-21\n",
        "21.11.2026",
        "../2026-11-21",
        "today",
        "٢٠٢٦-١١-٢١",
        20261121,
        True,
        ["2026-11-21"],
    ],
)
def test_anything_but_an_exact_date_is_rejected(text: object) -> None:
    with pytest.raises(PartitionError, match=r"param `partition` is .* not a date like 2026-11-21"):
        resolve_partition(param=text, partition_key="2026-11-20", data_interval_start=INTERVAL_START)
    if isinstance(text, str):
        with pytest.raises(PartitionError, match=r"partition key is .* not a date"):
            resolve_partition(param=None, partition_key=text, data_interval_start=INTERVAL_START)


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (date(2026, 11, 21), date(2026, 11, 22)),
        (date(2026, 12, 31), date(2027, 1, 1)),
        (date(2024, 2, 28), date(2024, 2, 29)),
    ],
)
def test_a_partition_ends_before_the_next_day(start: date, end: date) -> None:
    assert Partition(start=start).end == end


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("dt={partition}/", "dt=2026-01-09/"),
        ("{year}/{month}/{day}/{partition}", "2026/01/09/2026-01-09"),
        ("{hour}{Day}{{day}}", "{hour}{Day}{09}"),
    ],
)
def test_only_known_placeholders_are_filled(text: str, filled: str) -> None:
    assert Partition(start=date(2026, 1, 9)).fill(text) == filled


MIDNIGHT = datetime(2026, 11, 19, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")


def warning(start: datetime | None, *, param: object = None, key: str | None = None) -> str:
    return interval_warning(param=param, partition_key=key, data_interval_start=start)


@pytest.mark.parametrize(
    ("start", "begins", "day"),
    [
        (MIDNIGHT.replace(hour=2), "2026-11-19 02:00:00 UTC", "2026-11-19"),
        (MIDNIGHT.replace(second=1), "2026-11-19 00:00:01 UTC", "2026-11-19"),
        (MIDNIGHT.replace(tzinfo=BERLIN), "2026-11-18 23:00:00 UTC", "2026-11-18"),
    ],
)
def test_an_interval_that_does_not_begin_at_midnight_utc_gives_a_warning_with_the_day(
    start: datetime, begins: str, day: str
) -> None:
    assert f"begins at {begins}, not at midnight" in warning(start)
    assert f"the run reads {day} from 00:00 to 24:00 UTC" in warning(start)
    assert str(resolve_partition(param=None, partition_key=None, data_interval_start=start)) == day


def test_no_warning_at_midnight_or_if_the_interval_does_not_decide() -> None:
    assert warning(None) == warning(MIDNIGHT) == warning(datetime(2026, 11, 19, 1, tzinfo=BERLIN)) == ""
    at_two = MIDNIGHT.replace(hour=2)
    assert warning(at_two, param="2026-11-21") == warning(at_two, key="2026-11-20") == ""


def test_a_future_day_is_rejected_and_today_is_not() -> None:
    today = date(2026, 11, 21)
    check_not_future(Partition(start=today), today=today)
    with pytest.raises(PartitionError, match=r"2030-01-01 is in the future \(today is 2026-11-21, UTC\).*Nothing was"):
        check_not_future(Partition(start=date(2030, 1, 1)), today=today)


@pytest.mark.parametrize("text", ["2026-11-31", "2026-02-30", "2026-13-01"])
def test_a_day_that_the_calendar_lacks_is_reported_as_such(text: str) -> None:
    with pytest.raises(PartitionError, match=rf"param `partition` is '{text}'\. There is no such day\. Nothing was"):
        resolve_partition(param=text, partition_key="2026-11-20", data_interval_start=INTERVAL_START)
    with pytest.raises(PartitionError, match=rf"partition key is '{text}'\. There is no such day\. Nothing was"):
        resolve_partition(param=None, partition_key=text, data_interval_start=INTERVAL_START)


@pytest.mark.parametrize("text", ["a/{partition}/", "{year}-{month}-{day}", "{partition}{year}"])
def test_a_text_with_the_whole_day_differs_from_day_to_day(text: str) -> None:
    check_daily(text)


@pytest.mark.parametrize("text", ["a/", "{year}/{month}/", "{month}/{day}/", "{partition}/{hour}/"])
def test_a_text_that_days_would_share_is_rejected(text: str) -> None:
    with pytest.raises(ValueError, match=r"must contain \{partition\}"):
        check_daily(text)
