"""Texts that follow the instructions of their description, made from the request."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import pytest
from rapidfuzz import fuzz

from include.emulator.answers.schema_values import compile_schema
from include.emulator.answers.source import Source
from include.emulator.answers.texts import phrasebook
from include.emulator.draws import Draws
from include.enrichment.answers.checks.length import count_characters, count_words
from include.enrichment.answers.checks.numbers import Numbers
from include.enrichment.answers.checks.placeholders import Placeholders

PRODUCT = (
    '<product name="kettle" locale="{locale}">\nA kettle of 1.7 litres that boils quickly, with a lid.\n</product>'
)
LANGUAGES = ["de", "en", "es", "fr", "it", "ja", "nl", "pl", "pt", "sv"]


def texts(description: str, question: str, count: int = 30) -> list[str]:
    """Return texts for a property with this description, each by other draws."""
    make = compile_schema({"type": "string", "description": description})
    return [make(Draws(start), Source(question)) for start in range(count)]


def in_locale(language: str) -> str:
    """Return a request in a locale of this language."""
    return PRODUCT.format(locale=f"{language}-{language.upper()}")


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(("least", "most"), [(3, 3), (6, 12), (40, 80)])
def test_a_text_has_as_many_words_as_asked(language: str, least: int, most: int) -> None:
    found = texts(f"{least} to {most} words, in the language of the locale", in_locale(language))
    assert all(least <= count_words(text) <= most and text.startswith("simulated") for text in found)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("most", [20, 60, 155])
def test_a_text_has_at_most_the_asked_characters(language: str, most: int) -> None:
    found = texts(f"at most {most} characters, in the language of the locale", in_locale(language))
    assert all(most // 2 <= count_characters(text) <= most for text in found)
    assert all(text.startswith("simulated") for text in found)


def test_an_element_of_the_request_may_say_how_many_characters() -> None:
    asked = "at most max_characters characters"
    assert all(len(text) <= 25 for text in texts(asked, "<string><max_characters>25</max_characters>Save</string>"))
    assert any(len(text) > 60 for text in texts(asked, "<string>Save</string>"))


def test_the_bounds_of_words_and_of_characters_hold_together() -> None:
    for text in texts("4 to 30 words, at most 60 characters", PRODUCT):
        assert 4 <= count_words(text) <= 30
        assert count_characters(text) <= 60


@pytest.mark.parametrize(
    ("question", "language"),
    [
        ('<product locale="de-DE" market="fr-FR">', "de"),
        ("Locale: **pl**. Write well.", "pl"),
        ("<locale>nl_NL</locale>", "nl"),
        ("For the shop sv-SE.", "sv"),
        ("locale=ja-JP", "ja"),
        ("locale: fi-FI", None),
        ("it is a text of no locale", None),
    ],
)
def test_the_language_is_that_of_the_locale(question: str, language: str | None) -> None:
    assert Source(question).language == language


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_text_is_made_of_the_phrases_of_its_language(language: str) -> None:
    subjects = phrasebook()[language].subjects
    for text in texts("10 to 20 words, in the language of the locale", in_locale(language)):
        assert any(subject in text for subject in subjects)


def test_each_language_has_as_many_phrases() -> None:
    assert sorted(phrasebook()) == LANGUAGES
    for phrases in phrasebook().values():
        assert (len(set(phrases.subjects)), len(set(phrases.predicates)), len(set(phrases.endings))) == (8, 14, 14)


def test_texts_for_different_draws_are_not_alike() -> None:
    found = texts("40 to 80 words, in the language of the locale", in_locale("de"), 60)
    assert max(fuzz.ratio(one, other) for one, other in combinations(found, 2)) < 90


def test_a_text_has_no_number_that_the_request_lacks() -> None:
    check = Numbers(["text"], ["question"])
    known = check.facts({"question": PRODUCT})
    assert all(check.problem(text, known) is None for text in texts("40 to 80 words", PRODUCT))


STRINGS = {
    "simple": "Delete {count} of {{ total }} files?",
    "printf": "%s wrote %(size)d bytes on %1$s",
    "tags": 'Read <a href="/terms">the <b>terms</b></a><br/>',
    "plural": "{count, plural, one {# file of {owner}} other {# files of {owner}}} deleted",
    "select": "{who, select, her {She} him {He} other {They}} agreed to ${plan}",
    "none": "Save",
}


@pytest.mark.parametrize("source", STRINGS.values(), ids=STRINGS)
@pytest.mark.parametrize("element", ["source_text", "source", "text"])
def test_a_text_keeps_the_placeholders_of_the_named_element_only(source: str, element: str) -> None:
    check = Placeholders(["text"], "source")
    question = f'<string locale="de-DE" max="{{most}}">\n<{element}>{source}</{element}>\n<b>note</b>\n</string>'
    asked = "in the language of the locale; keeps every placeholder of the source text"
    for text in texts(asked, question):
        assert check.problem(text, check.facts({"source": source})) is None


def test_without_the_name_of_an_element_all_placeholders_are_kept() -> None:
    (text,) = texts("keeps every placeholder", "<i>Delete {count}</i>", 1)
    assert text.endswith(". <i> {count} </i>")


def test_placeholders_count_against_the_length() -> None:
    question = "<source>Delete {count} of <b>{total}</b> files</source>"
    for text in texts("8 to 12 words, at most 90 characters; keeps every placeholder of the source", question):
        assert 8 <= count_words(text) <= 12
        assert count_characters(text) <= 90
        assert text.endswith(" {count} <b> {total} </b>")


@pytest.mark.parametrize("items", [{"type": "string"}, {"anyOf": [{"type": "string"}]}, {"$ref": "#/$defs/text"}])
def test_a_list_has_as_many_items_as_asked_and_each_of_them_follows_its_description(
    items: Mapping[str, object],
) -> None:
    description = "3 to 5 bullet points of 6 to 12 words, in the language of the locale"
    make = compile_schema(
        {"type": "array", "items": items, "description": description, "$defs": {"text": {"type": "string"}}}
    )
    found = [make(Draws(start), Source(in_locale("fr"))) for start in range(30)]
    assert {len(value) for value in found} == {3, 4, 5}
    assert all(6 <= count_words(text) <= 12 for value in found for text in value)


def test_a_description_of_the_items_wins_over_that_of_their_list() -> None:
    items = {"type": "string", "description": "2 to 3 words"}
    make = compile_schema({"type": "array", "items": items, "description": "1 to 1 items of 6 to 12 words"})
    assert all(2 <= count_words(make(Draws(start), Source(PRODUCT))[0]) <= 3 for start in range(30))


def test_a_description_without_instructions_changes_nothing() -> None:
    bare = compile_schema({"type": "array", "items": {"type": "string"}})
    told = compile_schema({"type": "array", "items": {"type": "string"}, "description": "At most 20 words each."})
    for start in range(30):
        assert bare(Draws(start), Source(PRODUCT)) == told(Draws(start), Source(PRODUCT))


def test_an_enum_and_a_format_win_over_the_description() -> None:
    for schema in ({"enum": ["lid"]}, {"type": "string", "format": "date"}, {"type": "string", "pattern": "^x$"}):
        plain, told = compile_schema(schema), compile_schema({**schema, "description": "40 to 80 words"})
        assert plain(Draws(1), Source(PRODUCT)) == told(Draws(1), Source(PRODUCT))


def test_what_the_user_says_after_the_first_answer_is_no_source_of_placeholders() -> None:
    make = compile_schema({"type": "string", "description": "keeps every placeholder"})
    source = Source("Delete {count}\nIt lacks {total}", question="Delete {count}")
    assert make(Draws(1), source).endswith(". {count}")


def test_an_enum_value_agrees_with_what_the_tools_did() -> None:
    actions = ["refund_filed", "left_to_a_person"]
    tools = {"look_up_orders": True, "file_refund": True}
    assert Source("", acts=tools).agreeing(actions) == ["refund_filed"]
    assert Source("", acts={**tools, "file_refund": False}).agreeing(actions) == ["left_to_a_person"]
    assert Source("", acts=tools).agreeing(["a", "b"]) == ["a", "b"]
    assert Source("").agreeing(actions) == actions
