"""The placeholders of a text, whole and in order."""

from __future__ import annotations

import pytest

from include.emulator.answers.placeholders import placeholders

PLURAL = "{count, plural, one {# file of {owner}} other {# <b>files</b>}}"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Delete {count} of {0}", ["{count}", "{0}"]),
        ("Hello {{ name }}, ${first} %{last}", ["{{ name }}", "${first}", "%{last}"]),
        ("%s wrote %1$s and %(size).2f of %d%%, 100% sure", ["%s", "%1$s", "%(size).2f", "%d"]),
        (
            'A <b>bold</b> <a href="/x?a=1">link</a><br/>',
            ["<b>", "</b>", '<a href="/x?a=1">', "</a>", "<br/>"],
        ),
        (f"You have {PLURAL}, {{who}}", [PLURAL, "{who}"]),
        ("{ not one } 1 < 2 > 0 {open", []),
    ],
)
def test_a_placeholder_is_found_as_it_stands(text: str, found: list[str]) -> None:
    assert list(placeholders(text)) == found
