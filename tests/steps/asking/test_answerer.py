"""answerer.py: what answers requests one by one."""

from __future__ import annotations

from include.gateways.synchronous.messages import Messages
from include.steps.asking.answerer import Answerer


def test_one_call_to_the_api_is_an_answerer() -> None:
    answerer: type[Answerer] = Messages
    assert answerer is Messages
