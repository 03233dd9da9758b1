from __future__ import annotations

import os
import pickle
import string
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from http import HTTPMethod
from typing import Any
from uuid import SafeUUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.enrichment.errors import SpecError
from include.enrichment.requests.template import Template

ONCE_AND_FOR_ALL = settings(deadline=None, derandomize=True, database=None, max_examples=120)


class TestTemplate:
    @pytest.mark.parametrize(
        ("text", "rendered"), [("a {{ b }}\n", "a 1\n\n{{ b }}"), ("{% if not b %}a{% endif %}", "{{ b }}")]
    )
    def test_what_follows_it_is_no_template(self, text: str, rendered: str) -> None:
        assert Template(text, file="system.md", followed_by="{{ b }}").render({"b": 1}) == rendered

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
    def test_a_mistake_is_reported_with_its_line_in_the_file(self, text: str, line: int) -> None:
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
    def test_it_knows_its_columns_and_the_line_of_their_first_use(self, text: str, columns: dict[str, int]) -> None:
        assert Template(text, file="user.md").columns == columns

    @pytest.mark.parametrize(
        ("text", "line", "fact"),
        [
            ("{{ b }}", 1, "'b' is undefined"),
            ("\n\nx\n{{ a }}{{ b }}", 4, "'b' is undefined"),
            ("x\n{{ a.b.c }}", 2, "has no attribute 'b'"),
            ("x\n\n{{ a / 0 }}", 3, "TypeError|ZeroDivisionError"),
            ("{{ n > 5 }}", 1, r"NULL cannot be compared with 5: give it a default"),
        ],
    )
    def test_a_template_that_fails_on_a_row_reports_the_line(self, text: str, line: int, fact: str) -> None:
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
        with pytest.raises(SpecError, match=r"unsafe|too big|'join' is a method here, not a value"):
            Template(text, file="user.md").render({"a": "", "rows": rows})
        assert rows == [1]

    def test_only_whitespace_around_the_text_is_stripped(self) -> None:
        assert Template("\n\n a  {{ x }}\n\nb \n", file="user.md").render({"x": " 1 "}) == "a   1 \n\nb"


class TestColumnsNamedLikeJinja:
    @pytest.mark.parametrize(
        "name", ["self", "range", "dict", "cycler", "joiner", "namespace", "lipsum", "loop", "caller"]
    )
    @pytest.mark.parametrize(
        "form", ["{{ %s }}", "{{ %s | trim }}", "{{ '' ~ %s }}", "{{ '%%s' | format(%s) }}", "{{ [%s] | join }}"]
    )
    def test_a_column_precedes_jinjas_name(self, name: str, form: str) -> None:
        template = Template(form % name, file="user.md")
        assert template.columns == {name: 1}
        assert [template.render({name: text}) for text in "ab"] == ["a", "b"]

    @pytest.mark.parametrize(
        ("text", "row", "rendered"),
        [
            ("{{ self.href }} {{ self['href'] }}", {"self": {"href": "u"}}, "u u"),
            ("{{ range }} {{ range(2) | list }}", {"range": "0-2 kg"}, "0-2 kg [0, 1]"),
            ("{% for i in range(2) %}{{ range }}{% endfor %}", {"range": "x"}, "xx"),
            ("{% for dict in dicts %}{{ dict.a }}{% endfor %}{{ dict }}", {"dict": "x", "dicts": [{"a": 1}]}, "1x"),
            ("{% set range = 5 %}{{ range }}", {"range": "x"}, "5"),
            ("{% macro m(range) %}{{ range }}{% endmacro %}{{ m(range=4) }}", {}, "4"),
            ("{% for x in loop %}{{ x }}{% endfor %}", {"loop": [1, 2]}, "12"),
            ("{% for x in xs %}{{ loop.index }}{% endfor %}", {"xs": [1, 2]}, "12"),
            ("{{ column_self }}{{ self }}", {"self": 1, "column_self": 2}, "21"),
        ],
    )
    def test_jinjas_names_work_where_no_column_is_possible(self, text: str, row: dict[str, Any], rendered: str) -> None:
        assert Template(text, file="user.md").render(row) == rendered

    @pytest.mark.parametrize(
        ("text", "word", "line"),
        [
            ("{{ none }}", "none", 1),
            ("{{ True }}", "True", 1),
            ("\n\na\n{% if a == true %}{% endif %}", "true", 4),
            ("{{ a | default(none) }}", "none", 1),
            ("a\n{% for x in a %}{{ loop }}{% endfor %}", "loop", 2),
            ("{% for x in a %}{% if x %}{{ loop.index }}{% endif %}{% endfor %}", "loop", 1),
            ("{% macro m() %}{{ varargs }}{% endmacro %}", "varargs", 1),
            ("{% macro m() %}{{ caller() }}{% endmacro %}", "caller", 1),
            ("{% block b %}{{ self.b }}{% endblock %}", "self", 1),
        ],
    )
    def test_a_column_hidden_by_a_keyword_is_an_error(self, text: str, word: str, line: int) -> None:
        template = Template(text, file="user.md")
        fact = f"user.md:{line}: {word!r} is a Jinja keyword here and hides the column of that name"
        assert [message.startswith(fact) for message in template.shadowed_columns(["a", word])] == [True]
        assert template.shadowed_columns(["a"]) == []
        with pytest.raises(SpecError, match=rf"{fact}: rename the column, or avoid the keyword\nNothing was"):
            template.render({"a": [1], word: 2})

    def test_a_block_has_no_parent(self) -> None:
        with pytest.raises(SpecError, match=r"user\.md:2: a prompt is one file, so a block has no parent"):
            Template("{% block a %}\n{{ super }}{% endblock %}", file="user.md")

    def test_a_missing_column_is_reported_by_its_name(self) -> None:
        with pytest.raises(SpecError, match="'self' is undefined"):
            Template("{{ self }}", file="user.md").render({})


