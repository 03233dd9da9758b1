"""Everything that can be made to go wrong, seen through the real SDK."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import anthropic
import httpx2
import jsonschema_rs
import pytest
from anthropic import Anthropic

from include.emulator.faults import KINDS, FaultError, parse
from tests.emulator.conftest import create, ended, request, results
from tests.fixtures.emulator import Emulator

LABELS = {
    "type": "object",
    "additionalProperties": False,
    "properties": {"label": {"type": "string", "enum": ["billing", "bug"]}, "why": {"type": "string"}},
    "required": ["label", "why"],
}
STRUCTURED = {"format": {"type": "json_schema", "schema": LABELS}}


def _one_result(client: Anthropic, **params: Any) -> Any:
    batch = ended(client, create(client, request(**params)).id)
    return results(client, batch.id)["r-0"]


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, anthropic.BadRequestError),
        (408, anthropic.APIStatusError),
        (409, anthropic.ConflictError),
        (429, anthropic.RateLimitError),
        (500, anthropic.InternalServerError),
        (503, anthropic.APIStatusError),
        (529, anthropic.APIStatusError),
    ],
)
def test_a_create_fails_with_a_status_and_makes_nothing(
    emulator: Emulator, client: Anthropic, status: int, error: type[anthropic.APIStatusError]
) -> None:
    emulator.set_faults([{"kind": "http_error", "status": status, "times": 1}])
    with pytest.raises(error) as caught:
        create(client, request())
    assert caught.value.status_code == status
    assert "retry-after" not in caught.value.response.headers
    assert emulator.batches_made() == []
    create(client, request())


def test_a_429_may_say_when_to_come_back(emulator: Emulator, client: Anthropic) -> None:
    emulator.set_faults([{"kind": "http_error", "status": 429, "retry_after": 30}])
    with pytest.raises(anthropic.RateLimitError) as caught:
        create(client, request())
    assert caught.value.response.headers["retry-after"] == "30"


def test_a_spend_limit_is_a_429_with_its_error_code(emulator: Emulator, client: Anthropic) -> None:
    emulator.set_faults([{"kind": "http_error", "status": 429, "error_code": "enforced_spend_limit_reached"}])
    with pytest.raises(anthropic.RateLimitError) as caught:
        create(client, request())
    body: Any = caught.value.body
    assert body["error"]["details"] == {"error_code": "enforced_spend_limit_reached"}


def test_a_500_may_come_after_the_batch_was_made(emulator: Emulator, client: Anthropic) -> None:
    emulator.set_faults([{"kind": "http_error", "status": 500, "created": True, "times": 1}])
    with pytest.raises(anthropic.InternalServerError):
        create(client, request())
    assert len(emulator.batches_made()) == 1


@pytest.mark.parametrize(("kind", "made"), [("reset_before_create", 0), ("reset_after_create", 1)])
def test_a_reset_create_tells_nothing_of_what_was_made(
    emulator: Emulator, client: Anthropic, kind: str, made: int
) -> None:
    emulator.set_faults([{"kind": kind, "times": 1}])
    with pytest.raises(anthropic.APIConnectionError):
        create(client, request())
    assert len(emulator.batches_made()) == made
    assert len(client.messages.batches.list().data) == made


def test_the_sdks_own_retries_pay_twice(emulator: Emulator, client: Anthropic) -> None:
    emulator.set_faults([{"kind": "reset_after_create", "times": 2}])
    create(client.with_options(max_retries=2), request())
    assert [call["retry_count"] for call in emulator.creates()] == [0, 1, 2]
    assert [call["status"] for call in emulator.creates()] == [None, None, 200]
    assert len(emulator.batches_made()) == 3


def test_a_slow_create_is_made_though_the_client_gave_up(emulator: Emulator, client: Anthropic) -> None:
    emulator.set_faults([{"kind": "slow", "seconds": 0.5, "times": 1}])
    with pytest.raises(anthropic.APITimeoutError):
        create(client.with_options(timeout=0.2), request())
    assert len(emulator.batches_made()) == 1


@pytest.mark.parametrize("on", ["retrieve", "results", "cancel", "list", "delete", "models", "messages"])
def test_any_call_can_fail(emulator: Emulator, client: Anthropic, on: str) -> None:
    batch = ended(client, create(client, request()).id)
    emulator.set_faults([{"kind": "http_error", "status": 503, "on": on, "times": 1}])
    batches = client.messages.batches
    calls: dict[str, Callable[[], object]] = {
        "retrieve": lambda: batches.retrieve(batch.id),
        "results": lambda: batches.results(batch.id),
        "cancel": lambda: batches.cancel(batch.id),
        "list": lambda: batches.list(),
        "delete": lambda: batches.delete(batch.id),
        "models": lambda: client.models.list(),
        "messages": lambda: client.messages.create(**request()),
    }
    with pytest.raises(anthropic.APIStatusError) as caught:
        calls[on]()
    assert caught.value.status_code == 503


def test_a_healthy_batch_is_not_found_for_a_while_but_listed(emulator: Emulator, client: Anthropic) -> None:
    batch = create(client, request())
    emulator.set_faults([{"kind": "not_found", "times": 2}])
    for _ in range(2):
        with pytest.raises(anthropic.NotFoundError, match=f"Message Batch {batch.id} not found"):
            client.messages.batches.retrieve(batch.id)
    assert client.messages.batches.list().data[0].id == batch.id
    assert client.messages.batches.retrieve(batch.id).id == batch.id


def test_a_new_batch_is_listed_late(emulator: Emulator, client: Anthropic) -> None:
    emulator.set_faults([{"kind": "list_lag", "seconds": 60}])
    batch = create(client, request())
    assert client.messages.batches.list().data == []
    emulator.advance_clock(60)
    assert client.messages.batches.list().data[0].id == batch.id


def test_a_download_breaks_off_inside_a_line(emulator: Emulator, client: Anthropic) -> None:
    batch = ended(client, create(client, *[request()] * 10).id)
    emulator.set_faults([{"kind": "cut_results", "times": 1}])
    with pytest.raises(httpx2.RemoteProtocolError):
        list(client.messages.batches.results(batch.id))
    assert len(results(client, batch.id)) == 10


def test_a_download_cut_after_a_line_looks_whole(emulator: Emulator, client: Anthropic) -> None:
    batch = ended(client, create(client, *[request()] * 10).id)
    emulator.set_faults([{"kind": "cut_results", "at": "line_boundary", "after_lines": 7, "times": 1}])
    assert len(results(client, batch.id)) == 7
    assert len(results(client, batch.id)) == 10


def test_lines_go_missing_come_twice_and_come_from_elsewhere(emulator: Emulator, client: Anthropic) -> None:
    batch = ended(client, create(client, *[request()] * 10).id)
    emulator.set_faults(
        [
            {"kind": "missing_lines", "count": 2},
            {"kind": "duplicate_lines", "count": 3},
            {"kind": "foreign_lines", "count": 1},
        ]
    )
    ids = [line.custom_id for line in client.messages.batches.results(batch.id)]
    assert len(ids) == 10 - 2 + 3 + 1
    assert len(set(ids)) == 8 + 1
    assert "simulated-foreign-0" in ids


def test_rows_error_expire_and_are_canceled_by_custom_id(emulator: Emulator, client: Anthropic) -> None:
    emulator.set_faults(
        [
            {"kind": "errored", "custom_ids": ["r-0"], "error_type": "overloaded_error"},
            {"kind": "expired", "custom_ids": ["r-1"]},
            {"kind": "canceled", "custom_ids": ["r-2"]},
        ]
    )
    batch = ended(client, create(client, *[request()] * 4).id)
    lines = results(client, batch.id)
    assert lines["r-0"]["error"]["error"]["type"] == "overloaded_error"
    assert lines["r-0"]["error"]["request_id"].startswith("workerreq_")
    assert [lines[f"r-{index}"]["type"] for index in range(4)] == ["errored", "expired", "canceled", "succeeded"]
    counts = batch.request_counts
    assert (counts.errored, counts.expired, counts.canceled, counts.succeeded) == (1, 1, 1, 1)


def test_a_share_of_rows_is_struck_and_the_same_ones_each_time(emulator: Emulator, client: Anthropic) -> None:
    emulator.set_faults([{"kind": "errored", "share": 0.2}])
    one, other = (results(client, ended(client, create(client, *[request()] * 200).id).id) for _ in range(2))
    struck = {name for name, result in one.items() if result["type"] == "errored"}
    assert 20 <= len(struck) <= 60
    assert struck == {name for name, result in other.items() if result["type"] == "errored"}


def test_rows_are_struck_by_a_word_in_their_params(emulator: Emulator, client: Anthropic) -> None:
    emulator.set_faults([{"kind": "errored", "match": "poison"}])
    batch = ended(client, create(client, request("all well"), request("some poison here")).id)
    assert {name: line["type"] for name, line in results(client, batch.id).items()} == {
        "r-0": "succeeded",
        "r-1": "errored",
    }


def test_a_row_fault_strikes_the_batches_made_under_it_and_no_later_ones(emulator: Emulator, client: Anthropic) -> None:
    emulator.set_faults([{"kind": "expired", "times": 1}])
    first, second = create(client, request()), create(client, request())
    assert ended(client, first.id).request_counts.expired == 1
    assert ended(client, second.id).request_counts.succeeded == 1


def test_a_text_is_not_json(emulator: Emulator, client: Anthropic) -> None:
    emulator.set_faults([{"kind": "invalid_json"}])
    text = _one_result(client, output_config=STRUCTURED)["message"]["content"][0]["text"]
    with pytest.raises(json.JSONDecodeError):
        json.loads(text)


def test_a_json_violates_its_schema(emulator: Emulator, client: Anthropic) -> None:
    emulator.set_faults([{"kind": "violates_schema"}])
    value = json.loads(_one_result(client, output_config=STRUCTURED)["message"]["content"][0]["text"])
    assert not jsonschema_rs.is_valid(LABELS, value)


def test_an_enum_comes_in_the_wrong_case(emulator: Emulator, client: Anthropic) -> None:
    emulator.set_faults([{"kind": "wrong_case_enum"}])
    value = json.loads(_one_result(client, output_config=STRUCTURED)["message"]["content"][0]["text"])
    assert value["label"] in {"BILLING", "BUG"}


def test_an_answer_is_cut_at_max_tokens(emulator: Emulator, client: Anthropic) -> None:
    emulator.set_faults([{"kind": "truncated"}])
    message = _one_result(client, output_config=STRUCTURED)["message"]
    assert message["stop_reason"] == "max_tokens"
    assert message["usage"]["output_tokens"] == 200
    with pytest.raises(json.JSONDecodeError):
        json.loads(message["content"][0]["text"])


def test_a_refusal_succeeds_without_an_answer(emulator: Emulator, client: Anthropic) -> None:
    emulator.set_faults([{"kind": "refusal", "category": "cyber"}])
    result = _one_result(client, output_config=STRUCTURED)
    assert result["type"] == "succeeded"
    assert result["message"]["stop_reason"] == "refusal"
    assert result["message"]["stop_details"]["category"] == "cyber"
    assert result["message"]["content"] == []


def test_faults_are_shown_with_what_is_left_of_them_and_cleared(emulator: Emulator, client: Anthropic) -> None:
    emulator.set_faults([{"kind": "http_error", "status": 500, "times": 3}])
    with pytest.raises(anthropic.InternalServerError):
        create(client, request())
    assert emulator.faults()[0]["remaining"] == 2
    emulator.set_faults([])
    assert emulator.faults() == []


def test_a_fault_of_one_workspace_leaves_the_others(emulator: Emulator, client: Anthropic) -> None:
    emulator.workspace().set_faults([{"kind": "slow", "seconds": 60}, {"kind": "http_error", "status": 500}])
    started = time.monotonic()
    create(client, request())
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ({"kind": "http_eror", "status": 500}, "Did you mean 'http_error'"),
        ({"kind": "http_error"}, "missing required field `status`"),
        ({"kind": "http_error", "status": 200}, ">= 400"),
        ({"kind": "http_error", "status": 500, "on": "retrieve", "created": True}, "create"),
        ({"kind": "errored", "shre": 1}, "unknown field `shre`"),
        ({"kind": "errored", "share": 1.5}, "<= 1"),
        ({"kind": "stuck", "times": 0}, ">= 1"),
        ({}, f"Kinds: {KINDS[0]}"),
    ],
)
def test_a_fault_that_is_not_understood_is_refused_with_what_would_be(
    emulator: Emulator, fault: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match="Fault 0") as caught:
        emulator.set_faults([fault])
    assert message in str(caught.value)


def test_faults_are_read_from_yaml_and_json_alike() -> None:
    yaml = "faults:\n  - kind: errored\n    share: 0.5\n    times: 2\n"
    assert parse(yaml) == parse('[{"kind": "errored", "share": 0.5, "times": 2}]')


@pytest.mark.parametrize("text", ["{", "kind: stuck", "stuck", ""])
def test_what_is_not_a_list_of_faults_is_refused(text: str) -> None:
    with pytest.raises(FaultError):
        parse(text)
