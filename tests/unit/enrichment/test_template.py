from __future__ import annotations

import pytest

from include.enrichment.errors import SpecError
from include.enrichment.template import Template


class TestTemplate:
    @pytest.mark.parametrize(
        ("text", "line"),
        [
            ("{{ a", 1),
            ("\n\n  {{ a", 3),
            ("a\nb\n{% if %}", 3),
            ("\n\na\n{% endfor %}", 4),
            ("a\n{{ b|shout }}", 2),
            ("a\n{% include 'other.md' %}", 2),
            ("{% extends 'other.md' %}", 1),
            ("\n{% import 'x' as x %}", 2),
            ("\n\n{% from 'x' import y %}", 3),
            ("a\n{{ text|random }}", 2),
        ],
    )
    def test_a_mistake_is_told_with_its_line_in_the_file(self, text: str, line: int) -> None:
        with pytest.raises(SpecError, match=rf"^user\.md:{line}: [^\n]+$"):
            Template(text, file="user.md")

    @pytest.mark.parametrize(
        ("text", "columns"),
        [
            ("no column", {}),
            ("\n\n{{ a }}\n{{ b.c }} {{ a }}", {"a": 3, "b": 4}),
            ("{% if a %}\n{{ b }}\n{% endif %}", {"a": 1, "b": 2}),
            ("{{ (a or '')[:5] | upper }}", {"a": 1}),
            ("{% for item in items %}{{ item }}{{ loop.index }}{% endfor %}", {"items": 1}),
            ("{% set x = a %}{{ x }}", {"a": 1}),
            ("{% for i in range(3) %}{{ i }}{% endfor %}", {}),
            ("{{ 'yes' if a is defined }}", {"a": 1}),
            ("{# {{ a }} #}{% raw %}{{ b }}{% endraw %}", {}),
            ("{{ lipsum() }}", {"lipsum": 1}),
        ],
    )
    def test_it_knows_the_columns_it_uses_and_where_first(self, text: str, columns: dict[str, int]) -> None:
        assert Template(text, file="user.md").columns == columns

    @pytest.mark.parametrize(
        ("text", "line", "fact"),
        [
            ("{{ b }}", 1, "'b' is undefined"),
            ("\n\nx\n{{ a }}{{ b }}", 4, "'b' is undefined"),
            ("x\n{{ a.b.c }}", 2, "has no attribute 'b'"),
            ("x\n\n{{ a / 0 }}", 3, "TypeError|ZeroDivisionError"),
            ("{{ n > 5 }}", 1, r"NULL is neither more nor less than 5: say what counts for it"),
        ],
    )
    def test_a_template_that_fails_on_a_row_says_where(self, text: str, line: int, fact: str) -> None:
        with pytest.raises(SpecError, match=rf"^user\.md:{line}: cannot be rendered for a row: .*{fact}"):
            Template(text, file="user.md").render({"a": "text", "n": None})

    @pytest.mark.parametrize(
        "text",
        [
            "{{ a.__class__ }}",
            "{{ a.__class__.__mro__ }}",
            "{{ a['__class__'] }}",
            "{{ a|attr('__class__') }}",
            "{{ '{0.__class__}'.format(a) }}",
            "{{ a.join.__self__ }}",
            "{{ rows.append(1) }}",
            "{{ rows.clear() }}",
            "{{ range(10000000) }}",
        ],
    )
    def test_the_sandbox_holds(self, text: str) -> None:
        rows = [1]
        with pytest.raises(SpecError, match=r"unsafe|too big|'join' is a method here and no value"):
            Template(text, file="user.md").render({"a": "", "rows": rows})
        assert rows == [1]

    def test_whitespace_around_the_text_is_dropped_and_within_it_kept(self) -> None:
        assert Template("\n\n a  {{ x }}\n\nb \n", file="user.md").render({"x": " 1 "}) == "a   1 \n\nb"
