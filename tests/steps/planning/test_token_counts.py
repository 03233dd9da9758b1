"""token_counts.py: the API counts some of a run's requests before any is sent."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from include.enrichment.spec.pipeline_folder import load_pipeline
from include.steps.planning.token_counts import count_sample, read_counted
from tests.fixtures.documents import pdf
from tests.fixtures.flow import DAY, Flow, without_rows, write_pipeline, write_tickets
from tests.fixtures.priced_documents import PROSE, count_documents, extract_documents, some_documents


@pytest.fixture
def many(flow: Flow) -> Flow:
    """A flow with 2,003 extracted tickets, which are several row groups."""
    write_tickets(flow.database, [(f"N{number}", "word " * (number % 50 + 1)) for number in range(2_000)])
    flow.extract()
    return flow


def calls(flow: Flow, path: str) -> int:
    return sum(call["path"].endswith(path) for call in flow.emulator.log()["calls"])


def test_of_a_small_run_every_request_is_counted(many: Flow) -> None:
    ids = set(pq.read_table(pa.BufferReader(many.lake.read(many.folder.rows)))["request_id"].to_pylist())
    found = count_sample(many.folder, lake=many.lake, claude=many.claude)[""]
    assert (len(ids), found.requests, calls(many, "/count_tokens")) == (53, 53, 53 + 2)
    assert found.tokens.keys() == ids
    assert read_counted(many.folder, many.lake) == {"": found}


def test_of_a_large_run_the_largest_are_counted_and_others_by_size(flow: Flow) -> None:
    write_tickets(flow.database, [(f"N{number}", f"{number} {'word ' * (number % 50)}") for number in range(1_000)])
    write_tickets(flow.database, [("L", "word " * 1_000)])
    flow.extract()
    found = count_sample(flow.folder, lake=flow.lake, claude=flow.claude)[""]
    assert found.requests == calls(flow, "/count_tokens") - 2 == 200
    assert max(found.tokens.values()) == pytest.approx(found.frame_tokens + 5_000 / 4, rel=0.01)
    # By the emulator a token is four bytes of text.
    assert found.per_byte.expected == pytest.approx(0.25, rel=0.05)
    assert found.prefix_tokens == pytest.approx(len("Label the ticket.") / 4, abs=2)


def test_the_tokens_that_all_requests_share_are_logged(
    flow: Flow, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = write_pipeline(tmp_path / "shared" / "tickets")
    (folder / "context").mkdir()
    (folder / "context" / "words.md").write_text("word " * 4_000)
    flow.pipeline = load_pipeline(folder)
    flow.extract()
    with caplog.at_level("INFO"):
        found = count_sample(flow.folder, lake=flow.lake, claude=flow.claude)[""]
    assert found.prefix_tokens == pytest.approx(5_000, rel=0.01)
    assert f"All requests begin with the same {found.prefix_tokens:,} tokens, as the API counts them" in caplog.text


def test_a_system_prompt_that_differs_from_row_to_row_is_no_part_of_the_frame(flow: Flow, tmp_path: Path) -> None:
    flow.pipeline = load_pipeline(
        write_pipeline(tmp_path / "vary" / "tickets", system_md="{{ body }} " + "word " * 400)
    )
    flow.extract()
    found = count_sample(flow.folder, lake=flow.lake, claude=flow.claude)[""]
    assert found.frame_tokens < 300
    assert min(found.tokens.values()) > 500


@pytest.mark.parametrize(("status", "counted"), [(400, range(20, 50)), (503, [32])], ids=["refused", "failing"])
def test_what_was_counted_is_kept_where_a_count_is_rejected_and_where_the_api_fails(
    many: Flow, status: int, counted: Sequence[int]
) -> None:
    # Sixteen are counted at once, after the frame and the prefix.
    fault = {"kind": "http_error", "on": "count_tokens", "status": status}
    many.emulator.set_faults([fault | ({"after": 2, "chance": 0.3} if status == 400 else {"after": 2 + 40})])
    found = count_sample(many.folder, lake=many.lake, claude=many.claude)[""]
    assert found.requests == len(found.tokens)
    assert found.requests in counted


def test_nothing_is_sent_or_billed_for_it(many: Flow) -> None:
    count_sample(many.folder, lake=many.lake, claude=many.claude)
    assert many.requests_sent() == 0


def test_a_run_without_rows_has_nothing_to_count(flow: Flow, tmp_path: Path) -> None:
    without_rows(flow, tmp_path)
    flow.extract()
    assert count_sample(flow.folder, lake=flow.lake, claude=flow.claude) == {}
    assert read_counted(flow.folder, flow.lake) == {}


def test_an_api_that_does_not_count_stops_no_run(many: Flow, caplog: pytest.LogCaptureFixture) -> None:
    many.emulator.set_faults([{"kind": "http_error", "on": "count_tokens", "status": 404}])
    assert count_sample(many.folder, lake=many.lake, claude=many.claude) == {}
    assert "No tokens were counted" in caplog.text


def test_a_damaged_count_is_ignored(many: Flow) -> None:
    many.lake.write(many.folder.counted_json, b"{")
    assert read_counted(many.folder, many.lake) == {}


# Attachments


def test_a_request_with_attachments_is_counted_with_them_and_without(flow: Flow, tmp_path: Path) -> None:
    documents = some_documents()
    extract_documents(flow, tmp_path / "documents", documents, send="pages")
    count_documents(flow, tmp_path / "documents")
    found = read_counted(flow.folder, flow.lake)[""]
    assert found.requests == len(found.tokens) == len(documents)
    with_attachments = len(documents) - 1  # the text of notes.md is in its request
    assert calls(flow, "/count_tokens") == 2 + 2 * with_attachments + 1
    assert found.attachments
    # The emulator has four bytes a token, and 3.5 were reckoned; pictures of pages and images are exact.
    assert 0.9 < found.attachments.low < found.attachments.expected < found.attachments.high == 1
    assert found.per_byte.expected == pytest.approx(0.25, rel=0.1)


def test_documents_that_were_changed_or_that_the_api_refuses_are_left_out(
    flow: Flow, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "documents"
    extract_documents(flow, folder, {f"{n}.pdf": pdf(f"Contract {n}\n{PROSE}") for n in range(3)}, send="pages")
    (folder / f"dt={DAY}" / "0.pdf").write_bytes(pdf("Another text"))
    (folder / f"dt={DAY}" / "1.pdf").unlink()
    count_documents(flow, folder)
    found = read_counted(flow.folder, flow.lake)[""]
    assert found.requests == 1
    assert "0.pdf has changed since extract read it" in caplog.text
    assert "1.pdf" in caplog.text
    assert caplog.text.count("Its request is left out of the counted sample.") == 2
