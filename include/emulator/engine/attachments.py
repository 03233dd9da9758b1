"""
The documents and images of a request: checked against the API's limits, counted in tokens, and read.

A page of a PDF takes the tokens of its picture and those of its text. The picture's were measured in October 2026: a
page of a scan takes 1,600, a page of text 2,347, and that text alone 728. Nothing is downloaded: what stands behind a
URL counts as one page or image, without a text.
"""

from __future__ import annotations

import binascii
import re
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from threading import Lock
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec

from include.emulator.api_errors import RequestRejected
from include.emulator.billing.prompt_cache import tokens_of
from include.emulator.documents.document import Document, Unreadable
from include.emulator.documents.image import HIGH, MEDIA_TYPES, STANDARD, Resolution, image_tokens, read_image
from include.emulator.documents.pdf import read_pdf
from include.emulator.documents.text_pages import split_pages
from include.emulator.engine.models import Model
from include.emulator.engine.uploaded_files import FileContent, not_found

PDF = "application/pdf"
PAGE_TOKENS = 1_600
URL_TOKENS = 1_600
#: Limits of a request: of models with a context window of a million tokens, and of the others.
MOST_PAGES = MOST_IMAGES = (600, 100)
MOST_IMAGE_BYTES = 10 * 1024 * 1024  # as base64
MOST_PIXELS, MOST_PIXELS_OF_MANY, MANY_IMAGES = 8_000, 2_000, 20

#: The text of a user cannot have this, because JSON escapes its quotes.
_FILE_ID = re.compile(rb'"file_id":\s*"([^"\\]+)"')
_LARGE_CONTEXT = 1_000_000
#: Batches often repeat a document, so these many are kept.
_KEPT_PDFS = 64


#: Returns a file by its id. Raises RequestRejected if there is none.
OpenFile = Callable[[str], FileContent]


def no_files(file_id: str) -> FileContent:
    """Return no file, where none was uploaded. Raises RequestRejected."""
    raise not_found(file_id)


def with_file_contents(params: bytes | msgspec.Raw, open_file: OpenFile) -> bytes:
    """Return params with the hash of each file in place of its id: uploaded again, a file makes the same request."""

    def content(found: re.Match[bytes]) -> bytes:
        try:
            return b'"sha256":"%s"' % sha256(open_file(found[1].decode()).data).hexdigest().encode()
        except RequestRejected:  # of a tool, which does not need it
            return found[0]

    text = bytes(params)
    return _FILE_ID.sub(content, text) if b'"file_id"' in text else text


@dataclass(frozen=True, kw_only=True)
class Attached:
    """
    The documents and images of a request.

    :param tokens: of each block that is one, in their order
    :param pictures: "PDF" or "image" if the model has to look at any; None: all are text
    """

    documents: tuple[Document, ...]
    tokens: tuple[int, ...]
    pictures: str | None


class _Image(NamedTuple):
    where: str
    side: int


def read_attachments(blocks: list[tuple[str, dict[str, Any]]], model: Model, open_file: OpenFile) -> Attached:
    """Read image and document blocks, each with its path in the request. Raises RequestRejected."""
    reader = _Reader(model, open_file)
    tokens = tuple(reader.read(where, block) for where, block in blocks)
    reader.check()
    return Attached(documents=tuple(reader.documents), tokens=tokens, pictures=reader.pictures)


