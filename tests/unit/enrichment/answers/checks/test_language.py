from __future__ import annotations

import pytest

from include.enrichment.answers.checks.language import Language
from include.enrichment.errors import SpecError
from include.enrichment.requests.template import Template

TEXTS = {
    "de": "Die robuste Trinkflasche aus Edelstahl hält Getränke bis zu zwölf Stunden kalt.",
    "fr": "Cette bouteille en acier inoxydable garde vos boissons froides pendant douze heures.",
    "en": "This sturdy stainless steel bottle keeps your drinks cold for up to twelve hours.",
    "es": "Esta botella de acero inoxidable mantiene las bebidas frías hasta doce horas.",
    "it": "Questa robusta borraccia in acciaio mantiene le bevande fredde fino a dodici ore.",
    "nl": "Deze stevige fles van roestvrij staal houdt dranken tot twaalf uur lang koud.",
    "pl": "Ta solidna butelka ze stali nierdzewnej utrzymuje napoje w chłodzie do dwunastu godzin.",
    "ja": "このステンレスボトルは飲み物を十二時間冷たく保ちます。",
}


def language(tag: str) -> Language:
    where = "tickets/checks.yaml:3: a.language"
    return Language(["text"], Template(tag, file="tickets/checks.yaml"), where=where)


@pytest.mark.parametrize("written", TEXTS)
@pytest.mark.parametrize("wanted", TEXTS)
def test_a_text_must_have_the_wanted_language(written: str, wanted: str) -> None:
    found = language(wanted).problem(TEXTS[written], None)
    assert found == (None if written == wanted else f"is written in {written!r}, not in {wanted!r}")


@pytest.mark.parametrize("tag", ["de-DE", "de_AT", "DE", " de "])
def test_only_the_first_part_of_a_tag_counts(tag: str) -> None:
    assert language(tag).problem(TEXTS["de"], None) is None
    assert language(tag).problem(TEXTS["fr"], None) is not None


def test_the_language_may_come_from_the_row() -> None:
    check = language("{{ locale }}")
    assert check.columns == ["locale"]
    assert check.problem(TEXTS["fr"], check.facts({"locale": "fr-CA"})) is None
    assert check.problem(TEXTS["fr"], check.facts({"locale": "de-DE"})) == "is written in 'fr', not in 'de'"


def test_a_short_text_is_unsure_and_passes() -> None:
    assert language("de").problem("Stainless Steel Bottle Pro", None) is None


def test_norwegian_has_several_codes() -> None:
    text = "Denne solide flasken av rustfritt stål holder drikkevarene kalde i opptil tolv timer, og jeg liker den."
    assert language("nb-NO").problem(text, None) is None


def test_a_language_that_nobody_knows_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="'klingon' is not a known language"):
        language("klingon")


def test_a_row_without_a_language_stops_extract() -> None:
    with pytest.raises(SpecError, match=r"checks.yaml:3: a.language: the language is NULL or empty.*{{ locale or 'en'"):
        language("{{ locale }}").facts({"locale": None})


def test_an_unknown_language_of_a_row_stops_extract() -> None:
    with pytest.raises(SpecError, match=r"tickets/checks.yaml:3: a.language: 'tlh' is not a known language"):
        language("{{ locale }}").facts({"locale": "tlh"})
