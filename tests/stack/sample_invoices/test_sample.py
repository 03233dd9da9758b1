"""The sample of the pipeline `invoices`: what is in it, and its true values."""

from __future__ import annotations

import io
import unicodedata
from collections import Counter
from pathlib import Path
from typing import Any

import mammoth
import pikepdf
import pyarrow.parquet as pq
import pypdfium2
import pytest
from PIL import Image, ImageOps
from pyarrow.fs import FileSelector, FileSystem, FileType, LocalFileSystem, SubTreeFileSystem

from include.stack.sample_invoices import documents as made
from include.stack.sample_invoices import sample
from include.stack.sample_invoices.documents import DAYS, Document, documents
from tests.fixtures.s3 import Bucket, filesystem


@pytest.fixture(scope="module")
def all_documents() -> list[Document]:
    return list(documents())


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """The true values by name."""
    root = tmp_path_factory.mktemp("sample")
    assert sample.put_sample(LocalFileSystem(), str(root)) == 60
    rows = [row for file in root.glob("truth/*/*") for row in pq.ParquetFile(file).read().to_pylist()]
    return {row["name"]: row for row in rows}


def by_oddity(all_documents: list[Document], words: str) -> Document:
    (document,) = (document for document in all_documents if words in document.odd)
    return document


def test_each_of_three_days_has_20_documents_and_20_of_all_are_odd(all_documents: list[Document]) -> None:
    assert Counter(document.day for document in all_documents) == dict.fromkeys(DAYS, 20)
    assert len({(document.day, document.name) for document in all_documents}) == 60
    odd = [document.odd for document in all_documents if document.odd]
    assert len(odd) == len(set(odd)) == 20


def test_the_bytes_are_the_same_each_time(all_documents: list[Document]) -> None:
    assert [document.content for document in documents()] == [document.content for document in all_documents]


def test_the_documents_arrive_in_the_bucket_under_exactly_their_names(
    s3_bucket: Bucket, all_documents: list[Document], monkeypatch: pytest.MonkeyPatch
) -> None:
    odd_names = [document for document in all_documents if document.name in made._NAMES.values()]
    monkeypatch.setattr(sample, "documents", lambda: odd_names)
    store = SubTreeFileSystem(s3_bucket.name, filesystem(s3_bucket.endpoint_url))
    assert sample.put_sample(filesystem(s3_bucket.endpoint_url), s3_bucket.name) == 4
    assert files(store, "inbox") == {f"inbox/dt={document.day}/{document.name}" for document in odd_names}
    both = [name for name in made._NAMES.values() if unicodedata.normalize("NFC", name) == "Rechnung geprüft.pdf"]
    assert len(set(both)) == 2


def test_each_row_of_the_truth_has_the_address_of_its_document(
    truth: dict[str, dict[str, Any]], s3_bucket: Bucket, all_documents: list[Document], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert all(Path(row["uri"]).is_file() for row in truth.values())
    monkeypatch.setattr(sample, "documents", lambda: all_documents[:1])
    store = filesystem(s3_bucket.endpoint_url)
    sample.put_sample(store, s3_bucket.name)
    day, name = all_documents[0].day, all_documents[0].name
    (row,) = pq.read_table(f"{s3_bucket.name}/truth/dt={day}/truth.parquet", filesystem=store).to_pylist()
    assert row["uri"] == f"s3://{s3_bucket.name}/inbox/dt={day}/{name}"


def files(store: FileSystem, folder: str) -> set[str]:
    found = store.get_file_info(FileSelector(folder, recursive=True))
    return {info.path for info in found if info.type == FileType.File}


def test_every_true_value_is_printed_on_the_pages_that_the_truth_names(truth: dict[str, dict[str, Any]]) -> None:
    missing = [
        (row["name"], place["field"]) for row in truth.values() for place in row["stands_on"] if not place["pages"]
    ]
    assert missing == []
    long = {place["field"]: place["pages"] for place in truth["Lefevre chantier.pdf"]["stands_on"]}
    assert (long["invoice_date"], long["total"]) == ([1], [3])


def test_the_lines_and_the_tax_of_each_invoice_make_its_total(all_documents: list[Document]) -> None:
    for invoice in (document.invoice for document in all_documents):
        assert invoice.total == invoice.net + invoice.tax
        assert invoice.net == sum(line.amount for line in invoice.lines)


def test_four_documents_must_be_rejected_and_the_others_have_an_answer(truth: dict[str, dict[str, Any]]) -> None:
    assert {row["name"]: row["rejected"] for row in truth.values() if row["rejected"]} == {
        "Casco confidential.pdf": "password",
        "upload-7f3a.pdf": "cut off",
        "Imprimerie.pdf": "empty",
        "fax 17.tif": "image/tiff",
    }
    assert all(row["vendor"] and row["line_items"] and row["total"] > 0 for row in truth.values())


@pytest.mark.parametrize(
    ("words", "has_text"), [("a scan: pictures", False), ("read badly", True), ("lie on their side", True)]
)
def test_a_scan_has_a_picture_instead_of_text(all_documents: list[Document], words: str, has_text: bool) -> None:
    document = by_oddity(all_documents, words)
    text = "".join(page_texts(document.content))
    assert bool(text) is has_text
    assert (document.invoice.number in text) is ("side" in words)


@pytest.mark.parametrize(
    ("words", "pages"),
    [("150 pages", 150), ("a broken cross-reference", 1), ("an owner password", 1), ("sum so far", 3)],
)
def test_an_odd_pdf_opens(all_documents: list[Document], words: str, pages: int) -> None:
    assert len(page_texts(by_oddity(all_documents, words).content)) == pages


@pytest.mark.parametrize("words", ["opens with a password only", "cut off", "an empty file"])
def test_a_damaged_pdf_does_not_open(all_documents: list[Document], words: str) -> None:
    with pytest.raises(pypdfium2.PdfiumError):
        page_texts(by_oddity(all_documents, words).content)


def test_the_owner_password_forbids_copying(all_documents: list[Document]) -> None:
    with pikepdf.open(io.BytesIO(by_oddity(all_documents, "an owner password").content)) as document:
        assert document.is_encrypted


@pytest.mark.parametrize(("words", "kind"), [("a PNG", "PNG"), ("a photo", "JPEG"), ("a TIFF", "TIFF")])
def test_a_picture_is_of_the_type_that_its_bytes_say(all_documents: list[Document], words: str, kind: str) -> None:
    with Image.open(io.BytesIO(by_oddity(all_documents, words).content)) as picture:
        assert picture.format == kind
        upright = ImageOps.exif_transpose(picture)
        assert upright.height > upright.width
        assert (picture.size != upright.size) is (kind == "JPEG")


def test_the_word_document_and_the_page_have_the_total(all_documents: list[Document]) -> None:
    word = by_oddity(all_documents, "a Word document").content
    assert "Gesamtbetrag" in mammoth.extract_raw_text(io.BytesIO(word)).value
    assert "Total TTC" in by_oddity(all_documents, "an HTML page").content.decode()


def test_the_copy_has_the_bytes_of_the_original(all_documents: list[Document]) -> None:
    copy = by_oddity(all_documents, "the same bytes")
    (original,) = (one for one in all_documents if one.content == copy.content and one is not copy)
    assert copy.odd == f"the same bytes as {original.name} of {original.day}"


def page_texts(pdf: bytes) -> list[str]:
    with pypdfium2.PdfDocument(pdf) as document:
        return [page.get_textpage().get_text_bounded() for page in document]
