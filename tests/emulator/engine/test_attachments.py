"""The documents and images of requests: their tokens, and the API's limits with its errors."""

from __future__ import annotations

import json
from typing import Any

import pytest
from anthropic import Anthropic, BadRequestError

from include.emulator.api_errors import RequestRejected
from include.emulator.billing.prompt_cache import Cache
from include.emulator.engine.request_frame import Rules
from include.emulator.engine.simulated_answer import Prompt, make_message, read_prompt
from include.emulator.engine.uploaded_files import FileContent, not_found
from tests.emulator.conftest import asked, create, document_block, ended, image, image_block, pdf, request, results
from tests.fixtures.emulator import Emulator

OPUS = "claude-opus-5"
_FILES = {
    "f_pdf": FileContent(pdf("Total 5"), "application/pdf"),
    "f_png": FileContent(image(), "image/png"),
    "f_text": FileContent(b"Total 5", "text/plain"),
    "f_zip": FileContent(b"PK", "application/zip"),
}


def _open(file_id: str) -> FileContent:
    if file_id not in _FILES:
        raise not_found(file_id)
    return _FILES[file_id]


def read(*blocks: dict[str, Any], **changes: Any) -> Prompt:
    """Parse a request with these blocks before its question."""
    params = request(**{"messages": asked(*blocks), **changes})
    return read_prompt(json.dumps(params).encode(), Rules("2026-10-21", frozenset(), True), _open)


def _tokens(*blocks: dict[str, Any], model: str = OPUS) -> int:
    return read(*blocks, model=model).conversation.tokens - read(model=model).conversation.tokens


def _file(kind: str, file_id: str) -> dict[str, Any]:
    return {"type": kind, "source": {"type": "file", "file_id": file_id}}


def test_a_page_takes_the_tokens_of_its_picture_and_of_its_text() -> None:
    assert _tokens(document_block(pdf(""))) == 1_600
    assert _tokens(document_block(pdf("x" * 80, ""))) == 2 * 1_600 + 20
    assert _tokens(document_block(pdf(""), title="abcd", context="abcdefgh")) == 1_600 + 3


def test_a_text_takes_the_tokens_of_its_text() -> None:
    assert _tokens(document_block("x" * 80)) == 20
    content = [{"type": "text", "text": "x" * 40}, image_block()]
    assert _tokens({"type": "document", "source": {"type": "content", "content": content}}) == 11


def test_an_image_takes_more_tokens_of_models_that_see_more() -> None:
    block = image_block(image(2800, 1400))
    assert (_tokens(block, model=OPUS), _tokens(block, model="claude-haiku-4-5")) == (92 * 46, 1_568)


def test_a_file_counts_as_its_content_does() -> None:
    assert _tokens(_file("document", "f_pdf")) == _tokens(document_block(pdf("Total 5")))
    assert _tokens(_file("image", "f_png")) == _tokens(image_block()) == 1
    assert _tokens(_file("document", "f_text")) == 2


def test_pages_of_a_text_keep_their_numbers() -> None:
    text = '<page number="7">\nTotal 5\n</page>'
    assert read(document_block(text)).conversation.documents[0].pages == ((7, "Total 5"),)


_WHERE = "messages.0.content.0"
_PNG_URL = {"type": "image", "source": {"type": "url", "url": "https://images.invalid/a.png"}}
_REJECTED: dict[str, tuple[dict[str, Any], str]] = {
    "no PDF": (document_block(b"html"), f"{_WHERE}.pdf.source.base64.data: The PDF specified was not valid."),
    "password": (
        document_block(pdf("a", encrypt="x")),
        f"{_WHERE}.pdf.source.base64.data: The PDF specified is password protected.",
    ),
    "no media type": (
        {"type": "document", "source": {"type": "base64", "data": "eA=="}},
        f"{_WHERE}.document.source.base64.media_type: Field required",
    ),
    "other document": (
        document_block(b"x", "text/csv"),
        f"{_WHERE}.document.source.base64.media_type: Input should be 'application/pdf'",
    ),
    "no base64": (
        {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "e"}},
        f"{_WHERE}.pdf.source.base64.data: Invalid base64 data",
    ),
    "media type of another image": (
        image_block(image(format="JPEG")),
        f"{_WHERE}.image.source.base64.data: Image does not match the provided media type image/png",
    ),
    "large image": (
        image_block(b"x" * 8_000_000),
        f"{_WHERE}.image.source.base64: image exceeds 10 MB maximum: 10666668 bytes > 10485760 bytes",
    ),
    "long image": (
        image_block(image(8001, 1)),
        f"{_WHERE}.image.source.base64.data: At least one of the image dimensions exceed max allowed size: 8000 pixels",
    ),
    "no source": ({"type": "image"}, f"{_WHERE}.image.source: Field required"),
    "unknown source": (
        {"type": "image", "source": {"type": "attachment"}},
        f"{_WHERE}.image.source: Input tag 'attachment' found using 'type' does not match any expected tag",
    ),
    "empty text": (document_block(" "), f"{_WHERE}.document.source.text: text must be non-empty"),
    "unreachable": (_PNG_URL, "Unable to download the file. Please verify the URL and try again."),
    "no such file": (_file("document", "f_gone"), "File not found: f_gone"),
    "zip": (_file("document", "f_zip"), f"{_WHERE}.document.source.file: a document cannot be a file of type"),
}