class _Reader:
    def __init__(self, model: Model, open_file: OpenFile) -> None:
        small = model.max_input_tokens < _LARGE_CONTEXT
        self._most_pages, self._most_images = MOST_PAGES[small], MOST_IMAGES[small]
        self._resolution: Resolution = HIGH if model.generation >= (4, 7) else STANDARD
        self._open_file = open_file
        self._pages = 0
        self._images: list[_Image] = []
        self.documents: list[Document] = []

    def read(self, where: str, block: dict[str, Any]) -> int:
        """Read one block and return its tokens."""
        kind, source = block["type"], block.get("source")
        if not isinstance(source, dict):
            raise RequestRejected(f"{where}.{kind}.source: Field required")
        form = source.get("type")
        if form == "url":
            return self._read_url(block, source)
        if form == "base64":
            media_type = source.get("media_type")
            allowed = MEDIA_TYPES if kind == "image" else (PDF,)
            if media_type not in allowed:
                found = f"Input should be {' or '.join(map(repr, allowed))}" if media_type else "Field required"
                raise RequestRejected(f"{where}.{kind}.source.base64.media_type: {found}")
            where = f"{where}.{'image' if kind == 'image' else 'pdf'}.source.base64"
            data = source.get("data")
            return self._read_bytes(where, block, _decoded(where, data), str(media_type), len(str(data)))
        if form == "file":
            file_id = source.get("file_id")
            if not isinstance(file_id, str):
                raise RequestRejected(f"{where}.{kind}.source.file.file_id: Field required")
            content = self._open_file(file_id)
            size = (len(content.data) + 2) // 3 * 4
            return self._read_bytes(f"{where}.{kind}.source.file", block, *content, size, file_id)
        if form in ("text", "content") and kind == "document":
            return self._read_words(where, block, source)
        raise RequestRejected(
            f"{where}.{kind}.source: Input tag {str(form)!r} found using 'type' does not match any expected tag"
        )

    @property
    def pictures(self) -> str | None:
        """The kind of what the model has to look at."""
        return "PDF" if self._pages else "image" if self._images else None

    def check(self) -> None:
        """Check the limits of all blocks together."""
        if len(self._images) > self._most_images:
            raise RequestRejected(f"A maximum of {self._most_images} images may be provided.")
        many = len(self._images) > MANY_IMAGES
        most = MOST_PIXELS_OF_MANY if many else MOST_PIXELS
        if large := [image.where for image in self._images if image.side > most]:
            kind = " for many-image requests" if many else ""
            raise RequestRejected(
                f"{large[0]}.image.source.base64.data: At least one of the image dimensions exceed max allowed size"
                f"{kind}: {most} pixels",
                details={"error_code": "image_dimensions_too_large", "max_side_length_pixels": most, "paths": large},
            )
        cited = [document.cited for document in self.documents]
        if any(cited) and not all(cited):
            raise RequestRejected("citations must be enabled on all documents of a request or on none")

    def _read_url(self, block: dict[str, Any], source: dict[str, Any]) -> int:
        # Hosts under .invalid stand for those that never respond.
        if (urlsplit(str(source.get("url"))).hostname or "").endswith("invalid"):
            raise RequestRejected("Unable to download the file. Please verify the URL and try again.")
        if block["type"] == "document":
            self._add(block, "pdf", ((1, ""),))
        return URL_TOKENS

    def _read_bytes(
        self, where: str, block: dict[str, Any], data: bytes, media_type: str, size: int, file_id: str | None = None
    ) -> int:
        try:
            if block["type"] == "image":
                return self._read_image(where, data, media_type, size)
            if media_type == PDF:
                return self._read_pdf(where, block, data, file_id)
        except Unreadable as unreadable:
            raise RequestRejected(f"{where}.data: {unreadable}") from unreadable
        if media_type != "text/plain":
            raise RequestRejected(f"{where}: a document cannot be a file of type {media_type}")
        return self._add_text(block, data.decode(errors="replace"), file_id)

    def _read_image(self, where: str, data: bytes, media_type: str, size: int) -> int:
        if size > MOST_IMAGE_BYTES:
            raise RequestRejected(f"{where}: image exceeds 10 MB maximum: {size} bytes > {MOST_IMAGE_BYTES} bytes")
        width, height = read_image(data, media_type)
        self._images.append(_Image(where.partition(".image.")[0], max(width, height)))
        return image_tokens(width, height, self._resolution)

    def _read_pdf(self, where: str, block: dict[str, Any], data: bytes, file_id: str | None) -> int:
        texts = _kept_pdfs.read(data, self._most_pages)
        self._pages += len(texts)
        if self._pages > self._most_pages:
            raise RequestRejected(f"{where}.data: A maximum of {self._most_pages} PDF pages may be provided.")
        self._add(block, "pdf", tuple(enumerate(texts, start=1)), file_id)
        return sum(PAGE_TOKENS + tokens_of(len(text.encode())) for text in texts) + _words_around(block)

    def _read_words(self, where: str, block: dict[str, Any], source: dict[str, Any]) -> int:
        form = source["type"]
        words = source.get("data" if form == "text" else "content")
        if form == "text" or isinstance(words, str):
            if not isinstance(words, str) or not words.strip():
                raise RequestRejected(f"{where}.document.source.{form}: text must be non-empty")
            return self._add_text(block, words)
        parts = words if isinstance(words, list) else []
        texts = [part.get("text", "") for part in parts if isinstance(part, dict) and part.get("type") == "text"]
        images = [
            self.read(f"{where}.document.source.content.{number}", part)
            for number, part in enumerate(parts)
            if isinstance(part, dict) and part.get("type") == "image"
        ]
        if not texts and not images:
            raise RequestRejected(f"{where}.document.source.content: Field required")
        self._add(block, "content", tuple(enumerate(map(str, texts), start=1)))
        return sum(tokens_of(len(str(text).encode())) for text in texts) + sum(images) + _words_around(block)

    def _add_text(self, block: dict[str, Any], text: str, file_id: str | None = None) -> int:
        pages, starts = split_pages(text)
        self._add(block, "text", pages, file_id, starts)
        return tokens_of(len(text.encode())) + _words_around(block)

    def _add(
        self,
        block: dict[str, Any],
        kind: str,
        pages: tuple[tuple[int, str], ...],
        file_id: str | None = None,
        starts: tuple[int, ...] = (),
    ) -> None:
        citations = block.get("citations")
        cited = isinstance(citations, dict) and citations.get("enabled") is True
        title = block.get("title")
        self.documents.append(
            Document(kind=kind, pages=pages, title=title, cited=cited, file_id=file_id, starts=starts)
        )


def _words_around(block: dict[str, Any]) -> int:
    """Return the tokens of a document's title and context."""
    return sum(tokens_of(len(str(block[name]).encode())) for name in ("title", "context") if block.get(name))


def _decoded(where: str, data: object) -> bytes:
    if not isinstance(data, str):
        raise RequestRejected(f"{where}.data: Field required")
    try:
        return binascii.a2b_base64(data, strict_mode=True)
    except binascii.Error as error:
        raise RequestRejected(f"{where}.data: Invalid base64 data") from error


class _KeptPdfs:
    """The texts of the PDFs read last, by their content."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[bytes, int], tuple[str, ...] | Unreadable] = OrderedDict()
        self._lock = Lock()  # batches are read in one thread, synchronous calls in another

    def read(self, data: bytes, most_pages: int) -> tuple[str, ...]:
        key = sha256(data).digest(), most_pages
        with self._lock:
            found = self._kept.get(key)
        if found is None:
            try:
                found = read_pdf(data, most_pages)
            except Unreadable as unreadable:
                found = unreadable
        with self._lock:
            self._kept[key] = found
            self._kept.move_to_end(key)
            if len(self._kept) > _KEPT_PDFS:
                self._kept.popitem(last=False)
        if isinstance(found, Unreadable):
            raise Unreadable(str(found))
        return found


_kept_pdfs = _KeptPdfs()
