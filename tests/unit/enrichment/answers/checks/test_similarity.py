from __future__ import annotations

import pytest

from include.enrichment.answers.checks.check import Check, Difference
from include.enrichment.answers.checks.similarity import DiffersFrom

SOURCE = "A robust bottle that keeps drinks cold for twelve hours."


def problem(text: str, source: str | None = SOURCE, at_most: float = 0.9) -> str | None:
    check = DiffersFrom(["text"], Difference(column="source", at_most=at_most))
    return check.problem(text, check.facts({"source": source}))


@pytest.mark.parametrize("text", [SOURCE, SOURCE.upper(), f"  {SOURCE}\n", SOURCE.replace("cold", "cool")])
def test_a_text_that_nearly_repeats_the_source_fails(text: str) -> None:
    assert "% the same as source; at most 90 % is allowed" in (problem(text) or "")


def test_a_text_of_its_own_passes() -> None:
    assert problem("Cold drinks all day: this flask takes every knock.") is None
    assert problem(SOURCE, source=None) is None
    assert problem(SOURCE, source="") is None


def test_the_limit_is_a_setting() -> None:
    changed = SOURCE.replace("twelve hours", "a day")
    assert problem(changed, at_most=0.95) is None
    assert problem(changed, at_most=0.7) is not None


def test_a_column_alone_has_the_default_limit() -> None:
    check = Check.model_validate({"name": "a", "field": "text", "differs_from": "source"})
    assert check.differs_from == Difference(column="source", at_most=0.9)
