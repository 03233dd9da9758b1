"""What is in a document, found in a child process."""

from __future__ import annotations

from pathlib import Path

import pytest

from include.enrichment.errors import SetupError
from include.gateways.documents.inspector import CannotMake, Inspector
from tests.fixtures.documents import encrypted_pdf, image, pdf


def _file(folder: Path, data: bytes) -> Path:
    path = folder / "object"
    path.write_bytes(data)
    return path


def test_a_pdf_is_known_by_its_bytes_page_by_page(inspector: Inspector, tmp_path: Path) -> None:
    found = inspector.inspect(_file(tmp_path, pdf("Invoice 17", "Total\n12.00")))
    assert (found.media_type, found.problem, found.encrypted) == ("application/pdf", None, False)
    assert [(page.number, page.text) for page in found.pages] == [(1, "Invoice 17"), (2, "Total\n12.00")]


def test_a_bad_document_is_told_and_does_not_raise(inspector: Inspector, tmp_path: Path) -> None:
    assert inspector.inspect(_file(tmp_path, b"")).problem == "is empty (0 bytes)"


def test_a_file_that_is_not_there_is_no_fault_of_a_document(inspector: Inspector, tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="missing"):
        inspector.inspect(tmp_path / "missing")
    with pytest.raises(SetupError, match="folder"):
        inspector.make(_file(tmp_path, pdf("a", "b")), "pages 1-1", tmp_path / "folder" / "out")


def test_what_is_made_of_a_document_is_the_same_every_time(inspector: Inspector, tmp_path: Path) -> None:
    source, out = _file(tmp_path, encrypted_pdf(pdf("a", "b", "c"))), tmp_path / "out"
    inspector.make(source, "pages 2-3", out)
    first = out.read_bytes()
    inspector.make(source, "pages 2-3", out)
    assert out.read_bytes() == first
    made = inspector.inspect(out)
    assert [page.text for page in made.pages] == ["b", "c"]
    assert not made.encrypted


@pytest.mark.parametrize(
    ("data", "recipe", "problem"),
    [
        (pdf("a"), "pages 1-2", "ends at page 1, so that pages 1-2 cannot be sent"),
        (pdf("a"), "upright", "is application/pdf, from which 'upright' cannot be made"),
        (image(), "decrypted", "is image/png, from which 'decrypted' cannot be made"),
    ],
)
def test_what_cannot_be_made_is_told(
    inspector: Inspector, tmp_path: Path, data: bytes, recipe: str, problem: str
) -> None:
    with pytest.raises(CannotMake, match="cannot be applied") as raised:
        inspector.make(_file(tmp_path, data), recipe, tmp_path / "out")
    assert raised.value.problem == problem
    assert not raised.value.retryable