@pytest.mark.parametrize(("block", "message"), _REJECTED.values(), ids=_REJECTED)
def test_a_bad_document_or_image_is_rejected_in_the_apis_words(block: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestRejected) as caught:
        read(block)
    assert caught.value.message.startswith(message)


@pytest.mark.parametrize(("model", "most"), [("claude-haiku-4-5", 100), (OPUS, 600)])
def test_pages_and_images_are_limited_by_the_models_context_window(model: str, most: int) -> None:
    half = document_block(pdf(*[""] * (most // 2)))
    read(half, half, model=model)
    with pytest.raises(RequestRejected, match=f"A maximum of {most} PDF pages may be provided"):
        read(half, half, document_block(pdf("")), model=model)
    read(*[image_block()] * most, model=model)
    with pytest.raises(RequestRejected, match=f"A maximum of {most} images"):
        read(*[image_block()] * (most + 1), model=model)


def test_many_images_may_have_fewer_pixels() -> None:
    large = image_block(image(2001, 1))
    read(*[large] * 20)
    with pytest.raises(RequestRejected, match="for many-image requests: 2000 pixels") as caught:
        read(*[image_block()] * 19, large, large)
    assert caught.value.details == {
        "error_code": "image_dimensions_too_large",
        "max_side_length_pixels": 2000,
        "paths": ["messages.0.content.19", "messages.0.content.20"],
    }


def test_all_documents_of_a_request_are_cited_or_none() -> None:
    with pytest.raises(RequestRejected, match="citations must be enabled on all documents"):
        read(document_block("a", citations={"enabled": True}), document_block("b"))


def test_a_request_above_32_mb_is_too_large() -> None:
    with pytest.raises(RequestRejected, match="Request exceeds the maximum size") as caught:
        read(document_block("x" * 32_000_000))
    assert (caught.value.type, caught.value.to_api_error().status) == ("request_too_large", 413)


def test_a_prompt_is_counted_but_not_answered_above_the_context_window() -> None:
    long = read(document_block(pdf(*[""] * 100)), document_block("x" * 400_000))
    assert long.conversation.tokens > 200_000
    with pytest.raises(RequestRejected, match=r"prompt is too long: 26000. tokens > 200000 maximum"):
        make_message(long, 1, Cache(frozenset()), "batch")


def _sent(client: Anthropic, *blocks: dict[str, Any]) -> Any:
    batch = ended(client, create(client, request(messages=asked(*blocks))).id)
    return results(client, batch.id)["r-0"]


def test_an_uploaded_file_is_counted_answered_and_billed_as_the_same_request_when_it_is_uploaded_again(
    client: Anthropic, emulator: Emulator
) -> None:
    for _ in range(2):
        uploaded = client.files.upload(file=("a.pdf", pdf("Total 5"), "application/pdf"), expires_in_seconds=3600)
        block = _file("document", uploaded.id)
        params = request(messages=asked(block))
        counted = client.messages.count_tokens(model=params["model"], messages=params["messages"]).input_tokens
        assert counted == _sent(client, block)["message"]["usage"]["input_tokens"] > 1_600
        assert client.messages.create(**params).usage.input_tokens == counted
    assert emulator.billed_twice() == ["r-0"]


def test_a_deleted_file_is_not_found_when_its_request_is_processed(client: Anthropic, emulator: Emulator) -> None:
    emulator.set_faults([{"kind": "duration", "seconds": 60}])
    uploaded = client.files.upload(file=("a.pdf", pdf("a"), "application/pdf"), expires_in_seconds=3600)
    batch = create(client, request(messages=asked(_file("document", uploaded.id))))
    client.files.delete(uploaded.id)
    emulator.advance_clock(61)
    error = results(client, ended(client, batch.id).id)["r-0"]["error"]["error"]
    assert (error["type"], error["message"]) == ("not_found_error", f"File not found: {uploaded.id}")


def test_a_synchronous_call_with_a_long_prompt_is_rejected(client: Anthropic) -> None:
    with pytest.raises(BadRequestError, match="prompt is too long"):
        client.messages.create(**request(messages=asked(document_block("x" * 900_000))))
