"""quote.py: what an answer says about the places of its values."""

from __future__ import annotations

from typing import get_args

from include.enrichment.answers.evidence.quote import Evidence, Found


def test_a_quote_stands_unless_it_was_not_found_or_cannot_be_checked() -> None:
    stands = {each: Evidence(field="total", page=1, quote="1", found=each).stands for each in (*get_args(Found), None)}
    assert [each for each, does in stands.items() if not does] == ["unchecked", None]
