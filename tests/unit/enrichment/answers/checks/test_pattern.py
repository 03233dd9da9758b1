from __future__ import annotations

import time

import pytest

from include.enrichment.answers.checks.pattern import Pattern


def test_a_text_must_contain_a_wanted_pattern() -> None:
    check = Pattern(["title"], "^[A-ZÄÖÜ]", wanted=True)
    assert check.problem("Überschrift", None) is None
    assert check.problem("überschrift", None) == "does not match '^[A-ZÄÖÜ]'"


def test_a_text_must_not_contain_an_unwanted_one() -> None:
    check = Pattern(["title"], r"https?://\S+", wanted=False)
    assert check.problem("no link", None) is None
    assert check.problem("see http://a.example", None) == (
        r"contains 'http://a.example', which matches 'https?://\\S+'"
    )


@pytest.mark.parametrize("pattern", ["(", "(?=a)b", r"(a)\1", "a{5000}"])
def test_a_pattern_that_re2_does_not_have_is_a_mistake(pattern: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="is not a valid RE2 pattern, without lookaround"):
        Pattern(["title"], pattern, wanted=True)
    assert capfd.readouterr().err == ""


def test_a_pattern_that_would_backtrack_for_ever_takes_no_time() -> None:
    check = Pattern(["title"], "^(a+)+$", wanted=True)
    began = time.monotonic()
    assert check.problem("a" * 100_000 + "b", None) is not None
    assert time.monotonic() - began < 1
