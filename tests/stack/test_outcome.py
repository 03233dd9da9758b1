"""How a run ended, in words."""

from __future__ import annotations

from decimal import Decimal

import pytest

from include.enrichment.manifest import Manifest
from include.stack.outcome import cost


@pytest.mark.parametrize(
    ("usd", "simulated", "words"),
    [
        (Decimal("0.01234"), True, "simulated cost $0.0123"),
        (Decimal("0.01234"), False, "cost $0.0123"),
        (None, False, "cost an unknown amount"),
    ],
)
def test_what_a_run_cost_is_told_and_what_nobody_is_billed_for_is_called_simulated(
    usd: Decimal | None, simulated: bool, words: str
) -> None:
    assert cost(Manifest.model_construct(cost_usd=usd), simulated=simulated) == words
