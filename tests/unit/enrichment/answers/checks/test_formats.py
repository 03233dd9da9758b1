from __future__ import annotations

import pytest

from include.enrichment.answers.checks.formats import Format


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("url", "https://example.com/a?b=c#d"),
        ("url", "http://münchen.example/straße"),
        ("email", "someone@example.com"),
        ("json", '{"a": [1, 2]}'),
        ("html", "<p>One<p>Two <b>bold</b><br><img src=x>"),
        ("html", "<ul><li>a<li>b</ul> plain &amp; simple"),
        ("html", "no tags, 1 < 2"),
    ],
)
def test_a_valid_text_passes(name: str, text: str) -> None:
    assert Format(["t"], name).problem(text, None) is None


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("url", "example.com", "is not a URL"),
        ("url", "ftp://example.com", "is not a URL"),
        ("url", "https://exa mple.com", "is not a URL"),
        ("url", " https://example.com ", "is not a URL: it contains white space"),
        ("email", "someone@", "is not an e-mail address: 'someone@'"),
        ("json", "{'a': 1}", "is not JSON"),
        ("json", "[" * 100_000, "is not JSON"),
        ("html", "<b>bold", "does not close <b>"),
        ("html", "<b><i>x</b></i>", "has </b> within <i> without its <b>"),
        ("html", "x</div>", "has </div> without its <div>"),
    ],
)
def test_an_invalid_text_fails(name: str, text: str, problem: str) -> None:
    assert (Format(["t"], name).problem(text, None) or "").startswith(problem)


@pytest.mark.parametrize("text", ["<![endif", "<![foo[x]]>", "<!x", "<![CDATA[x", "<!-- x", "<" * 1_000])
def test_a_malformed_declaration_is_judged_and_not_raised(text: str) -> None:
    assert (Format(["t"], "html").problem(text, None) or "is not HTML").startswith("is not HTML")
