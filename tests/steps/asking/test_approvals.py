"""What a person is shown of the calls that wait."""

from __future__ import annotations

from datetime import UTC, datetime

from include.enrichment.agent.transcript import Approval
from include.steps.asking.approvals import WaitingCall, describe_calls


def waiting(number: int, reason: str = "late") -> WaitingCall:
    approval = Approval(fingerprint="f", tool="refund", input={"reason": reason}, at=datetime(2026, 12, 1, tzinfo=UTC))
    return WaitingCall(request_id="r", row=f"row-{number}", step="001.01-approval", approval=approval)


def test_text_of_a_row_cannot_break_out_of_its_cell() -> None:
    line = describe_calls([waiting(1, "a | b `` [x](javascript:1)")]).splitlines()[2]
    assert line.count("|") == 4
    assert line == '| `` row-1 `` | refund | `` {"reason": "a ¦ b ˋˋ [x](javascript:1)"} `` |'


def test_a_long_question_says_how_many_calls_it_does_not_show() -> None:
    assert describe_calls([waiting(number) for number in range(203)]).endswith("and 3 more calls.")
