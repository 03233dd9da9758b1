"""examples.jsonl: each line is a row with its answer, or a mistake with its line."""

from __future__ import annotations

import json
from typing import Any

import pytest

from include.enrichment.answers.schema.output import Output, TextOutput
from include.enrichment.answers.schema.output_schema import OutputSchema
from include.enrichment.requests.template import Template
from include.enrichment.spec.variants.examples import Example, read_examples, shared_text
from tests.fixtures.schemas import object_schema

USER = Template("\nTicket: {{ body }}{% if note %} ({{ note }}){% endif %}", file="user.md")
LABEL = OutputSchema(object_schema(label={"type": "string", "enum": ["bug", "billing"]}))
ROW = {"body": "It crashes", "note": None}


def line(row: Any = ROW, output: Any = None, **more: Any) -> str:
    return json.dumps({"input": row, "output": {"label": "bug"} if output is None else output} | more)


def read(text: str, user: Template = USER, output: Output = LABEL) -> list[Example]:
    examples, mistakes = read_examples(text, user=user, output=output)
    assert mistakes == []
    return examples


def mistakes(text: str, user: Template = USER, output: Output = LABEL) -> list[tuple[int, str]]:
    return read_examples(text, user=user, output=output)[1]


class TestExample:
    """A line without a mistake."""

    def test_its_input_is_rendered_as_a_row_is(self) -> None:
        (example,) = read(line())
        assert example == Example(prompt=USER.render(ROW), answer='{"label": "bug"}')
        assert example.prompt == "Ticket: It crashes"

    def test_its_input_may_have_columns_that_no_prompt_uses(self) -> None:
        assert read(line(ROW | {"id": 1})) == read(line())

    def test_a_number_keeps_its_digits(self) -> None:
        user = Template("{{ price }} {{ n }}", file="user.md")
        (example,) = read('{"input": {"price": 12.50, "n": 18446744073709551616}, "output": {"label": "bug"}}', user)
        assert example.prompt == "12.50 18446744073709551616"

    def test_its_output_is_corrected_like_an_answer(self) -> None:
        (example,) = read(line(output={"label": "BUG"}))
        assert example.answer == '{"label":"bug"}'

    def test_for_text_its_output_is_a_string(self) -> None:
        (example,) = read(line(output="Dear you,\n\u2028\u2029 x"), output=TextOutput())
        assert example.answer == "Dear you,\n\u2028\u2029 x"

    def test_blank_lines_are_skipped_and_a_line_separator_ends_no_line(self) -> None:
        text = json.dumps({"input": ROW | {"body": "a\u2028b"}, "output": {"label": "bug"}}, ensure_ascii=False)
        assert [example.prompt for example in read(f"\n{text}\n  \n{line()}\n\n")] == [
            "Ticket: a\u2028b",
            "Ticket: It crashes",
        ]


@pytest.mark.parametrize(
    ("text", "fact"),
    [
        ("{", "is not an example like {"),
        ("[]", "Expected `object`"),
        ('{"input": {}}', "missing required field `output`"),
        (line(why="x"), "unknown field `why`"),
        (line(row=[1]), "Expected `object`, got `array` - at `$.input`"),
        ('{"input": {"body": "\\ud800"}, "output": {}}', "is not an example like {"),
        ('{"input": {"body": "a", "body": "b"}, "output": {"label": "bug"}}', "the key 'body' occurs twice"),
        (
            '{"input": {"body": "a", "note": null}, "output": {"label": "bug", "label": "bug"}}',
            "the key 'label' occurs",
        ),
        (line({"boody": "x", "note": None}), "has no column 'body', which user.md:2 uses; did you mean 'boody'?"),
        (line(output={"label": "films"}), "the output is no usable answer: violates the schema: $.label"),
        (line(output={}), "the output is no usable answer: violates the schema: $: "),
        (line(output="bug"), "the output is no usable answer: violates the schema: $: "),
        ("[" * 100_000, "is not an example like {"),
    ],
    ids=lambda value: value[:40],
)
def test_a_wrong_example_is_a_mistake_with_its_line(text: str, fact: str) -> None:
    ((number, found),) = mistakes(f"{line()}\n\n{text}\n")
    assert number == 3
    assert fact in found


@pytest.mark.parametrize(
    ("output", "fact"),
    [
        ({"label": "bug"}, "without output.schema.json it must be a string, got {'label': 'bug'}"),
        (" \n", "no text in the answer"),
        (3, "must be a string, got 3"),
    ],
)
def test_a_wrong_text_is_a_mistake(output: Any, fact: str) -> None:
    ((number, found),) = mistakes(line(output=output), output=TextOutput())
    assert (number, fact in found) == (1, True)


def test_an_input_that_the_prompt_cannot_render_is_a_mistake() -> None:
    user = Template("{{ body.strftime('%d') }}", file="user.md")
    ((number, found),) = mistakes(line({"body": "2026-11-01"}), user)
    assert number == 1
    assert found.startswith("user.md:1: cannot be rendered for a row: ")


def test_an_input_that_renders_to_nothing_is_a_mistake() -> None:
    assert mistakes(line({"body": " "}), Template("{{ body }}", file="user.md")) == [
        (1, "user.md is empty for this input")
    ]


@pytest.mark.parametrize("text", ["", "\n \n"])
def test_a_file_without_an_example_is_a_mistake(text: str) -> None:
    ((number, found),) = mistakes(text)
    assert (number, found.startswith("has no example: each line must be {")) == (1, True)


def test_all_mistakes_are_reported_at_once() -> None:
    assert [number for number, _ in mistakes(f"{{\n{line()}\n{line(output={})}")] == [1, 3]


def test_the_shared_text_is_the_context_then_the_examples() -> None:
    """Another form would bill the rows of every such pipeline again."""
    examples = [Example(prompt="Ticket: a", answer='{"label":"bug"}'), Example(prompt="Ticket: b", answer="x")]
    assert shared_text([" # Style\n\nShort.\n", "# Words"], examples) == (
        "# Style\n\nShort.\n\n# Words\n\n<examples>\n"
        '<example>\n<input>\nTicket: a\n</input>\n<output>\n{"label":"bug"}\n</output>\n</example>\n'
        "<example>\n<input>\nTicket: b\n</input>\n<output>\nx\n</output>\n</example>\n</examples>"
    )
    assert shared_text(["# Words"], []) == "# Words"
    assert shared_text([], []) == ""
