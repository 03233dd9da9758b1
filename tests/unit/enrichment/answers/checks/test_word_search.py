from __future__ import annotations

import pytest

from include.enrichment.answers.checks.check import WordList
from include.enrichment.answers.checks.word_search import Forbidden, MustContain
from include.enrichment.requests.template import Template


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("the BEST bottle", "contains 'best'"),
        ("a bestseller", None),
        ("money\n  back, guaranteed", "contains 'money back'"),
        ("Heilt Schmerzen: GROSSES", "contains 'großes'"),
        ("这是最佳产品", "contains '最佳'"),
        ("최고의 제품", "contains '최고'"),
        ("the best of the best, money back", "contains 'best', 'money back'"),
        ("nothing", None),
    ],
)
def test_forbidden_words_are_found_as_whole_words_in_any_case(text: str, problem: str | None) -> None:
    words = WordList(words=["best", "money back", "großes", "最佳", "최고"])
    assert Forbidden(["title"], words).problem(text, None) == problem


def test_the_composition_of_letters_makes_no_difference() -> None:
    assert Forbidden(["t"], WordList(words=["café"])).problem("CAFE\u0301", None)
    assert Forbidden(["t"], WordList(words=["cafe\u0301"], case_sensitive=True)).problem("café", None)
    assert must_contain("{{ sku }}").problem("Cafe\u0301", ["CAFÉ"]) is None


@pytest.mark.parametrize("word", [" ", "\u00a0\n", "\0"])
def test_a_word_without_characters_is_a_mistake(word: str) -> None:
    with pytest.raises(ValueError, match="is only white space: give a word"):
        Forbidden(["t"], WordList(words=["best", word]))


def test_a_very_long_text_is_found_quickly_and_as_a_whole_word() -> None:
    long = "ab" * 10_000
    assert must_contain("{{ sku }}").problem(f"x{long} {long}", [long]) is None
    assert must_contain("{{ sku }}").problem(f"x{long} {long}y", [long])


def test_words_within_words_and_case_count_on_request() -> None:
    assert Forbidden(["t"], WordList(words=["best"], whole_words=False)).problem("a bestseller", None)
    check = Forbidden(["t"], WordList(words=["BEST"], case_sensitive=True))
    assert check.problem("best", None) is None
    assert check.problem("BEST", None)


def test_a_word_within_another_forbidden_one_is_found_too() -> None:
    check = Forbidden(["t"], WordList(words=["free", "free of charge", "of"]))
    assert check.problem("It is free of charge.", None) == "contains 'free', 'of', 'free of charge'"


def must_contain(*texts: str) -> MustContain:
    return MustContain(["title"], [Template(text, file="checks.yaml") for text in texts])


def test_a_text_must_contain_what_the_templates_make_of_the_row() -> None:
    check = must_contain("{{ sku }}", "{{ brand }} {{ size }} ml")
    facts = check.facts({"sku": "AB-12", "brand": "Acme", "size": 500})
    assert check.columns == ["sku", "brand", "size"]
    assert check.problem("The acme  500 ml bottle (ab-12)", facts) is None
    assert check.problem("The Acme 5000 ml bottle (AB-123)", facts) == "does not contain 'AB-12', 'Acme 500 ml'"


def test_what_is_empty_in_the_row_is_not_required() -> None:
    check = must_contain("{{ sku }}")
    assert check.problem("anything", check.facts({"sku": None})) is None
