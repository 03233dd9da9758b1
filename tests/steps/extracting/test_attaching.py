"""attaching.py: the documents of a row become the blocks of its requests, or the reason why there is none."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from include.enrichment.documents.attachment import attachments_in
from include.enrichment.errors import LakeError
from include.enrichment.requests.request import Renderer, Unsendable
from include.enrichment.requests.template import Template
from include.enrichment.spec.pipeline_folder import load_pipeline
from include.gateways.documents.buckets import LocalFolder
from include.steps.extracting import attaching
from include.steps.extracting.attaching import WITHOUT_DOCUMENTS, Part
from include.steps.files.document_file import Documents
from tests.fixtures.documents import encrypted_pdf, image, pdf, scanned_pdf
from tests.fixtures.flow import FILES, write_pipeline

PROSE = "\n".join(["The parties agree on the following terms, which are binding on both of them."] * 10)
SEVEN = pdf(*[f"Page {number}.\n{PROSE}" for number in range(1, 8)])

Attached = Callable[..., list[tuple[dict[str, Any], list[Part]]]]


class Folder(LocalFolder):
    """A folder of documents."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.folder = folder

    def write(self, name: str, data: bytes) -> str:
        """The URI of a new file."""
        (self.folder / name).write_bytes(data)
        return str(self.folder / name)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


@pytest.fixture
def attached(folder: Folder, shared_inspector: None, tmp_path: Path) -> Attached:
    """The rows with these URIs in the column ``scan``, each with its parts."""

    def rows_with_parts(
        *scans: object,
        settings: str = "{columns: [scan], connection: aws}",
        more: str = "",
        context: int | dict[str, int] | None = None,
        schema: bool = True,
    ) -> list[tuple[dict[str, Any], list[Part]]]:
        yaml = f"{FILES['pipeline.yaml']}attachments: {settings}\n{more}"
        written = write_pipeline(tmp_path / "tickets", pipeline_yaml=yaml)
        if not schema:
            (written / "output.schema.json").unlink()
        pipeline = load_pipeline(written)
        rows = [{"ticket": number, "scan": scan} for number, scan in enumerate(scans)]
        path = tmp_path / "documents.parquet"
        known = {pipeline.settings.request.model: context} if isinstance(context, int) else context
        with attaching.attaching(pipeline, path, buckets=folder, context_tokens=known or {}) as attach:
            return [(row, list(parts)) for row, parts in attach(iter(rows))]

    return rows_with_parts


def _blocks(part: Part) -> list[dict[str, Any]]:
    assert part.problem is None
    return [json.loads(bytes(block)) for block in part.blocks]


def test_a_pipeline_without_attachments_opens_nothing(tmp_path: Path) -> None:
    pipeline = load_pipeline(write_pipeline(tmp_path / "tickets"))
    with attaching.attaching(pipeline, tmp_path / "d.parquet", buckets=None, context_tokens={}) as attach:
        assert list(attach(iter([{"a": 1}]))) == [({"a": 1}, (WITHOUT_DOCUMENTS,))]
    assert not (tmp_path / "d.parquet").exists()


def test_a_document_is_sent_by_reference_to_its_bytes(attached: Attached, folder: Folder, tmp_path: Path) -> None:
    data = scanned_pdf(image())
    uri = folder.write("scan.pdf", data)
    ((_, [part]),) = attached(uri)
    (found,) = attachments_in(bytes(part.blocks[0]))
    digest = hashlib.sha256(data).hexdigest()
    assert (found.uri, found.sha256, found.sent_sha256, found.recipe) == (uri, digest, digest, "")
    assert (found.media_type, found.size_bytes, found.sent_bytes) == ("application/pdf", len(data), len(data))
    assert (found.tokens, found.upload) == (1_600, False)
    assert list(part.documents) == [digest]
    document = Documents(tmp_path / "documents.parquet").find(digest)
    assert (document.name, document.sent_as, [page.text for page in document.pages]) == ("scan.pdf", "pages", [""])
    assert "covered by images" in document.why


def test_a_text_layer_that_says_the_same_is_sent_as_text_with_page_numbers(attached: Attached, folder: Folder) -> None:
    ((_, [part]),) = attached(folder.write("seven.pdf", SEVEN))
    (block,) = _blocks(part)
    assert block["source"]["type"] == "text"
    assert block["source"]["data"].startswith('<page number="1">\nPage 1.\nThe parties')
    assert part.documents[0].endswith(" text 1-7")


def test_only_the_chosen_pages_are_sent(attached: Attached, folder: Folder) -> None:
    uri = folder.write("seven.pdf", SEVEN)
    settings = "{columns: {scan: {send: %s, pages: 2-3}}, connection: aws}"
    ((_, [pages]),) = attached(uri, settings=settings % "pages")
    (found,) = attachments_in(bytes(pages.blocks[0]))
    assert found.recipe == "pages 2-3"
    assert found.sent_sha256 != found.sha256
    assert _blocks(pages)[0]["context"].startswith("These are pages 2 to 3")
    ((_, [text]),) = attached(uri, settings=settings % "text")
    assert [line for line in _blocks(text)[0]["source"]["data"].splitlines() if "page number" in line] == [
        '<page number="2">',
        '<page number="3">',
    ]


