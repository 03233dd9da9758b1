"""What faults do to a text is what the checks look for."""

from __future__ import annotations

import re

import pytest

from include.emulator.answers.bad_texts import lost_placeholder, too_long, with_invented_number, wrong_language
from include.emulator.answers.texts import Bounds, Wanted, write_text
from include.emulator.draws import Draws
from include.enrichment.answers.checks.placeholders import Placeholders

PLURAL = "{count, plural, one {# file of {owner}} other {# files of {owner}}}"
KEPT = [
    *("{count}", "{0}", "{}", "{{ name }}", "${plan}", "%{plan}", "%(size)d", "%s", "%1$s", "%@"),
    *("<b>", "</b>", '<a href="/x">', "<br/>", PLURAL, "{who, select, her {She} other {They}}"),
]


@pytest.mark.parametrize("kept", KEPT)
def test_a_lost_or_altered_placeholder_is_no_longer_there(kept: str) -> None:
    check = Placeholders(["text"], "source")
    facts = check.facts({"source": f"Save {kept} now"})
    texts = {write_text(lost_placeholder(Wanted(kept=(kept,)), Draws(start)), Draws(start)) for start in range(20)}
    assert all(check.problem(text, facts) for text in texts)
    assert len({text.partition(". ")[2] for text in texts}) == 2  # lost, and altered


def test_an_invented_number_is_not_even_part_of_one_in_the_request() -> None:
    request = " ".join(f"{number:,}" for number in range(0, 200_000, 7))
    digits = re.sub(r"\D", "", request)
    for start in range(50):
        (number,) = with_invented_number(request)(Wanted(), Draws(start)).kept
        assert len(number) >= 5
        assert number not in digits


def test_a_text_without_what_a_fault_spoils_stays_as_it_is() -> None:
    plain = Wanted(words=Bounds(least=5))
    assert [spoil(plain, Draws(1)) for spoil in (wrong_language, lost_placeholder, too_long)] == [plain] * 3
