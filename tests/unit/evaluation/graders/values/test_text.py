"""graders/text.py: texts without what makes no difference."""

from __future__ import annotations

import pytest

from include.evaluation.graders.values.text import Ignored, Text


@pytest.mark.parametrize(
    ("expected", "answer", "ignore", "score"),
    [
        ("Café", "  CAFE\u0301 ", ["case", "space"], 1),
        ("Café", "cafe", ["case", "space"], 0),
        ("Café", "cafe", ["case", "accents"], 1),
        ("\ufb01ne", "fine", [], 1),
        ("Straße", "STRASSE", ["case"], 1),
        ("a b", "a  b", ["case"], 0),
        ("a b", "a\n b", ["space"], 1),
        ("Ltd., Smith & Co", "ltd smith co", ["case", "punctuation"], 1),
        ("state-of-the-art", "state of the art", ["punctuation"], 1),
        ("Ltd.", "Ltd", ["case", "space"], 0),
        ("42", 42, ["case"], 1),
        ("", "", [], 1),
    ],
)
def test_only_what_is_ignored_makes_no_difference(
    expected: str, answer: str, ignore: list[Ignored], score: int
) -> None:
    assert Text(ignore=ignore).grade(expected, answer).score == score


def test_case_and_space_are_ignored_unless_it_says_otherwise() -> None:
    assert Text().ignore == ["case", "space"]
