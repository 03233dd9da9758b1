"""answerer.py: what answers requests one by one."""

from __future__ import annotations

from include.gateways.synchronous.answerer import Answerer
from include.gateways.synchronous.messages import Messages


def test_one_call_to_the_api_is_an_answerer() -> None:
    answerer: type[Answerer] = Messages
    assert answerer is Messages
