"""Everything that can be made to go wrong, seen through the real SDK."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import jsonschema_rs
import pytest
from anthropic import Anthropic

from include.emulator.engine.faults import KINDS, AnyFault, Fault, FaultError, RowFault, parse
from tests.emulator.conftest import create, ended, request, results
from tests.fixtures.emulator import Emulator

DOCUMENTATION = (Path(__file__).parents[3] / "docs" / "emulator.md").read_text(encoding="utf-8")
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


def test_a_workspace_without_human_review_refuses_creates_and_nothing_else(
    emulator: Emulator, client: Anthropic
) -> None:
    made = create(client, request())
    emulator.set_faults([{"kind": "workspace_human_review_disabled"}])
    with pytest.raises(anthropic.BadRequestError) as caught:
        create(client, request())
    assert caught.value.error_code == "workspace_human_review_disabled"
    assert [batch.id for batch in client.messages.batches.list()] == [made.id]


@pytest.mark.parametrize("status", [408, 409, 500, 502, 503, 504, 529])
def test_any_error_may_come_after_the_batch_was_made(emulator: Emulator, client: Anthropic, status: int) -> None:
    emulator.set_faults([{"kind": "http_error", "status": status, "created": True, "times": 1}])
    with pytest.raises(anthropic.APIStatusError) as caught:
        create(client, request())
    assert caught.value.status_code == status
    assert len(emulator.batches_made()) == 1


@pytest.mark.parametrize(
    ("fault", "made"),
    [
        ({"kind": "reset_before_create"}, 0),
        ({"kind": "reset_before_create", "body_read": False}, 0),
        ({"kind": "reset_after_create"}, 1),
    ],
    ids=["before", "unread", "after"],
)
@pytest.mark.parametrize("text", ["small", "large " * 1_000_000], ids=["small", "large"])
def test_a_reset_create_tells_nothing_of_what_was_made(
    emulator: Emulator, client: Anthropic, fault: dict[str, object], made: int, text: str
) -> None:
    emulator.set_faults([{**fault, "times": 1}])
    with pytest.raises(anthropic.APIConnectionError):
        create(client, request(text))
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
    while not emulator.creates():  # a busy machine may read the request when its client has gone
        time.sleep(0.02)
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


def test_a_list_without_the_newest_batch_still_shows_the_others(emulator: Emulator, client: Anthropic) -> None:
    old = create(client, request())
    emulator.advance_clock(60)
    new = create(client, request())
    emulator.set_faults([{"kind": "list_lag", "seconds": 60}])
    assert [batch.id for batch in client.messages.batches.list(limit=1)] == [old.id]
    emulator.set_faults([])
    assert [batch.id for batch in client.messages.batches.list(limit=1)] == [new.id, old.id]


def test_a_new_batch_is_seen_nowhere_while_older_ones_are(emulator: Emulator, client: Anthropic) -> None:
    old = create(client, request())
    emulator.advance_clock(60)
    emulator.set_faults([{"kind": "list_lag", "seconds": 60}, {"kind": "not_found", "seconds": 60}])
    new = create(client, request())
    assert [batch.id for batch in client.messages.batches.list()] == [old.id]
    assert client.messages.batches.retrieve(old.id).id == old.id
    with pytest.raises(anthropic.NotFoundError):
        client.messages.batches.retrieve(new.id)
    emulator.advance_clock(60)
    assert [batch.id for batch in client.messages.batches.list()] == [new.id, old.id]
    assert client.messages.batches.retrieve(new.id).id == new.id


def test_an_archived_batch_is_there_without_its_results(emulator: Emulator, client: Anthropic) -> None:
    batch = ended(client, create(client, request()).id)
    emulator.set_faults([{"kind": "archived"}])
    for seen in (client.messages.batches.retrieve(batch.id), client.messages.batches.list().data[0]):
        assert (seen.processing_status, seen.archived_at, seen.results_url) == ("ended", batch.ended_at, None)
    with pytest.raises(anthropic.NotFoundError, match="has no available results"):
        client.get(f"/v1/messages/batches/{batch.id}/results", cast_to=object)
    emulator.set_faults([])
    assert len(results(client, batch.id)) == 1


def test_a_batch_in_progress_is_not_archived(emulator: Emulator, client: Anthropic) -> None:
    emulator.set_faults([{"kind": "archived"}, {"kind": "stuck"}])
    batch = create(client, request())
    assert client.messages.batches.retrieve(batch.id).archived_at is None


@pytest.mark.parametrize(("limit", "fits"), [({"requests": 5}, 2), ({"batches": 1}, 5)], ids=["requests", "batches"])
def test_a_create_beyond_the_queue_limit_is_refused_until_there_is_room(
    emulator: Emulator, client: Anthropic, limit: dict[str, int], fits: int
) -> None:
    emulator.set_faults([{"kind": "queue_limit", **limit}, {"kind": "duration", "seconds": 600}])
    first = create(client, *[request()] * 3)
    with pytest.raises(anthropic.RateLimitError, match="in the processing queue") as caught:
        create(client, *[request()] * 3)
    assert "retry-after" not in caught.value.response.headers
    assert [batch["id"] for batch in emulator.batches_made()] == [first.id]
    emulator.advance_clock(600)
    ended(client, first.id)
    create(client, *[request()] * fits)


def test_a_create_up_to_the_queue_limit_is_accepted(emulator: Emulator, client: Anthropic) -> None:
    emulator.set_faults([{"kind": "queue_limit", "requests": 5, "retry_after": 30}, {"kind": "stuck"}])
    create(client, *[request()] * 3)
    create(client, *[request()] * 2)
    with pytest.raises(anthropic.RateLimitError) as caught:
        create(client, request())
    assert caught.value.response.headers["retry-after"] == "30"


def test_the_queue_of_one_workspace_leaves_room_in_the_others(
    emulator: Emulator, client: Anthropic, client_of: Callable[[Emulator], Anthropic]
) -> None:
    other = emulator.workspace()
    for workspace in (emulator, other):
        workspace.set_faults([{"kind": "queue_limit", "batches": 1}, {"kind": "stuck"}])
    create(client, request())
    create(client_of(other), request())


def test_batch_calls_beyond_the_limit_of_a_minute_wait_for_the_next(emulator: Emulator, client: Anthropic) -> None:
    emulator.advance_clock(60 - time.time() % 60)  # so that the test does not straddle two minutes
    emulator.set_faults([{"kind": "calls_per_minute", "calls": 3}])
    batch = create(client, request())
    client.messages.batches.retrieve(batch.id)
    client.messages.batches.list()
    with pytest.raises(anthropic.RateLimitError) as caught:
        create(client, request())
    headers = caught.value.response.headers
    assert (headers["anthropic-ratelimit-requests-limit"], headers["anthropic-ratelimit-requests-remaining"]) == (
        "3",
        "0",
    )
    assert len(emulator.batches_made()) == 1
    client.models.list()  # no batch call: it has a limit of its own
    assert 30 <= int(headers["retry-after"]) <= 60
    emulator.advance_clock(int(headers["retry-after"]))
    create(client, request())


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


def _raw_results(emulator: Emulator, batch_id: str, accept_encoding: str) -> httpx2.Response:
    headers = {
        "x-api-key": emulator.api_key,
        "anthropic-version": "2026-10-21",
        "accept-encoding": accept_encoding,
    }
    return httpx2.get(f"{emulator.url}/v1/messages/batches/{batch_id}/results", headers=headers)


def test_a_download_is_compressed_for_a_client_that_accepts_it(emulator: Emulator, client: Anthropic) -> None:
    batch = ended(client, create(client, *[request()] * 100).id)
    plain = _raw_results(emulator, batch.id, "gzip")
    emulator.set_faults([{"kind": "gzip_results", "times": 1}])
    assert "content-encoding" not in _raw_results(emulator, batch.id, "identity").headers
    compressed = _raw_results(emulator, batch.id, "gzip, deflate")
    assert compressed.headers["content-encoding"] == "gzip"
    assert compressed.text == plain.text
    assert "content-encoding" not in _raw_results(emulator, batch.id, "gzip").headers


def test_a_compressed_download_breaks_off(emulator: Emulator, client: Anthropic) -> None:
    batch = ended(client, create(client, *[request()] * 10).id)
    emulator.set_faults([{"kind": "gzip_results"}, {"kind": "cut_results", "after_lines": 7}])
    body = bytearray()

    def download() -> None:
        with client.messages.batches.with_streaming_response.results(batch.id) as response:
            for piece in response.iter_bytes():
                body.extend(piece)

    with pytest.raises(httpx2.RemoteProtocolError):
        download()
    assert len(body.splitlines()) == 8
    assert not body.endswith(b"\n")


def test_a_compressed_download_cut_after_a_line_looks_whole(emulator: Emulator, client: Anthropic) -> None:
    batch = ended(client, create(client, *[request()] * 10).id)
    emulator.set_faults([{"kind": "gzip_results"}, {"kind": "cut_results", "at": "line_boundary", "after_lines": 7}])
    assert len(results(client, batch.id)) == 7


def test_a_download_stalls_halfway_and_goes_on(emulator: Emulator, client: Anthropic) -> None:
    batch = ended(client, create(client, *[request()] * 10).id)
    emulator.set_faults([{"kind": "stall_results", "seconds": 0.6}])
    with pytest.raises(httpx2.ReadTimeout):
        results(client.with_options(timeout=0.3), batch.id)
    assert len(results(client, batch.id)) == 10


def test_the_last_line_may_lack_its_newline(emulator: Emulator, client: Anthropic) -> None:
    batch = ended(client, create(client, *[request()] * 10).id)
    emulator.set_faults([{"kind": "no_final_newline"}])
    assert not _raw_results(emulator, batch.id, "identity").text.endswith("\n")
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


def test_a_batch_without_the_word_does_not_use_up_a_fault(emulator: Emulator, client: Anthropic) -> None:
    emulator.set_faults([{"kind": "errored", "match": "poison", "times": 1}])
    others, first, second = (create(client, request(text)) for text in ("all well", "poison", "more poison"))
    assert ended(client, others.id).request_counts.succeeded == 1
    assert ended(client, first.id).request_counts.errored == 1
    assert ended(client, second.id).request_counts.succeeded == 1


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


def _statuses(client: Anthropic, calls: int) -> list[int]:
    found = []
    for _ in range(calls):
        try:
            client.messages.batches.list()
            found.append(200)
        except anthropic.APIStatusError as error:
            found.append(error.status_code)
    return found


def test_a_fault_spares_its_first_chances_and_then_strikes_as_often_as_told(
    emulator: Emulator, client: Anthropic
) -> None:
    emulator.set_faults([{"kind": "http_error", "on": "list", "status": 503, "after": 2, "times": 3}])
    assert _statuses(client, 2) == [200, 200]
    assert [(fault["chances"], fault["remaining"]) for fault in emulator.faults()] == [(2, 3)]
    assert _statuses(client, 5) == [503, 503, 503, 200, 200]


def test_a_fault_that_passes_leaves_the_call_to_the_next_one(emulator: Emulator, client: Anthropic) -> None:
    emulator.set_faults(
        [
            {"kind": "http_error", "on": "list", "status": 503, "after": 1, "times": 1},
            {"kind": "http_error", "on": "list", "status": 529, "times": 2},
        ]
    )
    assert _statuses(client, 4) == [529, 503, 529, 200]


def test_a_fault_strikes_by_chance_and_at_the_same_calls_every_time(
    emulator: Emulator, client: Anthropic, client_of: Callable[[Emulator], Anthropic]
) -> None:
    other = emulator.workspace()
    fault = {"kind": "http_error", "on": "list", "status": 503, "chance": 0.3, "after": 5, "times": 12}
    emulator.set_faults([fault])
    other.set_faults([fault])
    statuses = _statuses(client, 60)
    assert statuses == _statuses(client_of(other), 60)
    assert statuses[:5] == [200] * 5
    assert 6 <= statuses.count(503) <= 12


def test_a_row_fault_has_one_chance_for_each_batch(emulator: Emulator, client: Anthropic) -> None:
    emulator.set_faults([{"kind": "errored", "chance": 0.5, "after": 1}])
    counts = [ended(client, create(client, *[request()] * 3).id).request_counts.errored for _ in range(20)]
    assert counts[0] == 0
    assert set(counts) == {0, 3}


def test_a_fault_of_one_workspace_leaves_the_others(emulator: Emulator, client: Anthropic) -> None:
    other = emulator.workspace()
    other.set_faults([{"kind": "slow", "seconds": 60}, {"kind": "http_error", "status": 500}])
    create(client, request())
    assert [fault["chances"] for fault in other.faults()] == [0, 0]


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ({"kind": "http_eror", "status": 500}, "Did you mean 'http_error'"),
        ({"kind": "http_error"}, "missing required field `status`"),
        ({"kind": "http_error", "status": 200}, ">= 400"),
        ({"kind": "http_error", "status": 500, "on": "retrieve", "created": True}, "create"),
        ({"kind": "errored", "shre": 1}, "field 'shre' is unknown. Did you mean 'share'? Fields: after, chance, "),
        ({"kind": "stuck", "seconds": 1}, "field 'seconds' is unknown. Fields: after, chance, times."),
        ({"kind": "errored", "share": 1.5}, "<= 1"),
        ({"kind": "stuck", "times": 0}, ">= 1"),
        ({"kind": "stuck", "after": -1}, ">= 0"),
        ({"kind": "stuck", "chance": 0}, "> 0"),
        ({"kind": "stuck", "chance": 1.1}, "<= 1"),
        ({"kind": "queue_limit"}, "either `requests` or `batches`"),
        ({"kind": "queue_limit", "requests": 1, "batches": 1}, "either `requests` or `batches`"),
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


@pytest.mark.parametrize("fault", AnyFault.__args__, ids=KINDS)
def test_the_documentation_has_every_kind_with_its_fields(fault: type[Fault]) -> None:
    rows = [line for line in DOCUMENTATION.splitlines() if line.startswith(f"| `{fault.__struct_config__.tag}` |")]
    assert len(rows) == 1
    common = RowFault.__struct_fields__ if issubclass(fault, RowFault) else Fault.__struct_fields__
    assert all(f"`{name}`" in DOCUMENTATION for name in common)
    assert {name for name in fault.__struct_fields__ if name not in common and f"`{name}`" not in rows[0]} == set()


@pytest.mark.parametrize("faults", re.findall(r"`(\[\{.*?\}\])`", DOCUMENTATION))
def test_the_faults_of_the_documentation_are_valid(faults: str) -> None:
    assert parse(faults)


@pytest.mark.parametrize("text", ["{", "kind: stuck", "stuck", ""])
def test_what_is_not_a_list_of_faults_is_refused(text: str) -> None:
    with pytest.raises(FaultError):
        parse(text)
