from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import anthropic
import pytest

from include.enrichment.batches.poll import BatchStatus, Look
from include.enrichment.batches.poll_schedule import PAGE_WORTH
from include.enrichment.errors import ApiError, BatchNotFound, SetupError
from include.gateways import async_claude as module
from include.gateways.async_claude import AsyncClaude
from include.gateways.claude import Claude
from tests.fixtures.emulator import Emulator
from tests.gateways.claude_api import FOREIGN_RESPONSES, MISSING, Handler, body, list_calls, responding, served_by

T = TypeVar("T")
MANY = PAGE_WORTH + 1


def make(claude: Claude, count: int) -> list[str]:
    """Create batches, oldest first."""
    return [claude.create(body(), since=datetime.now(UTC)) for _ in range(count)]


def in_a_loop(base_url: str, call: Callable[[AsyncClaude], Awaitable[T]], *, api_key: str = "k") -> T:
    async def run() -> T:
        behind = anthropic.AsyncAnthropic(api_key=api_key, base_url=base_url, max_retries=0)
        async with AsyncClaude(behind, name="my_conn") as claude:
            return await call(claude)

    return asyncio.run(run())


def look(
    emulator: Emulator, batch_ids: Collection[str], *, made: datetime | None = None, bystanders: Collection[str] = ()
) -> dict[str, Look]:
    """Look at batches created at ``made``, or within the last day."""
    batches = dict.fromkeys(batch_ids, made or datetime.now(UTC) - timedelta(days=1))
    return in_a_loop(emulator.url, lambda claude: claude.look(batches, bystanders=bystanders), api_key=emulator.api_key)


def retrieved(emulator: Emulator) -> list[str]:
    """Return the ids that were retrieved one by one."""
    calls = emulator.log()["calls"]
    return [
        call["path"].rpartition("/")[2] for call in calls if call["method"] == "GET" and "/batches/" in call["path"]
    ]


def unknown_ids(count: int) -> list[str]:
    """Invent ids that the API does not know."""
    return [f"{MISSING[:-4]}{number:04}" for number in range(count)]


@pytest.mark.parametrize("count", [1, PAGE_WORTH, MANY])
def test_a_look_equals_the_retrieve_of_the_synchronous_client(claude: Claude, emulator: Emulator, count: int) -> None:
    batch_ids = make(claude, count)
    assert look(emulator, batch_ids) == {batch_id: claude.retrieve(batch_id) for batch_id in batch_ids}


def test_few_batches_are_retrieved_and_many_are_listed(claude: Claude, emulator: Emulator) -> None:
    batch_ids = make(claude, 50)
    look(emulator, batch_ids[:PAGE_WORTH])
    assert (sorted(retrieved(emulator)), list_calls(emulator)) == (sorted(batch_ids[:PAGE_WORTH]), [])
    assert len(look(emulator, batch_ids)) == 50
    assert (len(retrieved(emulator)), len(list_calls(emulator))) == (PAGE_WORTH, 1)


def test_bystanders_on_a_page_are_included_without_a_call_of_their_own(claude: Claude, emulator: Emulator) -> None:
    batch_ids = make(claude, MANY + 1)
    assert set(look(emulator, batch_ids[1:], bystanders=[batch_ids[0], MISSING])) == set(batch_ids)
    assert (len(list_calls(emulator)), retrieved(emulator)) == (1, [])
    assert set(look(emulator, batch_ids[:1], bystanders=batch_ids)) == {batch_ids[0]}


