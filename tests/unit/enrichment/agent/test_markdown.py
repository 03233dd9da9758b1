"""A transcript reads as Markdown, and nothing that a row or a tool says is read as Markdown."""

from __future__ import annotations

from datetime import UTC, datetime

from include.enrichment.agent.markdown import transcript_markdown
from include.enrichment.agent.transcript import Approval, Call, Turn
from tests.fixtures.agents import answer, call, text

AT = datetime(2026, 12, 1, 8, tzinfo=UTC)
STEPS: dict[str, Turn | Call | Approval] = {
    "001": Turn(fingerprint="f", message=answer(text("I look."), call("look_up", order="A-1")), at=AT),
    "001.01": Call(fingerprint="f", tool="look_up", input={}, content="```\n# late", at=AT),
    "002": Turn(fingerprint="f", message=answer(call("refund", order="A-1", cents=5)), at=AT),
    "002.01-approval": Approval(fingerprint="f", tool="refund", input={}, approved=True, by="ann", at=AT),
    "002.01": Call(fingerprint="f", tool="refund", input={}, content="The tool failed.", is_error=True, at=AT),
}


def test_the_steps_are_told_in_their_order() -> None:
    shown = transcript_markdown("T1", "r", STEPS)
    assert (
        shown
        == """\
# T1

Request r: 2 turns, 2 tool calls, 220 tokens, less than $0.0001 (simulated)

## Turn 1 · 2026-12-01 08:00:00 UTC

    I look.

calls **look_up**

    {"order": "A-1"}

**look_up** · 2026-12-01 08:00:00 UTC

    ```
    # late

## Turn 2 · 2026-12-01 08:00:00 UTC

calls **refund**

    {"order": "A-1", "cents": 5}

**refund** approved by ann · 2026-12-01 08:00:00 UTC

**refund** failed · 2026-12-01 08:00:00 UTC

    The tool failed.
"""
    )


def test_a_name_cannot_make_a_link() -> None:
    assert transcript_markdown("[x](http://y)", "r", {}).startswith("# xhttp:y\n")
