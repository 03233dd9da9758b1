"""PDFs: their pages, and their decrypted copies and parts."""

from __future__ import annotations

import io
from pathlib import Path
from random import Random

import pikepdf
import pytest

from include.enrichment.documents.recipe import parse_recipe
from include.gateways.documents.inspection.pdf import inspect_pdf, make_pdf
from include.gateways.documents.inspection.problem import Problem
from tests.fixtures.documents import encrypted_pdf, pdf, pdf_without_pages

PLAIN = pdf("one", "two", "three")
BROKEN_XREF = PLAIN.replace(b"startxref", b"startxxxx")
#: A later version of the document was appended to it, but not all of it.
HALF_AN_UPDATE = PLAIN + b"8 0 obj\n<<>>\nstream\n" + b"x" * 5000


def _file(folder: Path, data: bytes) -> Path:
    path = folder / "object"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("data", [PLAIN, b"junk\n" * 20 + PLAIN, BROKEN_XREF, PLAIN + b"\n" * 500])
def test_a_pdf_that_its_reader_can_repair_is_read(tmp_path: Path, data: bytes) -> None:
    found = inspect_pdf(_file(tmp_path, data))
    assert [page.text for page in found.pages] == ["one", "two", "three"]
    assert not found.encrypted


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (encrypted_pdf(PLAIN, user="secret"), "needs a password to open"),
        (PLAIN[: len(PLAIN) // 2], "is cut off: its end, %%EOF, is missing, and its pages cannot be found"),
        (HALF_AN_UPDATE, "is cut off: its end, %%EOF, is missing, and its pages cannot be found"),
        (BROKEN_XREF.replace(b"%%EOF", b""), "is cut off: its end, %%EOF, is missing, and so may be pages"),
        (b"%PDF-1.7\n%%EOF", "is not a valid PDF: it begins like one, but its pages cannot be found"),
        (pdf_without_pages(), "has 0 pages"),
        (PLAIN.replace(b"/Count 3", b"/Count 4"), "says that it has 4 pages, but page 4 is broken"),
        (PLAIN.replace(b"/Count 3", b"/Count 1000000"), "says that it has 1,000,000 pages; at most 10,000 are read"),
    ],
)
def test_a_pdf_that_may_be_incomplete_is_a_problem(tmp_path: Path, data: bytes, problem: str) -> None:
    with pytest.raises(Problem) as raised:
        inspect_pdf(_file(tmp_path, data))
    assert str(raised.value) == problem


def test_a_pdf_that_only_its_owner_may_change_is_read_and_sent_decrypted(tmp_path: Path) -> None:
    source, out = _file(tmp_path, encrypted_pdf(PLAIN)), tmp_path / "out"
    found = inspect_pdf(source)
    assert found.encrypted
    make_pdf(source, parse_recipe("decrypted"), out)
    made = inspect_pdf(out)
    assert (made.encrypted, made.pages) == (False, found.pages)


def test_a_part_has_its_pages_and_nothing_of_the_others(tmp_path: Path) -> None:
    """Some writers give every page the list of all images of the document."""
    with pikepdf.open(io.BytesIO(PLAIN)) as document:
        picture = document.make_stream(Random(1).randbytes(20_000))
        for page in document.pages:
            page.Resources.XObject = pikepdf.Dictionary(X=picture)
        document.save(tmp_path / "object")
    make_pdf(tmp_path / "object", parse_recipe("pages 2-3"), tmp_path / "out")
    assert [page.text for page in inspect_pdf(tmp_path / "out").pages] == ["two", "three"]
    assert (tmp_path / "out").stat().st_size < 3_000 < (tmp_path / "object").stat().st_size


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (PLAIN, "ends at page 3, so that pages 3-4 cannot be sent"),
        (encrypted_pdf(PLAIN, user="secret"), "needs a password to open"),
        (b"%PDF-1.7\n", "is not a valid PDF: "),
    ],
)
def test_a_part_that_is_not_there_is_a_problem(tmp_path: Path, data: bytes, problem: str) -> None:
    with pytest.raises(Problem) as raised:
        make_pdf(_file(tmp_path, data), parse_recipe("pages 3-4"), tmp_path / "out")
    assert str(raised.value).startswith(problem)


def test_the_reason_of_a_document_is_not_that_of_one_before(tmp_path: Path) -> None:
    for data, problem in ((encrypted_pdf(PLAIN, user="secret"), "needs a password"), (pdf_without_pages(), "0 pages")):
        with pytest.raises(Problem, match=problem):
            inspect_pdf(_file(tmp_path, data))