def test_many_batches_are_listed_page_by_page(
    claude: Claude, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAGE_BATCHES", 20)
    batch_ids = make(claude, 60)
    assert set(look(emulator, batch_ids)) == set(batch_ids)
    assert (len(list_calls(emulator)), retrieved(emulator)) == (3, [])


def test_batches_missing_from_the_list_are_retrieved(claude: Claude, emulator: Emulator) -> None:
    batch_ids = make(claude, MANY)
    emulator.set_faults([{"kind": "list_lag", "seconds": 600}])
    looks = look(emulator, batch_ids)
    assert all(isinstance(looks[batch_id], BatchStatus) for batch_id in batch_ids)
    assert sorted(retrieved(emulator)) == sorted(batch_ids)


def test_batches_of_others_do_not_cause_endless_pages(
    claude: Claude, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAGE_BATCHES", 5)
    ours, _strangers = make(claude, MANY), make(claude, 40)
    assert set(look(emulator, ours)) == set(ours)
    assert (len(list_calls(emulator)), sorted(retrieved(emulator))) == (1, sorted(ours))


@pytest.mark.parametrize(("known", "pages", "retrieves"), [(True, 2, 0), (False, 1, 2 * MANY)])
def test_no_page_is_read_beyond_the_creation_time_of_the_batches(
    claude: Claude, emulator: Emulator, monkeypatch: pytest.MonkeyPatch, known: bool, pages: int, retrieves: int
) -> None:
    monkeypatch.setattr(module, "PAGE_BATCHES", 20)
    ours = [*make(claude, 2 * MANY), *make(claude, 20)]
    made = datetime.now(UTC) + timedelta(hours=-1 if known else 1)
    assert set(look(emulator, ours, made=made)) == set(ours)
    assert (len(list_calls(emulator)), len(retrieved(emulator))) == (pages, retrieves)


def test_unknown_batches_are_searched_for_in_the_list_together(claude: Claude, emulator: Emulator) -> None:
    known, unknown = make(claude, 2), unknown_ids(30)
    looks = look(emulator, [*known, *unknown])
    for batch_id in unknown:
        with pytest.raises(
            BatchNotFound, match=f"{batch_id}.*list of the batches of the last 30 days does not contain it either"
        ):
            raise_look(looks[batch_id])
    assert all(isinstance(looks[batch_id], BatchStatus) for batch_id in known)
    assert len(list_calls(emulator)) == 1


def raise_look(found: Look) -> None:
    if not isinstance(found, BatchStatus):
        raise found


def test_a_single_unknown_batch_is_searched_for_too(claude: Claude, emulator: Emulator) -> None:
    make(claude, 1)
    assert isinstance(look(emulator, [MISSING])[MISSING], BatchNotFound)
    assert len(list_calls(emulator)) == 1


def test_a_batch_that_only_the_list_contains_is_found(
    claude: Claude, emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    (batch_id,) = make(claude, 1)
    status = claude.retrieve(batch_id)
    emulator.set_faults([{"kind": "not_found"}])
    with caplog.at_level(logging.WARNING):
        assert look(emulator, [batch_id]) == {batch_id: status}
    assert f"{batch_id}: the API answers 404" in caplog.text


@pytest.mark.parametrize("count", [1, MANY])
@pytest.mark.parametrize("status", [404, 503])
def test_a_failed_list_does_not_make_batches_unknown(
    claude: Claude, emulator: Emulator, status: int, count: int
) -> None:
    batch_ids = make(claude, count)
    emulator.set_faults([{"kind": "not_found"}, {"kind": "http_error", "on": "list", "status": status}])
    looks = look(emulator, batch_ids)
    assert set(looks) == set(batch_ids)
    for found in looks.values():
        assert isinstance(found, ApiError)
        assert found.retryable
        assert not isinstance(found, BatchNotFound)


@pytest.mark.parametrize("status", [404, 500, 529])
def test_batches_are_retrieved_while_only_the_list_fails(
    claude: Claude, emulator: Emulator, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setattr(module, "_WITHOUT_LIST", MANY - 2)
    batch_ids = make(claude, MANY)
    emulator.set_faults([{"kind": "http_error", "on": "list", "status": status}])
    looks = look(emulator, batch_ids)
    assert set(looks) == set(batch_ids)
    assert sum(isinstance(found, BatchStatus) for found in looks.values()) == MANY - 2
    assert sum(isinstance(found, ApiError) and found.retryable for found in looks.values()) == 2


@pytest.mark.parametrize("count", [1, MANY])
def test_a_response_that_trickles_endlessly_is_abandoned(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(module, "_CALL_SECONDS", 0.5)

    class Trickling(Handler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-length", "1000")
            self.end_headers()
            with suppress(OSError):
                for _ in range(100):
                    self.wfile.write(b" ")
                    time.sleep(0.1)

    batches = {f"msgbatch_{number}": datetime.now(UTC) for number in range(count)}
    with served_by(Trickling) as behind:
        looks = in_a_loop(str(behind._client.base_url), lambda claude: claude.look(batches))
    assert len(looks) == count
    assert all("took longer than 0.5 s" in str(found) for found in looks.values())


def test_an_unknown_batch_is_searched_for_page_by_page(
    claude: Claude, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAGE_BATCHES", 2)
    oldest, *_ = make(claude, 5)
    emulator.set_faults([{"kind": "not_found"}])
    assert isinstance(look(emulator, [oldest])[oldest], BatchStatus)
    assert len(list_calls(emulator)) == 3


def test_the_search_for_unknown_batches_ends_where_results_have_expired(
    claude: Claude, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAGE_BATCHES", 1)
    make(claude, 3)
    monkeypatch.setattr(module, "LISTED_FOR", timedelta(0))
    assert isinstance(look(emulator, [MISSING])[MISSING], BatchNotFound)
    assert len(list_calls(emulator)) == 1


def test_after_a_response_that_requests_a_wait_nothing_else_is_retrieved(
    claude: Claude, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_AT_ONCE", 1)
    batch_ids = make(claude, 4)
    emulator.set_faults([{"kind": "http_error", "on": "retrieve", "status": 429, "retry_after": 7, "after": 1}])
    first, *rest = look(emulator, batch_ids).values()
    assert isinstance(first, BatchStatus)
    assert [isinstance(found, ApiError) and found.retry_after_seconds for found in rest] == [7, 7, 7]
    assert len(retrieved(emulator)) == 2


def test_an_error_at_one_batch_does_not_affect_the_others(claude: Claude, emulator: Emulator) -> None:
    batch_ids = make(claude, 4)
    emulator.set_faults([{"kind": "http_error", "on": "retrieve", "status": 500, "times": 1}])
    looks = look(emulator, batch_ids)
    assert sorted(isinstance(found, BatchStatus) for found in looks.values()) == [False, True, True, True]


@pytest.mark.parametrize("count", [1, MANY])
def test_a_rejected_key_is_an_error_for_every_batch(claude: Claude, emulator: Emulator, count: int) -> None:
    batch_ids = make(claude, count)
    emulator.set_faults([{"kind": "http_error", "on": on, "status": 401} for on in ("retrieve", "list")])
    looks = look(emulator, batch_ids)
    assert set(looks) == set(batch_ids)
    assert all(isinstance(found, SetupError) and "'my_conn'" in str(found) for found in looks.values())


def test_a_running_batch_has_the_wait_that_the_api_requests(claude: Claude, emulator: Emulator) -> None:
    emulator.set_faults([{"kind": "stuck"}])
    batch_ids = make(claude, MANY)
    (alone,) = look(emulator, batch_ids[:1]).values()
    (listed, *_) = look(emulator, batch_ids).values()
    assert isinstance(alone, BatchStatus)
    assert isinstance(listed, BatchStatus)
    assert (alone.retry_after_seconds, listed.retry_after_seconds) == (10, None)


MALFORMED_PAGES = [
    *FOREIGN_RESPONSES,
    ("application/json", b'{"data": [], "has_more": true, "last_id": "b"}'),
    ("application/json", b'{"data": [{}], "has_more": true}'),
    ("application/json", b'{"has_more": false}'),
    ("application/json", b"\xff\xfe"),
]


@pytest.mark.parametrize(("kind", "response"), MALFORMED_PAGES)
@pytest.mark.parametrize("count", [1, MANY])
def test_a_foreign_response_can_be_retried(kind: str, response: bytes, count: int) -> None:
    batches = dict.fromkeys(unknown_ids(count), datetime.now(UTC))
    with served_by(responding(response, kind=kind)) as behind:
        looks = in_a_loop(str(behind._client.base_url), lambda claude: claude.look(batches))
    assert set(looks) == set(batches)
    for found in looks.values():
        assert isinstance(found, ApiError)
        assert "did not come from the API" in str(found)
        assert found.retryable


def cancel(emulator: Emulator, batch_id: str) -> None:
    in_a_loop(emulator.url, lambda claude: claude.cancel(batch_id), api_key=emulator.api_key)


def test_a_canceled_batch_ends(claude: Claude, emulator: Emulator) -> None:
    emulator.set_faults([{"kind": "stuck"}])
    (batch_id,) = make(claude, 1)
    cancel(emulator, batch_id)
    status = claude.retrieve(batch_id)
    assert (status.ended, status.counts["canceled"]) == (True, 2)


def test_canceling_an_ended_batch_has_no_effect(claude: Claude, emulator: Emulator) -> None:
    (batch_id,) = make(claude, 1)
    cancel(emulator, batch_id)
    assert claude.retrieve(batch_id).counts["succeeded"] == 2


def test_a_rejected_cancel_of_a_running_batch_is_an_error(claude: Claude, emulator: Emulator) -> None:
    emulator.set_faults([{"kind": "stuck"}, {"kind": "http_error", "on": "cancel", "status": 400}])
    (batch_id,) = make(claude, 1)
    with pytest.raises(ApiError, match=f"Canceling batch {batch_id} failed: HTTP 400"):
        cancel(emulator, batch_id)


def test_canceling_an_unknown_batch_is_an_error(emulator: Emulator) -> None:
    with pytest.raises(BatchNotFound, match=f"Canceling batch {MISSING}"):
        cancel(emulator, MISSING)
