"""counting.py: the API counts some of a run's requests before any is sent."""

from __future__ import annotations

import pytest

from include.steps.counting import count_sample, read_counted
from tests.fixtures.flow import Flow, write_tickets


@pytest.fixture
def many(flow: Flow) -> Flow:
    """A flow with 2,003 extracted tickets, which are several row groups."""
    write_tickets(flow.database, [(f"N{number}", "word " * (number % 50 + 1)) for number in range(2_000)])
    flow.extract()
    return flow


def calls(flow: Flow, path: str) -> int:
    return sum(call["path"].endswith(path) for call in flow.emulator.log()["calls"])


def test_what_is_counted_of_a_few_tells_the_tokens_of_all(many: Flow) -> None:
    found = count_sample(many.folder, lake=many.lake, claude=many.claude)
    assert found
    assert found.requests == 20
    assert calls(many, "/count_tokens") == 21
    # By the emulator a token is four bytes of text.
    assert found.per_byte == pytest.approx(0.25, rel=0.05)
    assert found.prefix_tokens == pytest.approx(len("Label the ticket.") / 4, abs=2)
    assert read_counted(many.folder, many.lake) == found


def test_nothing_is_sent_or_billed_for_it(many: Flow) -> None:
    count_sample(many.folder, lake=many.lake, claude=many.claude)
    assert many.requests_sent() == 0


def test_a_run_without_rows_has_nothing_to_count(flow: Flow) -> None:
    flow.database.unlink()
    write_tickets(flow.database, [])
    flow.extract()
    assert count_sample(flow.folder, lake=flow.lake, claude=flow.claude) is None
    assert read_counted(flow.folder, flow.lake) is None


def test_an_api_that_does_not_count_stops_nobody(many: Flow, caplog: pytest.LogCaptureFixture) -> None:
    many.emulator.set_faults([{"kind": "http_error", "on": "count_tokens", "status": 404}])
    assert count_sample(many.folder, lake=many.lake, claude=many.claude) is None
    assert "No tokens were counted" in caplog.text


def test_a_damaged_count_is_as_good_as_none(many: Flow) -> None:
    many.lake.write(many.folder.counted_json, b"{")
    assert read_counted(many.folder, many.lake) is None
