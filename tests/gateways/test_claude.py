from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from threading import Event

import anthropic
import pytest

from include.enrichment.errors import ApiError, BatchNotFound, LoadError
from include.gateways import claude as claude_module
from include.gateways.claude import Claude
from tests.fixtures.emulator import Emulator
from tests.gateways.claude_api import (
    FOREIGN_RESPONSES,
    MISSING,
    PARAMS,
    Handler,
    body,
    list_calls,
    responding,
    served_by,
)


def test_a_batch_is_created_polled_and_read(claude: Claude) -> None:
    batch_id = claude.create(body(3), since=datetime.now(UTC))
    status = claude.retrieve(batch_id)
    assert (status.ended, status.requests) == (True, 3)
    assert status.expires_at - status.created_at == timedelta(hours=24)
    with claude.results(batch_id) as pieces:
        assert b"".join(pieces).count(b"\n") == 3


@pytest.mark.parametrize(("kind", "response"), FOREIGN_RESPONSES)
@pytest.mark.parametrize(
    "read",
    [
        lambda claude: claude.retrieve("msgbatch_1"),
        lambda claude: claude.newest_batch(),
        lambda claude: claude.batches_since(None, not_before=datetime.now(UTC)),
    ],
    ids=["retrieve", "newest_batch", "batches_since"],
)
def test_a_foreign_response_to_a_read_can_be_retried(
    kind: str, response: bytes, read: Callable[[Claude], object]
) -> None:
    with (
        served_by(responding(response, kind=kind)) as claude,
        pytest.raises(ApiError, match="did not come from the API") as caught,
    ):
        read(claude)
    assert caught.value.retryable


def test_a_foreign_response_for_a_model_can_be_retried() -> None:
    with (
        served_by(responding(b"<p>Please log in", kind="text/html")) as claude,
        pytest.raises(ApiError, match="did not come from the API"),
    ):
        claude.model("claude-haiku-5-5")


def test_an_unknown_batch_is_not_found_only_if_the_list_lacks_it_too(claude: Claude, emulator: Emulator) -> None:
    claude.create(body(), since=datetime.now(UTC))
    with pytest.raises(
        BatchNotFound, match=f"{MISSING}.*list of the batches of the last 30 days does not contain it either"
    ):
        claude.retrieve(MISSING)
    assert len(list_calls(emulator)) == 1


