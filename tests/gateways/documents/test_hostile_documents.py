"""Documents that are made to harm whoever opens them: each ends in time, with a reason, and the next one is read."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from include.gateways.documents.inspector import CannotMake, Inspector
from tests.fixtures.documents import pdf
from tests.fixtures.hostile import documents

SECONDS = 1
MEMORY_BYTES = 200_000_000
CRASHES = "crashes the process that reads it (SIG"
#: What each is told to be. Those with None are odd, but can be read.
PROBLEMS = {
    "unpacks to 256 MB": CRASHES,
    "unpacks to 256 MB twice": CRASHES,
    "draws 4 million lines": CRASHES,
    "has a font of 256 MB": CRASHES,
    "has a letter that draws itself": None,
    "says it has a million pages": "says that it has 1,000,000 pages; at most 10,000 are read",
    "says it has 9,000 pages": "says that it has 9,000 pages, but page 2 is broken",
    "is its own page": "says that it has 1,000 pages, but page 1 is broken",
    "draws forms within forms 10^20 times": CRASHES,
    "is a reference to itself": "is not a valid PDF",
    "has a stream as long as itself": None,
    "follows itself": "is not a valid PDF",
    "nests 100,000 lists": None,
    "runs scripts and programs": None,
    "has 40,000 x 40,000 pixels": "has 40,000 × 40,000 pixels, 1,600 million; at most 128 million are decoded",
    "has pixels of 256 MB": "needs more than 200 MB of memory to be read",
    "has a comment of 256 MB": "is broken as image/png: Decompressed data too large",
    "unpacks to a text of 70 MB": "is a DOCX of 68,179 bytes whose texts unpack to 70,000,000; at most 64,000,000",
    "says that its text is small": "is a broken DOCX: Bad CRC-32",
    "laughs a billion times": "is a broken DOCX: Maximum entity amplification factor exceeded",
    "asks for a file": "is a broken DOCX: word/document.xml has a document type declaration",
    "nests 20,000 paragraphs": "is a broken DOCX: Excessive depth in document",
    "nests 100,000 tags": "is HTML whose parts are nested too deeply",
    "has a table of 64 million cells": "",
    "is a broken picture": "is broken as image/png",
}
#: Which limit ends a document first, and whether one does before its fault is found, depends on what else runs.
LIMITS = (CRASHES, "takes more than", "cannot be read in", "needs more than")


@pytest.fixture(scope="module")
def careful() -> Iterator[Inspector]:
    with Inspector(seconds=SECONDS, memory_bytes=MEMORY_BYTES) as inspector:
        yield inspector


def test_every_hostile_document_has_its_expectation() -> None:
    assert set(PROBLEMS) == set(documents())


@pytest.mark.parametrize("name", PROBLEMS)
def test_a_hostile_document_ends_in_time_with_a_reason(careful: Inspector, tmp_path: Path, name: str) -> None:
    path, expected = tmp_path / "object", PROBLEMS[name]
    path.write_bytes(documents()[name])
    started = time.monotonic()
    problem = careful.inspect(path).problem
    # Twice a second of processor time, and the start of two processes, on a machine that does much else.
    assert time.monotonic() - started < 120
    if expected is None:
        assert problem is None
    else:
        assert problem is not None
        # Once the type is known, it stands before the limit.
        assert re.sub(r"^is \S+ and ", "", problem).startswith((*LIMITS, expected or CRASHES))


def test_the_next_document_is_read_all_the_same(careful: Inspector, tmp_path: Path) -> None:
    for name, data in {"bad": documents()["draws forms within forms 10^20 times"], "good": pdf("Total 12.00")}.items():
        (tmp_path / name).write_bytes(data)
    assert careful.inspect(tmp_path / "bad").problem
    assert careful.inspect(tmp_path / "good").pages[0].text == "Total 12.00"


def test_a_part_of_a_hostile_document_is_made_in_time_or_not_at_all(careful: Inspector, tmp_path: Path) -> None:
    source, out = tmp_path / "object", tmp_path / "out"
    source.write_bytes(documents()["unpacks to 256 MB twice"])
    with contextlib.suppress(CannotMake):
        careful.make(source, "pages 1-1", out)
        assert out.stat().st_size < 2_000_000


def test_nothing_within_a_document_is_executed_or_opened(careful: Inspector, tmp_path: Path) -> None:
    """Its script would not end, and its text would be that of the file."""
    for name in ("runs scripts and programs", "asks for a file"):
        (tmp_path / "object").write_bytes(documents()[name])
        assert not [page.text for page in careful.inspect(tmp_path / "object").pages if page.text]
