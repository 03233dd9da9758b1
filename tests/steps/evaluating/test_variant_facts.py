from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pyarrow as pa

from include.enrichment.cost.prices import USD
from include.steps.evaluating.published import Published
from include.steps.evaluating.variant_facts import judges_usd, variant_facts
from tests.fixtures.manifests import make_manifest

MODELS = {"current": "claude-haiku-5-5", "candidate": "claude-sonnet-5"}


def rows(lines: Sequence[tuple[str, str | None, str | None]], column: str = "_variant") -> pa.Table:
    """Lines of variant, model and cost."""
    names, models, costs = zip(*lines, strict=True) if lines else ((), (), ())
    usd = pa.array([cost and Decimal(cost) for cost in costs], USD)
    return pa.table({column: pa.array(names, pa.string()), "_model": pa.array(models, pa.string()), "_cost_usd": usd})


def published(table: pa.Table, rejects: pa.Table) -> Published:
    return Published(manifest=make_manifest(), table=table, rejects=rejects)


def facts_of(table: Any, rejects: Any = (), judge_usd: dict[str, Decimal | None] | None = None) -> list[dict[str, Any]]:
    found = variant_facts(published(rows(table), rows(rejects)), MODELS, judge_usd or {})
    return [one.model_dump(exclude={"input_tokens", "output_tokens"}) for one in found]


def test_each_variant_has_its_answers_its_rejects_and_its_cost_in_the_order_of_the_settings() -> None:
    table = [("candidate", "claude-sonnet-5-1", "0.2"), ("current", "claude-haiku-5-5", "0.1")]
    rejects = [("current", "claude-haiku-5-5", "0.01"), ("current", None, "0")]
    assert facts_of(table, rejects, {"candidate": Decimal("0.5")}) == [
        {
            **{"variant": "current", "model": "claude-haiku-5-5", "answers": 3, "invalid": 2},
            **{"cost_usd": Decimal("0.11"), "judge_usd": None},
        },
        {
            **{"variant": "candidate", "model": "claude-sonnet-5-1", "answers": 1, "invalid": 0},
            **{"cost_usd": Decimal("0.2"), "judge_usd": Decimal("0.5")},
        },
    ]


def test_a_variant_without_a_published_answer_has_the_model_of_its_settings() -> None:
    (fact,) = facts_of([], [("candidate", None, "0")])
    assert (fact["model"], fact["answers"], fact["invalid"]) == ("claude-sonnet-5", 1, 1)


def test_a_cost_that_is_unknown_is_not_counted_as_nothing() -> None:
    (fact,) = facts_of([("current", "new-model", None), ("current", "new-model", "0.1")])
    assert fact["cost_usd"] is None


def test_a_pipeline_without_variants_has_one() -> None:
    table = rows([("-", "claude-haiku-5-5", "0.1")]).drop_columns(["_variant"])
    (fact,) = variant_facts(published(table, table.slice(0, 0)), {"current": "claude-haiku-5-5"}, {})
    assert (fact.variant, fact.answers, fact.cost_usd) == ("current", 1, Decimal("0.1"))


def test_a_judges_answer_about_two_variants_is_divided_between_them() -> None:
    single = [rows([("current", "m", "0.1")], "variant"), rows([("candidate", "m", "0.3")], "variant")]
    pairs = rows([("current", "m", "0.02"), ("candidate", "m", "0.02")], "first")
    pairs = pairs.append_column("second", pa.array(["candidate", "current"]))
    assert judges_usd([(single, ["variant"]), ([pairs, pairs.slice(0, 0)], ["first", "second"])]) == {
        "current": Decimal("0.12"),
        "candidate": Decimal("0.32"),
    }


def test_a_judge_of_a_pipeline_without_variants_grades_the_only_one() -> None:
    judge = [rows([("x", "m", "0.1")]), rows([("x", "m", None)])]
    assert judges_usd([(judge, [])]) == {"current": None}
