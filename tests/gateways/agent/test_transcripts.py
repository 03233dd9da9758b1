"""A transcript is a folder of steps, each written once."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from include.enrichment.agent.transcript import Approval, Call, Turn
from include.enrichment.errors import LakeError
from include.gateways.lake import Conflict
from tests.fixtures.agents import REQUEST_ID, World

AT = datetime(2026, 12, 1, tzinfo=UTC)
TURN = Turn(fingerprint="f", message={"content": []}, at=AT)
CALL = Call(fingerprint="f", tool="look_up", input={"order": "A-1"}, content="found", at=AT)
APPROVAL = Approval(fingerprint="f", tool="refund", input={}, at=AT)


def test_the_steps_of_a_row_come_back_in_their_order(world: World) -> None:
    for step, value in (("002", TURN), ("001.01", CALL), ("001", TURN)):
        world.transcripts.add(REQUEST_ID, step, value)
    world.transcripts.put(REQUEST_ID, "002.01-approval", APPROVAL)
    assert world.transcripts.steps(REQUEST_ID) == {
        "001": TURN,
        "001.01": CALL,
        "002": TURN,
        "002.01-approval": APPROVAL,
    }
    assert not world.transcripts.steps("x" * 22)


def test_a_step_is_written_once(world: World) -> None:
    world.transcripts.add(REQUEST_ID, "001", TURN)
    with pytest.raises(Conflict):
        world.transcripts.add(REQUEST_ID, "001", TURN)


def test_a_damaged_step_is_an_error_and_not_a_step_that_is_missing(world: World) -> None:
    world.lake.write(f"transcripts/actions/{REQUEST_ID}/001.json", b'{"kind": "turn"}')
    with pytest.raises(LakeError, match="is damaged"):
        world.transcripts.steps(REQUEST_ID)
