"""Faults for rows and for the content of answers, on synchronous messages."""

from __future__ import annotations

import json
from typing import Any

import anthropic
import pytest
from anthropic import Anthropic

from tests.emulator.conftest import asked, image_block, request
from tests.fixtures.emulator import Emulator

LABEL = {
    "type": "object",
    "additionalProperties": False,
    "properties": {"label": {"type": "string", "enum": ["billing", "bug"]}},
    "required": ["label"],
}
FORMAT = {"format": {"type": "json_schema", "schema": LABEL}}


def test_a_fault_for_rows_strikes_a_message(emulator: Emulator, client: Anthropic) -> None:
    emulator.set_faults([{"kind": "refusal", "times": 1}])
    assert [client.messages.create(**request()).stop_reason for _ in range(2)] == ["refusal", "end_turn"]


def test_a_message_that_does_not_match_is_no_chance(emulator: Emulator, client: Anthropic) -> None:
    emulator.set_faults([{"kind": "refusal", "match": "ticket 7", "times": 1}])
    reasons = [client.messages.create(**request(text)).stop_reason for text in ("ticket 6", "ticket 7")]
    assert reasons == ["end_turn", "refusal"]


def test_a_share_is_of_the_requests(emulator: Emulator, client: Anthropic) -> None:
    emulator.set_faults([{"kind": "refusal", "share": 0.5}])
    reasons = [client.messages.create(**request(f"ticket {number}")).stop_reason for number in range(30)]
    assert 5 < reasons.count("refusal") < 25


def test_an_errored_row_is_an_error_response_and_not_billed(emulator: Emulator, client: Anthropic) -> None:
    emulator.set_faults([{"kind": "errored", "error_type": "overloaded_error", "times": 1}])
    with pytest.raises(anthropic.OverloadedError):
        client.messages.create(**request())
    assert emulator.bills()["requests"] == 0


def test_an_image_may_not_be_processed(emulator: Emulator, client: Anthropic) -> None:
    emulator.set_faults([{"kind": "could_not_process", "times": 1}])
    assert client.messages.create(**request()).stop_reason == "end_turn"
    params: Any = request(messages=asked(image_block()))
    with pytest.raises(anthropic.BadRequestError, match="Could not process image"):
        client.messages.create(**params)
    assert client.messages.create(**params).stop_reason == "end_turn"


def test_no_message_expires(emulator: Emulator, client: Anthropic) -> None:
    emulator.set_faults([{"kind": "expired"}, {"kind": "canceled"}])
    assert client.messages.create(**request()).stop_reason == "end_turn"


def test_an_accuracy_holds_for_messages(emulator: Emulator, client: Anthropic) -> None:
    emulator.set_faults([{"kind": "accuracy", "field": "label", "case": "case (\\w+)", "truth": {"a": "bug"}}])
    message: Any = client.messages.create(**request("A billing question, case a", output_config=FORMAT))
    assert json.loads(message.content[0].text) == {"label": "bug"}
