"""Decides when an agent must stop."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from include.enrichment.agent.settings import RowLimits
from include.enrichment.agent.transcript import Call, billed_tokens, prompt_tokens
from include.enrichment.cost.prices import format_usd, prices

#: The failures of one tool with one input after which a row stops. A loop of the same failing call does not end by
#: itself.
MOST_EQUAL_FAILURES = 3
#: More bytes than the API's own words around a result can take as tokens.
_FRAME_TOKENS = 1_000


@dataclass
class Spent:
    """
    What an agent has used, for a row or for a run.

    :param usd: None: the price of a model is unknown
    """

    turns: int = 0
    tool_calls: int = 0
    tokens: int = 0
    usd: Decimal | None = Decimal(0)
    failures: Counter[str] = field(default_factory=Counter)

    def add_turn(self, message: Mapping[str, Any]) -> None:
        """Add an answer of the model, at the synchronous price of its own prompt."""
        usage = message.get("usage") or {}
        counts = billed_tokens(usage)
        model = message.get("model")
        is_long = prompt_tokens(usage) > prices().long_above(model)
        rates = prices().per_token(model, long=is_long, geo=usage.get("inference_geo"), batch=False)
        self.turns += 1
        self.tokens += sum(counts.values())
        if rates is None or self.usd is None:
            self.usd = None
        else:
            self.usd += sum((count * rates[kind] for kind, count in counts.items()), Decimal(0))

    def add_call(self, call: Call) -> None:
        """Add a call of a tool that has ended."""
        self.tool_calls += 1
        if call.is_error:
            self.failures[f"{call.fingerprint} {call.content}"] += 1


def reached(spent: Spent, limits: RowLimits, *, more_calls: int = 0) -> str | None:
    """
    Return which limit forbids the next step, with the numbers; None: the agent may go on.

    :param more_calls: the calls of tools that the next step makes; 0: the next step is a turn
    """
    if spent.tool_calls + more_calls > limits.tool_calls:
        return f"{limits.tool_calls:,} tool calls"
    if more_calls:
        return None
    if spent.turns >= limits.turns:
        return f"{limits.turns:,} turns"
    if spent.tokens >= limits.tokens:
        return f"{limits.tokens:,} tokens ({spent.tokens:,} used)"
    if spent.usd is None:
        return f"{format_usd(limits.usd)} (the model has no price in prices.yaml)"
    if spent.usd >= limits.usd:
        return f"{format_usd(limits.usd)} ({format_usd(spent.usd)} used)"
    return None


def repeats_a_failure(spent: Spent) -> str | None:
    """Return what has failed MOST_EQUAL_FAILURES times in the same way; None: nothing has."""
    if not spent.failures or spent.failures.most_common(1)[0][1] < MOST_EQUAL_FAILURES:
        return None
    return f"the same call of a tool failed {MOST_EQUAL_FAILURES} times in the same way"


def passes_price_step(message: Mapping[str, Any], added_bytes: int) -> str | None:
    """
    Return why the turn after ``message`` might cost more per token than the turns before it; None: it does not.

    All turns of a row are then on the same side of the price step of a model, and their sum has one price. A turn that
    could cross it is not sent: it would cost several times as much.

    :param added_bytes: of what the next prompt has beside the prompt and the answer of ``message``. A byte is at most
        one token
    """
    model, usage = message.get("model"), message.get("usage") or {}
    step, before = prices().long_above(model), prompt_tokens(usage)
    if before > step or before + (usage.get("output_tokens") or 0) + added_bytes + _FRAME_TOKENS <= step:
        return None
    return f"the next prompt could exceed {step:,} tokens, above which {model} costs more"
