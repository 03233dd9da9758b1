from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager

import anthropic
import pyarrow as pa
import pytest

from include.enrichment import layout
from include.enrichment.errors import LoadError
from include.gateways.claude import Claude
from include.gateways.ledger import Ledger
from include.steps.extract import extract
from include.steps.load import load
from include.steps.plan import plan
from include.steps.submit import submit
from tests.fixtures.flow import Flow, write_tickets

Submitted = tuple[str, str]


@pytest.fixture
def submitted(flow: Flow) -> Submitted:
    """The chunk's key and its batch: twenty tickets."""
    write_tickets(flow.database, [(f"N{number}", f"Ticket {number}") for number in range(17)])
    extract(flow.pipeline, flow.folder, warehouse=flow.warehouse, lake=flow.lake)
    (chunk,) = plan(flow.folder, pass_name="main", lake=flow.lake)
    return chunk, submit(chunk, run_id="manual__1", lake=flow.lake, claude=flow.claude)


def run_load(flow: Flow, submitted: Submitted) -> dict[str, int]:
    return load(*submitted, lake=flow.lake, claude=flow.claude)


def visible(flow: Flow) -> list[str]:
    return flow.lake.list("raw/") + flow.lake.list("results/")


def downloads(flow: Flow) -> int:
    return sum(call["path"].endswith("/results") for call in flow.emulator.log()["calls"])


def test_a_batch_is_loaded_once_with_its_raw_results(flow: Flow, submitted: Submitted) -> None:
    chunk, batch_id = submitted
    assert run_load(flow, submitted) == {"succeeded": 20}
    assert run_load(flow, submitted) == {"succeeded": 20}
    assert downloads(flow) == 1
    raw = pa.CompressedInputStream(pa.BufferReader(flow.lake.read(layout.raw("tickets", batch_id))), "zstd").read()
    assert raw.count(b'"custom_id"') == 20
    recorded = Ledger(flow.lake).find("tickets", layout.chunk_id_of(chunk))
    assert recorded is not None
    assert recorded.entry.state == "landed"


@pytest.mark.parametrize("at", ["mid_line", "line_boundary"])
def test_a_download_that_was_cut_is_begun_again(flow: Flow, submitted: Submitted, at: str) -> None:
    flow.emulator.set_faults([{"kind": "cut_results", "at": at, "times": 2}])
    assert run_load(flow, submitted) == {"succeeded": 20}
    assert downloads(flow) == 3


@pytest.mark.parametrize(
    ("fault", "fact"),
    [
        ({"kind": "cut_results"}, "broke off|were received|cannot be read"),
        ({"kind": "missing_lines"}, "19 of 20 result lines were received"),
        ({"kind": "duplicate_lines"}, "stands twice"),
        ({"kind": "foreign_lines"}, "was not sent with this batch"),
    ],
)
def test_results_that_do_not_reconcile_leave_nothing_behind(
    flow: Flow, submitted: Submitted, fault: dict[str, object], fact: str
) -> None:
    flow.emulator.set_faults([fault])
    with pytest.raises(LoadError, match=fact) as caught:
        run_load(flow, submitted)
    assert caught.value.retryable
    assert downloads(flow) == 3
    assert visible(flow) == []


def test_a_batch_that_is_still_running_is_not_loaded(flow: Flow) -> None:
    flow.emulator.set_faults([{"kind": "stuck"}])
    extract(flow.pipeline, flow.folder, warehouse=flow.warehouse, lake=flow.lake)
    (chunk,) = plan(flow.folder, pass_name="main", lake=flow.lake)
    batch_id = submit(chunk, run_id="manual__1", lake=flow.lake, claude=flow.claude)
    with pytest.raises(LoadError, match=r"3 requests are in processing.*clear `wait`"):
        run_load(flow, (chunk, batch_id))
    assert visible(flow) == []


