"""The letters of the sample: every value that a right answer has is one of the pipeline's schema."""

from __future__ import annotations

import json

from include.stack.folder import ROOT
from include.stack.sample_tickets.letters import LETTERS


def test_the_letters_have_every_category_and_no_other_value_than_the_schema() -> None:
    schema = json.loads((ROOT / "include/pipelines/tickets/output.schema.json").read_text(encoding="utf-8"))
    allowed = {name: set(of.get("enum", ())) for name, of in schema["properties"].items()}
    assert {letter.category for letter in LETTERS} == allowed["category"]
    assert {letter.urgency for letter in LETTERS} == allowed["urgency"]
