from __future__ import annotations

import pytest

from include.enrichment.answers.checks.texts.markdown import markdown_problem

GOOD = """\
# Steel bottle

- **keeps** drinks *cold*, see [the shop](https://example.com "Shop") and ![a bottle](bottle.png)
- costs 2 * 3 or 2 ** 3, as in `a[0](b` <br> and \\[not a link](

  ~~~sh
  echo "[a](b"
  ~~~

> ```
> quoted **
> ```

| a | b |
|---|---|
| 1 | 2 |

<div>

**x**

</div>
"""


@pytest.mark.parametrize(
    "text", [GOOD, GOOD.replace("\n", "\r\n"), "", "plain text", "a [x] (y) b[0][1]", "1 < 2", "[a]: http://x\n\n[a]"]
)
def test_markdown_without_mistakes_passes(text: str) -> None:
    assert markdown_problem(text) is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("```py\nx = 1", "the block of code that begins with '```py' does not end"),
        ("- a\n\n  ```\n  x\n\nb", "the block of code that begins with '```' does not end"),
        ("see [the shop](https://exa mple.com)", "'[the shop](https://exa mple.com)' is not a link or an image"),
        ("![a](b", "'[a](b' is not a link or an image"),
        ("[a]()", "a link or an image has no address"),
        ("**Note:**text", "'**Note:**text' is not bold text"),
        ("some **bold", "'**bold' is not bold text"),
        ("some `code", "'`code' is not code"),
        ("|a|b|c|\n|---|---|", "'|---|---|' is not a table, whose line of dashes has as many cells as its header"),
        ("a <b>c", "its HTML does not close <b>"),
        ("<div>\n\nx", "its HTML does not close <div>"),
    ],
)
def test_what_a_reader_would_see_as_stray_characters_is_a_mistake(text: str, problem: str) -> None:
    assert markdown_problem(text) == f"is not Markdown: {problem}"


@pytest.mark.parametrize("text", ["[" * 5_000, "**" * 5_000 + "a", "`a" * 5_000, "> " * 5_000, "<a " * 5_000])
def test_a_text_of_nothing_but_marks_is_judged(text: str) -> None:
    markdown_problem(text)