def test_a_batch_of_another_size_is_not_this_chunks(flow: Flow, submitted: Submitted) -> None:
    chunk, _ = submitted
    body = b'{"requests":[{"custom_id":"a","params":{}}]}'
    other = flow.claude.create(io.BytesIO(body), requests=1)
    with pytest.raises(LoadError, match=r"holds 1 requests, chunk .* 20"):
        run_load(flow, (chunk, other))


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        ({"kind": "errored", "error_type": "overloaded_error"}, "errored"),
        ({"kind": "expired"}, "expired"),
        ({"kind": "canceled"}, "canceled"),
        ({"kind": "invalid_json"}, "invalid"),
        ({"kind": "violates_schema"}, "invalid"),
        ({"kind": "truncated"}, "invalid"),
        ({"kind": "refusal"}, "invalid"),
        ({"kind": "wrong_case_enum"}, "succeeded"),
    ],
)
def test_every_request_ends_in_exactly_one_outcome(flow: Flow, fault: dict[str, object], outcome: str) -> None:
    flow.emulator.set_faults([fault | {"share": 1.0}])
    extract(flow.pipeline, flow.folder, warehouse=flow.warehouse, lake=flow.lake)
    (chunk,) = plan(flow.folder, pass_name="main", lake=flow.lake)
    batch_id = submit(chunk, run_id="manual__1", lake=flow.lake, claude=flow.claude)
    assert run_load(flow, (chunk, batch_id)) == {outcome: 3}


@pytest.mark.parametrize("on", ["retrieve", "results"])
def test_a_404_may_pass_and_says_what_to_do_if_it_does_not(flow: Flow, submitted: Submitted, on: str) -> None:
    flow.emulator.set_faults([{"kind": "not_found", "on": on, "times": 1}])
    with pytest.raises(LoadError, match=r"29 days.*delete .*ledger/tickets/.*\.json and start a new run") as caught:
        run_load(flow, submitted)
    assert caught.value.retryable
    assert run_load(flow, submitted) == {"succeeded": 20}


def test_a_batch_that_is_not_the_chunks_is_found_even_if_it_was_loaded(flow: Flow, submitted: Submitted) -> None:
    _, batch_id = submitted
    run_load(flow, submitted)
    write_tickets(flow.database, [("more", "more")])
    flow.folder = flow.run("manual__2")
    extract(flow.pipeline, flow.folder, warehouse=flow.warehouse, lake=flow.lake)
    (other,) = plan(flow.folder, pass_name="main", lake=flow.lake)
    with pytest.raises(LoadError, match=f"batch {batch_id} is not its batch"):
        load(other, batch_id, lake=flow.lake, claude=flow.claude)


class OddLine(Claude):
    """The API, but for one line of its results that is not as documented."""

    @contextmanager
    def results(self, batch_id: str) -> Iterator[Iterator[bytes]]:
        with super().results(batch_id) as pieces:
            yield iter([b"".join(pieces).replace(b'"type":"succeeded"', b'"type":"\\ud83d"', 1)])


def test_a_line_that_stays_unreadable_does_not_keep_the_others_from_being_loaded(
    flow: Flow, submitted: Submitted
) -> None:
    client = anthropic.Anthropic(api_key=flow.emulator.api_key, base_url=flow.emulator.url)
    with OddLine(client, name="c") as odd:
        assert load(*submitted, lake=flow.lake, claude=odd) == {"succeeded": 19, "invalid": 1}


class CutLastLine(Claude):
    """The API behind a connection that always ends within the last line, and looks as if all were well."""

    @contextmanager
    def results(self, batch_id: str) -> Iterator[Iterator[bytes]]:
        with super().results(batch_id) as pieces:
            yield iter([b"".join(pieces)[:-40]])


def test_a_last_line_that_is_cut_is_never_taken_for_an_unreadable_answer(flow: Flow, submitted: Submitted) -> None:
    client = anthropic.Anthropic(api_key=flow.emulator.api_key, base_url=flow.emulator.url)
    with CutLastLine(client, name="c") as cut, pytest.raises(LoadError, match="cut or garbled"):
        load(*submitted, lake=flow.lake, claude=cut)
    assert visible(flow) == []
