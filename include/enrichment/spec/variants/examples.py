"""examples.jsonl: rows with the answers that Claude should give, which every request shows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import msgspec

from include.enrichment.answers.schema.duplicate_keys import find_duplicate_key
from include.enrichment.answers.schema.output import Output
from include.enrichment.errors import SpecError, nearest
from include.enrichment.requests.template import Template

_FORM = '{"input": {"<column>": <value>, …}, "output": <answer>}'


class _Line(msgspec.Struct, forbid_unknown_fields=True):
    input: dict[str, Any]
    output: msgspec.Raw


#: Numbers keep their digits, as the source's decimals do: 12.50 is not 12.5.
_decode = msgspec.json.Decoder(_Line, float_hook=Decimal).decode


@dataclass(frozen=True, kw_only=True)
class Example:
    """
    A row with its answer.

    :param prompt: the row as user.md renders it
    :param answer: its output, as a usable answer would be stored
    """

    prompt: str
    answer: str


def read_examples(text: str, *, user: Template, output: Output) -> tuple[list[Example], list[tuple[int, str]]]:
    """
    Return the examples, one for each line that is not blank, and the mistakes, each with its line and the fact.

    :param user: renders the inputs, as it renders rows
    :param output: what the answers must be
    """
    examples: list[Example] = []
    mistakes: list[tuple[int, str]] = []
    for number, line in enumerate(text.split("\n"), start=1):  # not splitlines(): JSON may contain U+2028
        if line.strip():
            try:
                examples.append(_example(line, user, output))
            except (ValueError, SpecError) as error:
                mistakes.append((number, str(error)))
    if not examples and not mistakes:
        mistakes.append((1, f"has no example: each line must be {_FORM}"))
    return examples, mistakes


def _example(line: str, user: Template, output: Output) -> Example:
    """Return the example in a line. Raises ValueError or SpecError with the fact."""
    try:
        found = _decode(line)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError) as error:
        raise ValueError(f"is not an example like {_FORM}: {error}") from error
    if (name := find_duplicate_key(line)) is not None:
        raise ValueError(f"the key {name!r} occurs twice in one object")
    if unknown := list(_unknown(user, found.input)):
        raise ValueError("; ".join(unknown))
    prompt = user.render(found.input)
    if not prompt.strip():
        raise ValueError(f"{user.file} is empty for this input")
    answer, reason = output.check_json(bytes(found.output).decode())
    if answer is None:
        raise ValueError(f"the output is no usable answer: {reason}")
    return Example(prompt=prompt, answer=answer)


def _unknown(user: Template, row: dict[str, Any]) -> Iterator[str]:
    for name, line in user.columns.items():
        if name not in row:
            yield f"the input has no column {name!r}, which {user.file}:{line} uses{nearest(name, row)}"


def shared_text(context: Sequence[str], examples: Sequence[Example]) -> str:
    """
    Return the text that follows the system prompt in every request: the context's texts in their order, then the
    examples. Empty if there are none.

    Its form is part of every request id: a change would bill the rows of such pipelines again.
    """
    parts = [text.strip() for text in context]
    if examples:
        shown = "\n".join(
            f"<example>\n<input>\n{example.prompt}\n</input>\n<output>\n{example.answer}\n</output>\n</example>"
            for example in examples
        )
        parts.append(f"<examples>\n{shown}\n</examples>")
    return "\n\n".join(parts)
