"""What each variant of an evaluation is, and what its answers and their grades have cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from decimal import Decimal
from functools import reduce

import pyarrow as pa
import pyarrow.compute as pc

from include.enrichment.answers.table import VARIANT
from include.enrichment.batches.usage import sum_usd, total_usd
from include.enrichment.cost.prices import TOKEN_RATES
from include.enrichment.spec.variants import CURRENT
from include.evaluation.result import VariantFacts
from include.gateways.lake import ObjectMissing
from include.gateways.result_store import ResultStore
from include.steps.evaluating.published import Published


def variant_facts(
    published: Published, models: Mapping[str, str], judge_usd: Mapping[str, Decimal | None], store: ResultStore
) -> list[VariantFacts]:
    """
    Return the facts of each variant that the partition has, in their order.

    A request that two variants share is paid for once. Its cost and its tokens are those of the first.

    :param models: of the variants, for those without a published answer
    :param store: has the tokens of the answers
    :param judge_usd: of the variants that a judge has graded
    """
    table, rejects = published.table, published.rejects
    facts = []
    tokens = _read_tokens(_sent(table) | _sent(rejects), store)
    counted: set[tuple[str, str]] = set()
    for name in dict.fromkeys([*_variants(table), *_variants(rejects)]):
        answers, rejected = _of(name, table), _of(name, rejects)
        own = (_sent(answers) | _sent(rejected)) - counted
        counted |= own
        found = Counter(model for model in answers["_model"].to_pylist() if model)
        facts.append(
            VariantFacts(
                variant=name,
                model=found.most_common(1)[0][0] if found else models.get(name, ""),
                answers=len(answers) + len(rejected),
                invalid=len(rejected),
                input_tokens=sum(tokens[one][0] for one in own) if tokens is not None else None,
                output_tokens=sum(tokens[one][1] for one in own) if tokens is not None else None,
                cost_usd=total_usd([sum_usd(answers["_cost_usd"]), sum_usd(rejected["_cost_usd"])]),
                judge_usd=judge_usd.get(name),
            )
        )
    order = {name: place for place, name in enumerate(models)}
    return sorted(facts, key=lambda one: order.get(one.variant, len(order)))


def judges_usd(judges: Iterable[tuple[Sequence[pa.Table], Sequence[str]]]) -> dict[str, Decimal | None]:
    """
    Return what the judges' answers about each variant have cost; None if a price is unknown.

    :param judges: the table and the rejects of each, and the columns of them that name a variant. The cost of an answer
        about several variants is divided among them. Without such a column there is only one variant
    """
    parts: dict[str, list[Decimal | None]] = {}
    for tables, columns in judges:
        for rows in tables:
            if not columns:
                parts.setdefault(CURRENT, []).append(sum_usd(rows["_cost_usd"]))
            for column in columns:
                for name in dict.fromkeys(rows[column].to_pylist()):
                    cost = sum_usd(rows.filter(pc.equal(rows[column], name))["_cost_usd"])
                    parts.setdefault(name, []).append(None if cost is None else cost / len(columns))
    return {name: total_usd(costs) for name, costs in parts.items()}


def _sent(rows: pa.Table) -> set[tuple[str, str]]:
    """The answers among the rows: the batch and the request of each."""
    return {
        pair for pair in zip(rows["_batch_id"].to_pylist(), rows["_request_id"].to_pylist(), strict=True) if pair[0]
    }


def _read_tokens(answers: Set[tuple[str, str]], store: ResultStore) -> dict[tuple[str, str], tuple[int, int]] | None:
    """The input tokens, cached ones included, and the output tokens of answers; None if the results are gone."""
    found: dict[tuple[str, str], tuple[int, int]] = {}
    for batch_id in {batch_id for batch_id, _ in answers}:
        try:
            lines = store.tokens(batch_id)
        except ObjectMissing:
            return None
        counts = {name: pc.fill_null(lines[name], 0) for name in TOKEN_RATES}
        output = counts.pop("output_tokens").to_pylist()
        for request_id, *tokens in zip(
            lines["request_id"].to_pylist(), reduce(pc.add, counts.values()).to_pylist(), output, strict=True
        ):
            found[batch_id, request_id] = tokens[0], tokens[1]
    return found


def _variants(rows: pa.Table) -> list[str]:
    if VARIANT in rows.column_names:
        return pc.unique(rows[VARIANT]).to_pylist()  # type: ignore[no-any-return]  # pyarrow has no types
    return [CURRENT] if len(rows) else []


def _of(variant: str, rows: pa.Table) -> pa.Table:
    return rows.filter(pc.equal(rows[VARIANT], variant)) if VARIANT in rows.column_names else rows
