"""partition_argument.py: which texts are a day, and the message for any other."""

from __future__ import annotations

from datetime import date

import pytest

from include.cli.partition_argument import read_partition
from include.enrichment.errors import PartitionError

EXAMPLE = date(2026, 11, 1)


def test_a_date_is_accepted() -> None:
    assert read_partition("2026-11-30", example=EXAMPLE).start == date(2026, 11, 30)


@pytest.mark.parametrize("text", ["2026-11-31", "2026-13-01", "2026-02-29"])
def test_a_day_that_does_not_exist_is_reported_as_such(text: str) -> None:
    with pytest.raises(PartitionError, match=rf"^PARTITION is '{text}'\. There is no such day\.$"):
        read_partition(text, example=EXAMPLE)


@pytest.mark.parametrize("text", ["yesterday", "20261101", "2026-11-1", "2026-11-01T00:00"])
def test_a_text_that_is_not_a_date_is_reported_with_an_example(text: str) -> None:
    with pytest.raises(PartitionError, match=rf"^PARTITION is '{text}'\. It must be a date, e\.g\. 2026-11-01\.$"):
        read_partition(text, example=EXAMPLE)
