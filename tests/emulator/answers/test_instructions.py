"""Which phrases of a description are instructions."""

from __future__ import annotations

import pytest

from include.emulator.answers.instructions import NONE, Instructions, read_instructions


@pytest.mark.parametrize(
    ("description", "asked"),
    [
        ("The text, 40 to 80 words, for the shop.", Instructions(words=(40, 80))),
        ("At most 155\ncharacters.", Instructions(characters=155)),
        ("at most `max_characters` characters", Instructions(characters="max_characters")),
        ("3 to 5 items", Instructions(items=(3, 5))),
        ("3 to 5 bullet points of 6 to 12 words each", Instructions(items=(3, 5), words=(6, 12))),
        ("In the language of the locale.", Instructions(language=True)),
        ("It keeps every placeholder.", Instructions(placeholders=True)),
        (
            "keeps every placeholder of the source text.",
            Instructions(placeholders=True, element=("source_text", "source-text", "source", "text")),
        ),
        ("80 to 40 words", Instructions(words=(80, 80))),
    ],
)
def test_a_phrase_is_an_instruction(description: str, asked: Instructions) -> None:
    assert read_instructions(description) == asked


@pytest.mark.parametrize(
    "description",
    [
        "",
        "One sentence of at most 20 words.",
        "Three to six search terms.",
        "In English.",
        "At most twenty characters.",
        "No placeholders.",
        None,
    ],
)
def test_other_words_are_none(description: object) -> None:
    assert read_instructions(description) == NONE
