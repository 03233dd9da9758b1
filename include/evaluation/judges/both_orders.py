"""The verdicts of a judge on both orders of a pair, merged into one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from include.enrichment.spec.sources.pairs import FIRST, SECOND
from include.evaluation.judges.judge import JudgedRow
from include.evaluation.spec.judge_options import TIE, label_of


@dataclass(frozen=True, kw_only=True)
class Pair:
    """
    Two answers to one case.

    :param variants: in the order of their names
    """

    case: int
    sample: int
    variants: tuple[str, str]

    @classmethod
    def of(cls, case: int, sample: int, one: str, other: str) -> Pair:
        """Return the pair of two variants, whatever their order."""
        return cls(case=case, sample=sample, variants=(min(one, other), max(one, other)))


@dataclass(frozen=True, kw_only=True)
class Merged:
    """
    What a judge says of a pair.

    :param winner: a variant, or TIE; None: one of its orders has no verdict that can be read
    :param agreed: both orders say the same
    :param firsts: of the verdicts with a winner, those that name the answer shown first
    :param decided: the verdicts with a winner
    """

    winner: str | None
    agreed: bool
    firsts: int
    decided: int
    reason: str


def merge_orders(rows: Iterable[JudgedRow]) -> dict[Pair, Merged]:
    """
    Return one judge's verdict on each pair. If the two orders do not say the same, the pair is a tie.

    :param rows: their names are the variant shown first and the one shown second
    """
    orders: dict[Pair, dict[tuple[str, ...], JudgedRow]] = {}
    for row in rows:
        pair = Pair.of(row.case, row.sample, *row.names)
        orders.setdefault(pair, {})[row.names] = row
    return {pair: _merge(list(both.values())) for pair, both in orders.items()}


def _merge(orders: Sequence[JudgedRow]) -> Merged:
    winners = [_winner(row) for row in orders]
    decided = [(winner, row) for winner, row in zip(winners, orders, strict=True) if winner not in (None, TIE)]
    agreed = len(set(winners)) == 1
    complete = len(orders) == 2 and None not in winners
    return Merged(
        winner=(winners[0] if agreed else TIE) if complete else None,
        agreed=agreed and complete,
        firsts=sum(winner == row.names[0] for winner, row in decided),
        decided=len(decided),
        reason="\n".join(f"{' before '.join(row.names)}: {_said(row)}" for row in orders),
    )


def _winner(row: JudgedRow) -> str | None:
    """Return the variant that a verdict names, or TIE; None if it is no verdict."""
    verdict = label_of(row.grade)
    if verdict in (FIRST, SECOND):
        return row.names[(FIRST, SECOND).index(verdict)]
    return TIE if verdict == TIE else None


def _said(row: JudgedRow) -> str:
    winner = _winner(row)
    grade = {None: "", TIE: "a tie"}.get(winner, f"prefers {winner}")
    return ". ".join(part for part in (grade, row.reason) if part)