def test_a_batch_that_only_the_list_contains_is_found(
    claude: Claude, emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    batch_id = claude.create(body(), since=datetime.now(UTC))
    status = claude.retrieve(batch_id)
    emulator.set_faults([{"kind": "not_found"}])
    with caplog.at_level(logging.WARNING):
        assert claude.retrieve(batch_id) == status
    assert f"{batch_id}: the API answers 404" in caplog.text


@pytest.mark.parametrize("status", [404, 503])
def test_a_failed_list_does_not_make_a_batch_unknown(claude: Claude, emulator: Emulator, status: int) -> None:
    batch_id = claude.create(body(), since=datetime.now(UTC))
    emulator.set_faults([{"kind": "not_found"}, {"kind": "http_error", "on": "list", "status": status}])
    with pytest.raises(ApiError) as caught:
        claude.retrieve(batch_id)
    assert caught.value.retryable
    assert not isinstance(caught.value, BatchNotFound)


def test_an_unknown_batch_is_searched_for_page_by_page(
    claude: Claude, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claude_module, "PAGE_BATCHES", 2)
    oldest, *_ = (claude.create(body(), since=datetime.now(UTC)) for _ in range(5))
    emulator.set_faults([{"kind": "not_found"}])
    assert claude.retrieve(oldest).batch_id == oldest
    assert len(list_calls(emulator)) == 3


def test_the_search_for_an_unknown_batch_ends_where_results_have_expired(
    claude: Claude, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claude_module, "PAGE_BATCHES", 1)
    for _ in range(3):
        claude.create(body(), since=datetime.now(UTC))
    monkeypatch.setattr(claude_module, "LISTED_FOR", timedelta(0))
    with pytest.raises(BatchNotFound):
        claude.retrieve(MISSING)
    assert len(list_calls(emulator)) == 1


def test_the_newest_batch_takes_one_small_call(claude: Claude, emulator: Emulator) -> None:
    assert claude.newest_batch() is None
    newest = [claude.create(body(), since=datetime.now(UTC)) for _ in range(3)][-1]
    assert claude.newest_batch() == newest
    assert [path.split("?")[1] for path in list_calls(emulator)] == ["limit=1", "limit=1"]


def test_batches_since_a_fence_are_the_newer_ones(claude: Claude) -> None:
    first, second, third, fourth = (claude.create(body(), since=datetime.now(UTC)) for _ in range(4))

    def since(fence: str | None, ago: timedelta) -> list[str]:
        return [batch.batch_id for batch in claude.batches_since(fence, not_before=datetime.now(UTC) - ago)]

    hour = timedelta(hours=1)
    assert since(second, hour) == [fourth, third]
    assert since(fourth, hour) == []
    assert since(None, hour) == since("msgbatch_of_another_day", hour) == [fourth, third, second, first]
    assert since(first, -hour) == []


def test_batches_since_includes_a_batch_created_exactly_at_the_bound(claude: Claude) -> None:
    older, newer = (claude.retrieve(claude.create(body(), since=datetime.now(UTC))) for _ in range(2))
    assert claude.batches_since(None, not_before=newer.created_at) == [newer]
    assert claude.batches_since(None, not_before=older.created_at) == [newer, older]


@pytest.mark.parametrize(("newer", "pages"), [(0, 1), (1, 1), (2, 2), (3, 2), (4, 3)])
def test_only_pages_with_newer_batches_are_requested(
    claude: Claude, emulator: Emulator, monkeypatch: pytest.MonkeyPatch, newer: int, pages: int
) -> None:
    monkeypatch.setattr(claude_module, "PAGE_BATCHES", 2)
    made = [claude.create(body(), since=datetime.now(UTC)) for _ in range(8)]
    found = claude.batches_since(made[-1 - newer], not_before=datetime.now(UTC) - timedelta(hours=1))
    assert [batch.batch_id for batch in found] == made[::-1][:newer]
    assert len(list_calls(emulator)) == pages


def test_a_canceled_batch_ends(claude: Claude, emulator: Emulator) -> None:
    emulator.set_faults([{"kind": "stuck"}])
    batch_id = claude.create(body(), since=datetime.now(UTC))
    claude.cancel(batch_id)
    status = claude.retrieve(batch_id)
    assert (status.ended, status.counts["canceled"]) == (True, 2)


def test_canceling_an_ended_batch_has_no_effect(claude: Claude) -> None:
    batch_id = claude.create(body(), since=datetime.now(UTC))
    claude.cancel(batch_id)
    assert claude.retrieve(batch_id).counts["succeeded"] == 2


def test_a_rejected_cancel_of_a_running_batch_is_an_error(claude: Claude, emulator: Emulator) -> None:
    emulator.set_faults([{"kind": "stuck"}, {"kind": "http_error", "on": "cancel", "status": 400}])
    batch_id = claude.create(body(), since=datetime.now(UTC))
    with pytest.raises(ApiError, match=f"Canceling batch {batch_id} failed: HTTP 400"):
        claude.cancel(batch_id)


def test_canceling_an_unknown_batch_is_an_error(claude: Claude) -> None:
    with pytest.raises(BatchNotFound, match=f"Canceling batch {MISSING}"):
        claude.cancel(MISSING)


def test_a_download_that_breaks_off_can_be_retried(claude: Claude, emulator: Emulator) -> None:
    batch_id = claude.create(body(50), since=datetime.now(UTC))
    emulator.set_faults([{"kind": "cut_results", "times": 1}])
    with pytest.raises(LoadError, match="broke off") as caught, claude.results(batch_id) as pieces:
        b"".join(pieces)
    assert caught.value.retryable
    with claude.results(batch_id) as pieces:
        assert b"".join(pieces).count(b"\n") == 50


def test_compressed_results_are_decompressed(claude: Claude, emulator: Emulator) -> None:
    batch_id = claude.create(body(50), since=datetime.now(UTC))
    with claude.results(batch_id) as pieces:
        plain = b"".join(pieces)
    emulator.set_faults([{"kind": "gzip_results"}])
    with claude.results(batch_id) as pieces:
        assert sorted(b"".join(pieces).splitlines()) == sorted(plain.splitlines())


def endless(left: Event) -> type[Handler]:
    """Build a handler of endless results, which sets ``left`` once the reader has gone."""

    class Endless(Handler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            try:
                while True:
                    self.wfile.write(b'{"custom_id": "r"}\n' * 1000)
            except OSError:
                left.set()

    return Endless


def test_leaving_results_early_ends_the_download() -> None:
    left = Event()
    with served_by(endless(left)) as claude:
        with claude.results("msgbatch_1") as pieces:
            assert next(pieces).startswith(b'{"custom_id": "r"}')
        assert left.wait(10)


@pytest.mark.parametrize("tokens", ["0", "-5", "true", "1.5", '"12"', "null", "1e999", f"1{'0' * 400}"])
def test_a_senseless_token_count_is_an_error(tokens: str) -> None:
    with (
        served_by(responding(f'{{"input_tokens": {tokens}}}'.encode())) as claude,
        pytest.raises(ApiError, match="did not come from the API"),
    ):
        claude.count_tokens(PARAMS)


def test_a_token_count_times_out_soon(claude: Claude, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    emulator.set_faults([{"kind": "slow", "on": "count_tokens", "seconds": 1}])
    monkeypatch.setattr(claude_module, "_COUNT_SECONDS", 0.2)
    with pytest.raises(ApiError) as raised:
        claude.count_tokens(PARAMS)
    assert isinstance(raised.value.__cause__, anthropic.APITimeoutError)


def test_a_model_is_described_and_an_unknown_one_is_none(claude: Claude) -> None:
    model = claude.model("claude-haiku-5-5")
    assert model is not None
    assert (model.lifecycle, model.batches, model.structured_outputs) == ("active", True, True)
    assert model.thinking_types["disabled"]
    assert claude.model("claude-does-not-exist") is None


def test_the_emulator_is_told_from_the_api(claude: Claude) -> None:
    assert claude.is_simulated()
    with served_by(responding(b'{"data": []}')) as real:
        assert not real.is_simulated()


def test_model_ids_are_listed_and_empty_if_the_call_fails(claude: Claude, emulator: Emulator) -> None:
    assert "claude-haiku-5-5" in claude.model_ids()
    with served_by(responding(b"<p>Please log in", kind="text/html")) as refused:
        assert refused.model_ids() == []
    emulator.set_faults([{"kind": "http_error", "on": "models", "status": 403}])
    assert claude.model_ids() == []


def test_a_model_has_its_retirement_date(claude: Claude) -> None:
    found = {name: claude.model(name) for name in ("claude-opus-4-5", "claude-sonnet-4-5", "claude-haiku-5-5")}
    assert [model and model.retires_on for model in found.values()] == [date(2027, 1, 22), date(2026, 11, 30), None]


def test_an_ended_batch_has_the_time_of_its_end(claude: Claude, emulator: Emulator) -> None:
    emulator.set_faults([{"kind": "duration", "seconds": 600}])
    batch_id = claude.create(body(), since=datetime.now(UTC))
    assert claude.retrieve(batch_id).ended_at is None
    emulator.advance_clock(601)
    status = claude.retrieve(batch_id)
    assert status.ended_at
    assert timedelta(seconds=600) <= status.ended_at - status.created_at < timedelta(seconds=602)
