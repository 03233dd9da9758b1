"""arguments.py: which texts are a pipeline and a day, and the messages for any others."""

from __future__ import annotations

from datetime import date

import pytest

from include.cli.command_arguments import check_pipeline, read_partition
from include.enrichment.errors import ParamError, PartitionError

EXAMPLE = "make run PIPELINE=catalogue PARTITION=2026-11-01"


def test_a_pipeline_is_known_by_its_folder_or_by_its_published_days() -> None:
    check_pipeline("catalogue", example=EXAMPLE)
    check_pipeline("tickets", published=["tickets"], example=EXAMPLE)
    known = r"Known: catalogue, catalogue_evaluation, invoices, "
    with pytest.raises(ParamError, match=rf"^There is no pipeline 'catalog'; did you mean 'catalogue'\? {known}"):
        check_pipeline("catalog", example=EXAMPLE)
    with pytest.raises(ParamError, match=rf"^PIPELINE is missing\. Example: make run .*\n{known}"):
        check_pipeline("", example=EXAMPLE)


def test_a_date_is_accepted() -> None:
    assert read_partition("2026-11-30", example=EXAMPLE).start == date(2026, 11, 30)


@pytest.mark.parametrize("text", ["2026-11-31", "2026-13-01", "2026-02-29"])
def test_a_day_that_does_not_exist_is_reported_as_such(text: str) -> None:
    with pytest.raises(PartitionError, match=rf"^PARTITION is '{text}'\. There is no such day\. Example: {EXAMPLE}$"):
        read_partition(text, example=EXAMPLE)


@pytest.mark.parametrize("text", ["yesterday", "20261101", "2026-11-1", "2026-11-01T00:00"])
def test_a_text_that_is_not_a_date_is_reported_with_an_example(text: str) -> None:
    with pytest.raises(
        PartitionError, match=rf"^PARTITION is '{text}'\. That is not a date like 2026-11-21\. Example: {EXAMPLE}$"
    ):
        read_partition(text, example=EXAMPLE)
