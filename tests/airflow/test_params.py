from __future__ import annotations

import pytest
from airflow.sdk.exceptions import ParamValidationError

from claude_batch.params import PARTITION


@pytest.mark.parametrize("value", [None, "2026-11-21"])
def test_a_day_or_nothing_is_a_partition(value: str | None) -> None:
    assert PARTITION["partition"].resolve(value) == value


@pytest.mark.parametrize("value", ["yesterday", "2026-13-01", 7])
def test_anything_else_is_refused_by_the_form(value: object) -> None:
    with pytest.raises(ParamValidationError):
        PARTITION["partition"].resolve(value)
