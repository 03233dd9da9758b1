"""word_diff.py: the words in which an answer differs."""

from __future__ import annotations

import pytest

from include.reporting.evaluation.word_diff import word_diff


def _marked(expected: str, answer: str) -> str:
    signs = {"same": "{}", "added": "+{}+", "missing": "-{}-"}
    return "".join(signs[piece.kind].format(piece.text) for piece in word_diff(expected, answer))


@pytest.mark.parametrize(
    ("expected", "answer", "marked"),
    [
        ("a warm lamp", "a warm lamp", "a warm lamp"),
        ("a warm lamp", "a cosy lamp", "a -warm-+cosy+ lamp"),
        ("a warm, soft lamp", "a warm lamp", "a warm-, soft- lamp"),
        ("a warm soft desk lamp", "a cosy old desk lamp", "a -warm soft-+cosy old+ desk lamp"),
        ("price 1,234.50 EUR", "price 1,234.05 EUR", "price -1,234.50-+1,234.05+ EUR"),
        ("日本語の文章です", "日本語の文書です", "日本語の文-章-+書+です"),
    ],
)
def test_differing_words_are_marked(expected: str, answer: str, marked: str) -> None:
    assert _marked(expected, answer) == marked


def test_an_answer_with_little_in_common_is_marked_as_a_whole() -> None:
    assert _marked("Garden tools", "Toys") == "+Toys+"


def test_the_pieces_are_both_texts() -> None:
    expected, answer = "one two  three four, five six", "one 2 three, vier five six seven"
    pieces = word_diff(expected, answer)
    assert "".join(piece.text for piece in pieces if piece.kind != "missing") == answer
    assert "".join(piece.text for piece in pieces if piece.kind != "added") == expected


def test_no_text_is_no_piece() -> None:
    assert word_diff("", "") == word_diff("Toys", "") == []
