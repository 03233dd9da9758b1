from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal

import anthropic
import pytest

from include.enrichment.errors import LoadError
from include.enrichment.storage import layout
from include.gateways.claude import Claude, Download
from include.steps.load import load
from tests.fixtures.flow import Flow, booked
from tests.fixtures.lake import delete
from tests.fixtures.loading import (
    ANSWERED,
    UNREADABLE,
    Altered,
    Odd,
    Submitted,
    bill,
    load_odd,
    outcomes,
    says,
    submit_all,
    used,
    visible,
)


def run_load(flow: Flow, submitted: Submitted) -> dict[str, int]:
    return flow.load(*submitted)


def check_cost(flow: Flow, odd: Odd) -> None:
    """The usage record has what the API bills, or an upper bound, and says so."""
    (line,) = booked(flow)
    billed = bill(flow)
    assert line["upper_bounds"] == (odd.cost == "bound")
    if odd.cost == "exact":
        assert line["cost_usd"] == billed
    else:
        assert billed < line["cost_usd"] < billed + Decimal("0.01")


@pytest.mark.parametrize("odd", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_a_line_that_no_download_holds_whole_is_a_reject_at_the_last_try_and_its_cost_is_known(
    flow: Flow, odd: Odd, caplog: pytest.LogCaptureFixture
) -> None:
    submitted = submit_all(flow)
    with pytest.raises(LoadError, match=r"(?s)Line 1 of .* cannot be read.*The last try .*download 3 of 3") as caught:
        load_odd(flow, submitted, odd)
    assert caught.value.retryable
    assert not visible(flow)
    assert not booked(flow)
    assert not caplog.records
    assert load_odd(flow, submitted, odd, accept_missing=True) == {"succeeded": 2, "invalid": 1}
    said, _ = caplog.records
    assert said.levelname == "WARNING"
    assert "1 of 3 result lines cannot be read (line 1: " in said.message
    assert ("the usage record has the most" in said.message) is (odd.cost == "bound")
    check_cost(flow, odd)
    reason, text = (outcomes(flow, submitted[1])[name].drop_null().to_pylist() for name in ("reason", "text"))
    assert reason[0].startswith("its result line cannot be read: ")
    assert text
    assert flow.plan("retry") == []


@pytest.mark.parametrize("odd", ANSWERED.values(), ids=ANSWERED.keys())
def test_an_answer_whose_line_is_otherwise_odd_is_an_answer_and_its_cost_is_known(
    flow: Flow, odd: Odd, caplog: pytest.LogCaptureFixture
) -> None:
    submitted = submit_all(flow)
    assert load_odd(flow, submitted, odd) == {"succeeded": 3}
    check_cost(flow, odd)
    assert [record.levelname for record in caplog.records] == ["WARNING"] * (odd.cost == "bound")
    assert flow.publish().published == 3


class CarriageReturns(Claude):
    """The API behind something that ends lines with carriage returns alone."""

    @contextmanager
    def results(self, batch_id: str) -> Iterator[Download]:
        with super().results(batch_id) as pieces:
            yield Altered(b"".join(pieces).replace(b"\n", b"\r").replace(b"claude-haiku", b"\\ud83d", 1))


def test_lines_may_end_with_carriage_returns_alone(flow: Flow, submitted: Submitted) -> None:
    client = anthropic.Anthropic(api_key=flow.emulator.api_key, base_url=flow.emulator.url, max_retries=0)
    with CarriageReturns(client, name="c") as claude:
        counts = load(*submitted, lake=flow.lake, claude=claude, accept_missing=True)
    assert counts == {"succeeded": 19, "invalid": 1}
    (line,) = booked(flow)
    assert (line["cost_usd"], line["upper_bounds"]) == (bill(flow), 0)


def test_what_was_read_of_an_odd_line_is_read_again_from_the_raw_copy(flow: Flow) -> None:
    submitted = submit_all(flow)
    for odd in (says("\ud83d"), used(output_tokens=None)):
        load_odd(flow, submitted, odd, accept_missing=True)
        before, line = outcomes(flow, submitted[1]), booked(flow)
        delete(flow.lake, layout.results("tickets", submitted[1]))
        run_load(flow, submitted)
        assert (outcomes(flow, submitted[1]), booked(flow)) == (before, line)
        delete(flow.lake, layout.raw("tickets", submitted[1]))
        delete(flow.lake, layout.results("tickets", submitted[1]))


@pytest.mark.parametrize("nameless", [b"<p>Please log in</p>\n", b'{"custom_id":"\\ud83d"}\n', b'{"custom_id":"x"\n'])
def test_a_line_that_does_not_say_whose_it_is_counts_as_missing_at_the_last_try(
    flow: Flow, nameless: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    submitted = submit_all(flow)
    with pytest.raises(LoadError, match="cannot be read"):
        load_odd(flow, submitted, lambda _: nameless)
    assert load_odd(flow, submitted, lambda _: nameless, accept_missing=True) == {"succeeded": 2, "missing": 1}
    said, _ = caplog.records
    assert "1 of them could not be matched with a request" in said.message
    assert "2 of 3 result lines were received" in said.message
    assert flow.send("retry") == {"succeeded": 1}


class CutLastLine(Claude):
    """The API behind a connection that always ends within the last line, and looks as if all were well."""

    @contextmanager
    def results(self, batch_id: str) -> Iterator[Download]:
        with super().results(batch_id) as pieces:
            yield Altered(b"".join(pieces)[:-40])


def test_a_last_line_that_is_cut_is_never_counted_as_an_unreadable_answer(flow: Flow, submitted: Submitted) -> None:
    client = anthropic.Anthropic(api_key=flow.emulator.api_key, base_url=flow.emulator.url)
    with CutLastLine(client, name="c") as cut:
        with pytest.raises(LoadError, match="cut or garbled"):
            load(*submitted, lake=flow.lake, claude=cut)
        assert visible(flow) == []
        assert load(*submitted, lake=flow.lake, claude=cut, accept_missing=True) == {"succeeded": 19, "missing": 1}
