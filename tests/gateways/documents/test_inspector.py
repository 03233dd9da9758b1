"""What is in a document, found in a child process."""

from __future__ import annotations

import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from include.enrichment.errors import SetupError
from include.gateways.documents import inspector as inspector_module
from include.gateways.documents.inspector import CannotMake, Inspector
from tests.fixtures.documents import encrypted_pdf, image, pdf
from tests.fixtures.hostile import documents


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


def test_a_process_that_something_else_ended_is_replaced(inspector: Inspector, tmp_path: Path) -> None:
    path = _file(tmp_path, pdf("a"))
    inspector.inspect(path)
    os.kill(_process(inspector), signal.SIGKILL)
    assert inspector.inspect(path).problem is None


def test_a_document_that_hangs_the_process_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspector_module, "_PATIENCE", 0.0)
    with Inspector(seconds=7) as inspector:
        assert inspector.inspect(_file(tmp_path, pdf("a"))).problem == "cannot be read in 0 seconds"


def test_a_document_that_crashes_the_process_has_a_type_all_the_same(tmp_path: Path) -> None:
    with Inspector(seconds=1, memory_bytes=200_000_000) as inspector:
        found = inspector.inspect(_file(tmp_path, documents()["has a font of 256 MB"]))
    assert found.media_type == "application/pdf"
    assert (found.problem or "").startswith("is application/pdf and ")


def test_a_process_is_replaced_in_time(inspector: Inspector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _file(tmp_path, pdf("a"))
    monkeypatch.setattr(inspector_module, "_MOST_REQUESTS", 1)
    processes = set()
    for _ in range(2):
        inspector.inspect(path)
        processes.add(_process(inspector))
    assert len(processes) == 2


def test_a_process_that_cannot_start_is_no_fault_of_a_document(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [])
    with Inspector() as inspector, pytest.raises(SetupError, match="No module named 'include'"):
        inspector.inspect(_file(tmp_path, pdf("a")))


def test_the_process_has_no_secrets_and_ends_with_its_inspector(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", "aws://key:secret@")
    with Inspector() as inspector:
        inspector.inspect(_file(tmp_path, pdf("a")))
        process = Path(f"/proc/{_process(inspector)}")
        names = {entry.partition(b"=")[0] for entry in (process / "environ").read_bytes().split(b"\0") if entry}
    assert names == {b"PYTHONPATH", b"PYTHONUTF8"}
    assert not process.exists()


def test_threads_share_an_inspector(inspector: Inspector, tmp_path: Path) -> None:
    for number in range(20):
        (tmp_path / str(number)).write_bytes(pdf(f"page {number}"))
    with ThreadPoolExecutor(4) as threads:
        found = threads.map(inspector.inspect, [tmp_path / str(number) for number in range(20)])
    assert [each.pages[0].text for each in found] == [f"page {number}" for number in range(20)]


def _process(inspector: Inspector) -> int:
    assert inspector._child
    return inspector._child._process.pid
