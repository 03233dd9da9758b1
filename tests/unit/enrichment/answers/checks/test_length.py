from __future__ import annotations

import pytest

from include.enrichment.answers.checks.check import Bounds
from include.enrichment.answers.checks.kind import Answers
from include.enrichment.answers.checks.length import (
    Items,
    Length,
    count_characters,
    count_sentences,
    count_words,
)


@pytest.mark.parametrize("text", ["👩‍👩‍👧", "👍🏽", "🇩🇪", "क्षि", "ё"])
def test_what_a_reader_sees_as_one_character_is_one(text: str) -> None:
    assert count_characters(text) == 1


def test_a_composed_letter_is_one_character() -> None:
    assert count_characters("e\u0301te\u0301") == count_characters("été") == 3


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", 0),
        ("  — ! ", 0),
        ("One two,three", 2),
        ("It's a state-of-the-art bottle", 4),
        ("for 1,299.00 €", 2),
        ("für größere Hände", 3),
        ("这是瓶子", 4),
        ("물병 하나", 2),
    ],
)
def test_words_are_counted_as_people_count_them(text: str, words: int) -> None:
    assert count_words(text) == words


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("", 0),
        ("No full stop", 1),
        ("One. Two! Three?", 3),
        ("It costs 12.50 today.", 1),
        ('He said "Stop." Then he left…', 2),
        ("これは瓶です。丈夫です。", 2),
    ],
)
def test_sentences_end_with_a_mark_before_white_space(text: str, sentences: int) -> None:
    assert count_sentences(text) == sentences


@pytest.mark.parametrize(
    ("bounds", "problem"),
    [
        (Bounds(min=2, max=3), None),
        (Bounds(max=1), "has 2 words; at most 1 are allowed"),
        (Bounds(min=3), "has 2 words; at least 3 are required"),
    ],
)
def test_both_bounds_are_inclusive(bounds: Bounds, problem: str | None) -> None:
    assert Length(["title"], bounds, unit="words").problem("two words", None) == problem


def test_the_items_of_a_list_are_counted() -> None:
    answers = Answers(texts=["", "", ""], values=[{"bullets": ["a"] * number} for number in (2, 3, 6)])
    assert Items(["bullets"], Bounds(min=3, max=5)).problems([None] * 3, answers) == [
        "bullets has 2 items; at least 3 are required",
        None,
        "bullets has 6 items; at most 5 are allowed",
    ]