def test_a_long_document_is_sent_in_parts(attached: Attached, folder: Folder, tmp_path: Path) -> None:
    uris = folder.write("seven.pdf", SEVEN), folder.write("a.txt", b"Hello"), folder.write("empty.pdf", b"")
    settings = "{columns: {scan: {send: pages}}, connection: aws, split_pages: 3}"
    parts = [parts for _, parts in attached(*uris, settings=settings)]
    assert [[tuple(part.columns.values()) for part in each] for each in parts] == [
        [(1, "1-3"), (2, "4-6"), (3, "7-7")],
        [(1, None)],
        [(1, None)],
    ]
    recipes = [attachments_in(bytes(part.blocks[0]))[0].recipe for part in parts[0]]
    assert recipes == ["pages 1-3", "pages 4-6", "pages 7-7"]
    numbers = [[page.number for page in _document(tmp_path, part).pages] for part in parts[0]]
    assert numbers == [[1, 2, 3], [4, 5, 6], [7]]
    assert parts[2][0].problem == "the document empty.pdf is empty (0 bytes)"


def _document(folder: Path, part: Part) -> Any:
    return Documents(folder / "documents.parquet").find(part.documents[0])


def test_an_encrypted_document_that_opens_is_sent_decrypted(attached: Attached, folder: Folder) -> None:
    ((_, [part]),) = attached(folder.write("a.pdf", encrypted_pdf(scanned_pdf(image()))))
    assert attachments_in(bytes(part.blocks[0]))[0].recipe == "decrypted"
    ((_, [part]),) = attached(folder.write("b.pdf", encrypted_pdf(pdf("a"), user="secret")))
    assert str(part.problem).startswith("the document b.pdf ")


def test_an_image_is_turned_and_scaled_down_before_it_is_sent(attached: Attached, folder: Folder) -> None:
    uri = folder.write("a.jpg", image("JPEG", (4_000, 1_000), orientation=6))
    ((_, [part]),) = attached(uri)
    (found,) = attachments_in(bytes(part.blocks[0]))
    assert found.recipe == "upright 644x2576"
    assert _blocks(part)[0]["type"] == "image"
    many = [uri, *(folder.write(f"{number}.png", image()) for number in range(20))]
    ((_, [part]),) = attached(many)
    found = next(iter(attachments_in(b"".join(map(bytes, part.blocks)))))
    assert found.recipe == "upright 500x2000"


def test_the_documents_of_several_columns_and_lists_are_titled_in_their_order(
    attached: Attached, folder: Folder
) -> None:
    ((_, [part]),) = attached([folder.write("b.txt", b"Bee"), None, folder.write("a.png", image())])
    assert [block.get("title", block.get("text")) for block in _blocks(part)] == ["b.txt", "a.png:", None]
    assert len(part.documents) == 2


def test_a_document_that_cannot_be_sent_is_the_problem_of_its_row_alone(attached: Attached, folder: Folder) -> None:
    good, bad = folder.write("a.txt", b"Hello"), folder.write("a.tiff", image("TIFF"))
    rows = attached(good, bad, [good, "/etc/passwd"], None, [], good)
    assert [part.problem is None for _, [part] in rows] == [True, False, False, False, False, True]
    problems = [str(part.problem) for _, [part] in rows]
    assert problems[1].startswith("the document a.tiff is image/tiff")
    assert problems[2].startswith("the document passwd cannot be read: '/etc/passwd' names no object")
    assert problems[3] == problems[4] == "it has no document: scan is empty"
    assert [row["ticket"] for row, _ in rows] == [0, 1, 2, 3, 4, 5]


