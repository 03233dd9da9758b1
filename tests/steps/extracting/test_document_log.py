"""document_log.py: what the log of extract says about documents."""

from __future__ import annotations

import pytest

from include.steps.extracting.document_log import DocumentLog

pytestmark = pytest.mark.usefixtures("info")


@pytest.fixture
def info(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")


def test_the_log_says_as_what_the_documents_are_sent_and_why_some_are_not(caplog: pytest.LogCaptureFixture) -> None:
    documents = DocumentLog()
    for kind in ("pages", "text", "pages"):
        documents.sent(kind)
        documents.row()
    documents.unsendable("the document a.pdf needs a password to open")
    documents.row()
    documents.end()
    assert caplog.messages == [
        "Documents of 4 rows: 2 sent as pages, 1 sent as text, 1 cannot be sent\n"
        "  the document a.pdf needs a password to open"
    ]


def test_of_many_reasons_the_log_names_the_first(caplog: pytest.LogCaptureFixture) -> None:
    documents = DocumentLog()
    for number in range(1_007):
        documents.unsendable(f"the document {number}.pdf is empty (0 bytes)")
        documents.row()
    documents.end()
    (message,) = caplog.messages
    first, *reasons, last = message.splitlines()
    assert first == "Documents of 1,007 rows: 1,007 cannot be sent"
    assert reasons == [f"  the document {number}.pdf is empty (0 bytes)" for number in range(5)]
    assert last == "  and 1,002 more, which will be in the rejects"


def test_a_long_extract_says_twice_a_minute_how_far_it_is(caplog: pytest.LogCaptureFixture) -> None:
    seconds = iter(range(0, 1_000, 10))
    documents = DocumentLog(lambda: next(seconds))
    for _ in range(7):
        documents.row()
    assert caplog.messages == [f"Read the documents of {rows} rows so far" for rows in (3, 6)]


def test_a_day_without_documents_is_not_mentioned(caplog: pytest.LogCaptureFixture) -> None:
    DocumentLog().end()
    assert not caplog.messages
