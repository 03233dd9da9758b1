from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from include.enrichment.cost.prices import USD
from include.gateways.lake import Lake
from include.gateways.result_store import ResultStore
from include.steps.evaluating.published import Published
from include.steps.evaluating.variant_facts import judges_usd, variant_facts
from tests.fixtures.manifests import make_manifest

MODELS = {"current": "claude-haiku-5-5", "candidate": "claude-sonnet-5"}
Facts = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def no_results(tmp_path: Path) -> ResultStore:
    return ResultStore(Lake.in_folder(tmp_path / "lake"), pipeline="tickets")


def rows(lines: Sequence[tuple[str, str | None, str | None]], column: str = "_variant") -> pa.Table:
    """Lines of variant, model and cost."""
    names, models, costs = zip(*lines, strict=True) if lines else ((), (), ())
    usd = pa.array([cost and Decimal(cost) for cost in costs], USD)
    unsent = {name: pa.nulls(len(names), pa.string()) for name in ("_request_id", "_batch_id")}
    columns = {column: pa.array(names, pa.string()), "_model": pa.array(models, pa.string()), "_cost_usd": usd}
    return pa.table(columns | unsent)


def published(table: pa.Table, rejects: pa.Table) -> Published:
    return Published(manifest=make_manifest(), table=table, rejects=rejects)


@pytest.fixture
def facts_of(no_results: ResultStore) -> Facts:
    def find(table: Any, rejects: Any = (), judge_usd: Any = None) -> list[dict[str, Any]]:
        found = variant_facts(published(rows(table), rows(rejects)), MODELS, judge_usd or {}, no_results)
        return [one.model_dump(exclude={"input_tokens", "output_tokens"}) for one in found]

    return find


def test_tokens_are_unknown_once_the_results_of_a_batch_are_gone(no_results: ResultStore) -> None:
    table = rows([("current", "claude-haiku-5-5", "0.1")]).drop_columns(["_batch_id"])
    table = table.append_column("_batch_id", pa.array(["msgbatch_gone"]))
    (fact,) = variant_facts(published(table, table.slice(0, 0)), MODELS, {}, no_results)
    assert (fact.input_tokens, fact.output_tokens) == (None, None)


def test_each_variant_has_its_answers_its_rejects_and_its_cost_in_the_order_of_the_settings(facts_of: Facts) -> None:
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


def test_a_variant_without_a_published_answer_has_the_model_of_its_settings(facts_of: Facts) -> None:
    (fact,) = facts_of([], [("candidate", None, "0")])
    assert (fact["model"], fact["answers"], fact["invalid"]) == ("claude-sonnet-5", 1, 1)


def test_a_cost_that_is_unknown_is_not_counted_as_nothing(facts_of: Facts) -> None:
    (fact,) = facts_of([("current", "new-model", None), ("current", "new-model", "0.1")])
    assert fact["cost_usd"] is None


def test_a_pipeline_without_variants_has_one(no_results: ResultStore) -> None:
    table = rows([("-", "claude-haiku-5-5", "0.1")]).drop_columns(["_variant"])
    (fact,) = variant_facts(published(table, table.slice(0, 0)), {"current": "claude-haiku-5-5"}, {}, no_results)
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