def test_the_log_counts_how_documents_are_sent_and_says_why_one_is_not(
    attached: Attached, folder: Folder, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", logger="include.steps.extracting"):
        attached(
            folder.write("scan.pdf", scanned_pdf(image())), folder.write("empty.pdf", b""), folder.write("a.txt", b"Hi")
        )
    (message,) = caplog.messages
    assert message == (
        "Documents of 3 rows: 1 sent as pages, 1 sent as text, 1 cannot be sent\n"
        "  the document empty.pdf is empty (0 bytes)"
    )


def test_what_exceeds_the_limits_of_the_model_is_a_problem_with_its_numbers(attached: Attached, folder: Folder) -> None:
    uri = folder.write("seven.pdf", SEVEN)
    settings = "{columns: {scan: {send: pages}}, connection: aws%s}"
    ((_, [part]),) = attached(uri, settings=settings % "", context=9_000)
    assert str(part.problem).startswith("the document seven.pdf has about 12,")
    assert str(part.problem).endswith("has 9,000; set attachments.split_pages")
    parts = attached(uri, settings=settings % ", split_pages: 4", context=9_000)[0][1]
    assert [part.problem for part in parts] == [None, None]
    ((_, [part]),) = attached([uri, uri], settings=settings % ", split_pages: 4")
    assert part.problem == "it has 2 documents, but attachments.split_pages needs rows with one"


def test_what_is_large_is_marked_for_the_files_api(attached: Attached, folder: Folder) -> None:
    small, large = image(size=(10, 10)), scanned_pdf(image())
    uris = folder.write("small.png", small), folder.write("large.pdf", large)
    rows = attached(*uris, settings=f"{{columns: [scan], connection: aws, upload_above: {len(large) - 1}}}")
    assert [attachments_in(bytes(part.blocks[0]))[0].upload for _, [part] in rows] == [False, True]


def test_an_error_of_the_store_is_not_a_fault_of_the_document(
    attached: Attached, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(self: LocalFolder, uri: str, path: Path, **options: Any) -> None:
        raise LakeError("The store failed.")

    monkeypatch.setattr(Folder, "fetch", fails)
    with pytest.raises(LakeError, match="store failed"):
        attached(*[folder.write("a.txt", b"Hello")] * 30)


@pytest.mark.parametrize("has_schema", [True, False])
def test_citations_are_for_answers_that_are_text(attached: Attached, folder: Folder, has_schema: bool) -> None:
    ((_, [part]),) = attached(folder.write("a.txt", b"Hello"), more="output: {evidence: true}\n", schema=has_schema)
    assert _blocks(part)[0].get("citations") == (None if has_schema else {"enabled": True})


def test_the_made_bytes_are_a_smaller_image(attached: Attached, folder: Folder, inspector: Any) -> None:
    uri = folder.write("a.png", image(size=(4_000, 1_000)))
    ((_, [part]),) = attached(uri)
    (found,) = attachments_in(bytes(part.blocks[0]))
    inspector.make(Path(uri), found.recipe, out := folder.folder / "out")
    with Image.open(out) as made:
        assert (out.stat().st_size, made.size) == (found.sent_bytes, (2_576, 644))
    assert hashlib.sha256(out.read_bytes()).hexdigest() == found.sent_sha256


@pytest.mark.parametrize("upload_above", [None, 10_000_000])
def test_a_request_that_is_too_large_for_a_batch_may_have_its_document_uploaded(
    attached: Attached, folder: Folder, upload_above: int | None
) -> None:
    large = scanned_pdf(image()).replace(b"startxref", b"%" + b" " * 24_000_000 + b"\nstartxref")
    uri = folder.write("a.pdf", large)
    above = f", upload_above: {upload_above}" if upload_above else ""
    ((row, [part]),) = attached(uri, settings=f"{{columns: [scan], connection: aws{above}}}")
    assert part.problem is None
    renderer = Renderer(system=Template("", file="s"), user=Template("Read.", file="u"), constant={}, cache=None)
    if upload_above:
        renderer.encode(row, part.blocks)
    else:
        with pytest.raises(
            Unsendable, match=r"renders to 32,0.*; with attachments\.upload_above, large documents do not"
        ):
            renderer.encode(row, part.blocks)


def test_a_row_with_more_documents_than_a_request_takes_is_rejected_before_any_is_read(attached: Attached) -> None:
    ((_, [part]),) = attached([f"/absent/{number}" for number in range(601)])
    assert part.problem == "it has 601 documents; a request takes at most 600: make more rows of it"


def test_the_reason_of_a_row_stays_short_and_without_secrets(attached: Attached) -> None:
    link = "https://bucket.s3.amazonaws.com/a.pdf?X-Amz-Signature=5ec2e7"
    ((_, [link_part]), (_, [text_part]), (_, [list_part])) = attached(link, "Dear all,\n" * 10_000, ["/a"] * 9)
    assert "a.pdf?… cannot be read: 'https://bucket.s3.amazonaws.com/a.pdf?…' names no" in str(link_part.problem)
    assert len(str(text_part.problem)) < 1_200
    assert "\n" not in str(text_part.problem)
    assert str(list_part.problem).endswith("; and 6 more documents cannot be sent")


def test_each_model_gets_images_of_its_own_size_and_its_own_limits(attached: Attached, folder: Folder) -> None:
    variants = "variants: {small: {model: claude-haiku-4-5}, again: {max_tokens: 9}}\n"
    uri = folder.write("a.png", image(size=(4_000, 1_000)))
    ((_, [part]),) = attached(uri, more=variants)
    sizes = {
        model: attachments_in(bytes(part.of_model(model).blocks[0]))[0].recipe
        for model in ("claude-haiku-5-5", "claude-haiku-4-5")
    }
    assert sizes == {"claude-haiku-5-5": "2576x644", "claude-haiku-4-5": "1568x392"}
    ((_, [alone]),) = attached(uri)
    assert [bytes(block) for block in alone.blocks] == [bytes(block) for block in part.blocks]


def test_what_only_one_model_cannot_take_is_a_problem_of_its_requests(attached: Attached, folder: Folder) -> None:
    variants = "variants: {small: {model: claude-haiku-4-5}}\n"
    uri = folder.write("long.txt", b"word " * 3_000)
    ((_, [part]),) = attached(uri, more=variants, context={"claude-haiku-4-5": 100})
    assert part.problem is None
    assert "the context window of claude-haiku-4-5 has 100" in (part.of_model("claude-haiku-4-5").problem or "")
