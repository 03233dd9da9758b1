from __future__ import annotations

import pytest

from include.enrichment.answers.checks.texts.folding import folded


@pytest.mark.parametrize("text", ["Été  à\nLyon", "  ÉTÉ À LYON ", "E\u0301te\u0301 a\u0300 Lyon"])
def test_case_white_space_and_the_composition_of_letters_make_no_difference(text: str) -> None:
    assert folded(text) == "été à lyon"
