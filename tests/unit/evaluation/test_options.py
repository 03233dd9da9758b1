"""options.py: options become a model, or their mistakes are reported with their places."""

from __future__ import annotations

import pytest

from include.evaluation.graders.values.exact import Exact
from include.evaluation.graders.values.number import Number
from include.evaluation.options import OptionMistakes, read_options


def test_all_mistakes_are_reported_with_their_places() -> None:
    with pytest.raises(OptionMistakes) as raised:
        read_options(Number, {"tolerence": 1, "days": 2}, below=("number",))
    assert [path for path, _ in raised.value.mistakes] == [("number", "tolerence"), ("number", "days")]
    assert "unknown key; did you mean 'tolerance'?" in str(raised.value)


def test_a_model_without_options_says_so() -> None:
    with pytest.raises(OptionMistakes, match="Known keys: none"):
        read_options(Exact, {"case": True})
