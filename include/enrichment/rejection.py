"""Decides what to tell of a partition that has more rejects than it may, and what asking again would cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from decimal import Decimal

from include.enrichment.manifest import Manifest
from include.enrichment.outcome import settled
from include.enrichment.prices import dollars

#: In a count of rejected rows those that gave no request that can be sent.
UNSENDABLE = "unsendable"


def too_many(manifest: Manifest, rows: Counter[str], *, again: int, most: float, most_common: str, rejects: str) -> str:
    """
    What was rejected, what is left behind, and the ways on, of which only those are named that there are.

    :param rows: the rejected rows by outcome, UNSENDABLE by themselves
    :param again: the distinct requests among them that were not billed, which a later plan asks again
    :param most: the share of rejects that is allowed
    :param most_common: their most common reasons
    :param rejects: where they are
    """
    lines = [
        f"{manifest.rejected:,} of {manifest.rows:,} rows of partition {manifest.partition} were rejected"
        f" ({_spell(rows)}), and limits.max_reject_ratio allows {most:g} of them. Most common: {most_common}.",
        "The table was not published and is as it was; the answers stay in the result store; the rejects with their"
        f" reasons are at {rejects}.",
    ]
    if again:
        unbilled = {name: count for name, count in rows.items() if name != UNSENDABLE and not settled(name)}
        cost = dollars(_cost_of(again, manifest))
        lines.append(
            f"Not billed ({_spell(unbilled)}): clear the first `plan` with downstream, or give the same `make run`"
            f" again. Their requests ({again:,}) are asked again and no others, which costs"
            f" {'~' if cost.startswith('$') else ''}{cost} if all are answered."
        )
    mend = []
    if rows["invalid"]:
        mend.append(
            "invalid: mend what the reason names (prompt, schema, max_tokens, against which thinking counts too) and"
            " start a new run; changed requests are sent, and paid, anew."
        )
    if rows[UNSENDABLE]:
        mend.append("unsendable: mend what the reason names and start a new run.")
    lines += [" ".join(mend)] if mend else []
    sends = "" if again else ", which sends nothing,"
    lines.append(f"Or raise the ratio and start a new run{sends} to publish without the rejected rows.")
    return "\n".join(lines)


def _spell(rows: Mapping[str, int]) -> str:
    return ", ".join(f"{outcome}={count:,}" for outcome, count in sorted(rows.items()))


def _cost_of(requests: int, manifest: Manifest) -> Decimal | None:
    """
    What so many of the partition's requests will cost: as much as those that were answered did on average; where none
    was, as much as was estimated. None where neither is known.
    """
    answered = manifest.requests - requests
    if answered > 0 and manifest.partition_cost_usd:
        return manifest.partition_cost_usd / answered * requests
    priced = [one for one in manifest.estimates.values() if one.cost_usd and one.requests]
    if not priced:
        return None
    expected = sum((one.cost_usd.expected for one in priced if one.cost_usd), Decimal(0))
    return expected / sum(one.requests for one in priced) * requests
