from __future__ import annotations

import random

import pytest

from include.enrichment.answers.checks.texts.near_repeats import NearRepeats

LUCK = random.Random(7)
WORDS = ["".join(LUCK.choices("abcdefghilmnoprstu", k=LUCK.randint(2, 9))) for _ in range(2_000)]


def text(words: int) -> str:
    return " ".join(LUCK.choices(WORDS, k=words))


def changed(text: str, words: int) -> str:
    parts = text.split(" ")
    for place in LUCK.sample(range(len(parts)), words):
        parts[place] = LUCK.choice(WORDS)
    return " ".join(parts)


def candidates(*texts: str, group: int = 1) -> list[list[int]]:
    return NearRepeats().add(texts, [group] * len(texts), [True] * len(texts))


@pytest.mark.parametrize("words", [1, 2, 6, 12, 60, 400])
def test_the_same_text_is_found_and_an_unlike_one_is_not(words: int) -> None:
    one, other = text(words), text(words)
    assert candidates(one, other, one) == [[], [], [0]]


@pytest.mark.parametrize(("words", "changes"), [(12, 1), (30, 2), (60, 4)])
def test_a_text_with_a_few_other_words_is_found(words: int, changes: int) -> None:
    texts = [text(words) for _ in range(100)]
    found = candidates(*texts, *(changed(one, changes) for one in texts))
    assert sum(number in found[100 + number] for number in range(100)) >= 99


def test_texts_without_spaces_and_very_short_ones_are_found() -> None:
    assert candidates("这是一个结实的不锈钢瓶子可以保冷十二小时", "这是一个结实的不锈钢瓶子可以保冷二十小时")[1] == [0]
    assert candidates("a", "b", "a") == [[], [], [0]]


def test_texts_of_different_groups_are_not_compared() -> None:
    assert NearRepeats().add(["same text"] * 3, [1, 2, 1], [True] * 3) == [[], [], [0]]


def test_a_text_that_does_not_count_is_compared_and_not_found() -> None:
    assert NearRepeats().add(["same text"] * 3, [1] * 3, [True, False, True]) == [[], [0], [0]]
    assert NearRepeats().add(["same text"] * 2, [1] * 2, [False, True]) == [[], []]


@pytest.mark.parametrize("at_once", [1, 7, 1_200])
def test_how_many_texts_come_at_once_makes_no_difference(at_once: int) -> None:
    phrase = text(20)
    texts = [f"{text(5)} {phrase if number % 3 else phrase[:40]} {text(5)}" for number in range(300)]
    texts += [changed(one, 1) for one in texts] * 2
    repeats = NearRepeats()
    found: list[list[int]] = []
    for start in range(0, len(texts), at_once):
        part = texts[start : start + at_once]
        found += repeats.add(part, [1] * len(part), [number % 5 > 0 for number in range(start, start + len(part))])
    assert found == NearRepeats().add(texts, [1] * len(texts), [number % 5 > 0 for number in range(len(texts))])
    assert any(found)


def test_a_phrase_that_all_texts_share_makes_few_candidates() -> None:
    phrase = text(40)
    found = candidates(*(f"{text(10)} {phrase} {text(10)}" for _ in range(400)))
    assert sum(map(len, found)) < 400 * 30


def test_texts_that_are_not_unicode_do_no_harm() -> None:
    assert candidates("\ud800", "\ud800") == [[], [0]]
