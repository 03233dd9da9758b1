from __future__ import annotations

from decimal import Decimal

import pytest

from include.enrichment.errors import LakeError
from include.enrichment.storage.version import parse
from include.evaluation.result import EvaluationResult, VariantFacts
from tests.fixtures.evaluations import make_result


def test_a_summary_is_read_as_it_was_written_to_the_last_digit_of_a_cost() -> None:
    variant = VariantFacts(variant="v", model="m", answers=1, invalid=0, cost_usd=Decimal("0.000000000000000001"))
    result = make_result(variants=[variant])
    assert parse(EvaluationResult, result.model_dump_json().encode(), "summary.json") == result


def test_a_summary_of_a_newer_version_is_rejected() -> None:
    with pytest.raises(LakeError, match=r"summary\.json has version 99"):
        parse(EvaluationResult, b'{"version": 99}', "summary.json")