#: Texts that contain neither "none" nor "null", also when joined.
_TEXTS = st.text(string.digits + "xyz é漢'\"<&\n", max_size=5)
_MOMENTS = st.datetimes(datetime(1970, 1, 2), datetime(2100, 1, 1))  # noqa: DTZ001
_ZONES = st.sampled_from([None, UTC, ZoneInfo("Asia/Kathmandu"), timezone(timedelta(hours=-3))])
_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.floats(width=32),
    _TEXTS,
    st.decimals(),
    st.dates(),
    st.times(),
    st.builds(lambda moment, zone: moment.replace(tzinfo=zone), _MOMENTS, _ZONES),
    st.timedeltas(),
    st.uuids(),
    st.sampled_from([HTTPMethod.GET, SafeUUID.unknown]),  # the second one's value is None
    st.frozensets(_TEXTS | st.none()),
    st.frozensets(st.integers() | _TEXTS),
)
_VALUES = st.recursive(
    _SCALARS,
    lambda values: st.lists(values, max_size=3) | st.dictionaries(_TEXTS, values, max_size=3) | st.tuples(values),
    max_leaves=8,
)
_ROWS = st.fixed_dictionaries({"v": _VALUES, "w": _VALUES})
_TEMPLATES = [
    "{{ v }}",
    "{{ v ~ w }}",
    "{{ v | string | upper }}",
    "{{ [v, w] }}{{ {'a': v} }}{{ (v, w) }}",
    "{{ '%s %r' | format(v, w) }}{{ '{} {!r}'.format(v, [w]) }}{{ '%s' % [v] }}",
    "{{ [v, w] | join(', ') }}{{ v | list | join(', ') }}",
    "{{ v | tojson }}",
    "{{ [v] | unique | map('string') | list }}",
    "{{ v | items | list }}",
    "{{ v.keys() | list }}{{ v.values() | list }}",
    "{% for x in v %}{{ loop.index }}{{ x }}{% endfor %}",
    "{% set x %}{{ v }}{% endset %}{{ x | trim }}{{ v | pprint }}",
    "{{ v | map('trim') | list }}{{ w | reverse | list }}",
    "{{ v | default('x', true) }}{{ w if v else v }}",
    "{{ v | e }}{{ v | replace('x', w | string) }}",
]
COMPILED = {source: Template(source, file="user.md") for source in _TEMPLATES}
_RENDER = """
import hashlib, pickle, sys
from include.enrichment.errors import SpecError
from include.enrichment.requests.template import Template

templates, rows = pickle.load(sys.stdin.buffer)
for template in [Template(source, file="user.md") for source in templates]:
    for row in rows:
        try:
            print(hashlib.sha256(template.render(row).encode("utf-8", "surrogatepass")).hexdigest())
        except SpecError as error:
            print(hashlib.sha256(str(error).encode()).hexdigest())
"""


class TestEveryRow:
    def test_a_row_gives_the_same_text_in_every_process(self) -> None:
        """The two processes differ in their hash seeds, time zones and memory addresses."""
        rows: list[dict[str, Any]] = []

        @ONCE_AND_FOR_ALL
        @given(_ROWS)
        def draw(row: dict[str, Any]) -> None:
            rows.append(row)

        draw()
        batch = pickle.dumps((_TEMPLATES, rows))
        first, second = (
            subprocess.run(
                [sys.executable, "-c", _RENDER],
                input=batch,
                env={**os.environ, "PYTHONHASHSEED": seed, "TZ": zone},
                capture_output=True,
                check=True,
            ).stdout.split()
            for seed, zone in (("1", "UTC"), ("2", "Asia/Tokyo"))
        )
        assert len(first) == len(rows) * len(_TEMPLATES) > 1_000
        assert first == second

    @ONCE_AND_FOR_ALL
    @given(_ROWS)
    def test_a_null_never_becomes_the_text_none(self, row: dict[str, Any]) -> None:
        for source, template in COMPILED.items():
            try:
                text = template.render(row)
            except SpecError:
                continue
            assert "none" not in text.lower()
            assert "tojson" in source or "null" not in text.lower()
