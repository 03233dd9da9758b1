from __future__ import annotations

import pytest

from include.enrichment.answers.checks.texts.html import html_problem


@pytest.mark.parametrize(
    "text", ["<p>One<p>Two <b>bold</b><br><img src=x>", "1 < 2 and i <3 u", '<a title="a>b">x</a>', "AT&T &am", "a <"]
)
def test_html_without_mistakes_passes(text: str) -> None:
    assert html_problem(text) is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("some <b", "is not HTML: it ends within '<b'"),
        ("<a href='x>y</a>", 'is not HTML: it ends within "<a href=\'x>y</a>"'),
        ("<p>x</p", "is not HTML: it ends within '</p'"),
        ("<!-- x", "is not HTML: it ends within '<!-- x'"),
        ("<b text <i>x</i></b>", "does not end the tag <b"),
        ("<b>x", "does not close <b>"),
        ("x</b>", "has </b> without its <b>"),
    ],
)
def test_a_tag_that_is_cut_or_has_no_counterpart_is_a_mistake(text: str, problem: str) -> None:
    assert html_problem(text) == problem
