"""
documents.parquet: the documents of a run with the text of their pages, where publish finds the quotes of the answers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from include.enrichment.documents.document import Page
from include.enrichment.errors import LakeError
from include.enrichment.storage.version import check_stamp, with_stamp

#: The bytes of text in a row group, unless one document has more: a search for a quote reads a whole group.
_GROUP_BYTES = 1_000_000
#: Row groups that a reader keeps. Rows come in the order in which their documents were written.
_GROUPS_KEPT = 4


class SentDocument(msgspec.Struct, frozen=True, kw_only=True):
    """
    A document as one of the run's requests sends it.

    :param id: its SHA-256 with its recipe: the same object sent in two ways is two documents
    :param uri: of the first object with this content
    :param media_type: of the object, by its bytes
    :param size_bytes: of the object
    :param sha256: of the object's bytes, in hex
    :param sent_as: the kind of block, for example ``pages`` or ``text``
    :param why: why it is sent as that, in words; empty if its pipeline says so
    :param pages: the pages that are sent, in their order; those of a scan have no text, and an image has no pages
    """

    id: str
    uri: str
    name: str
    media_type: str
    size_bytes: int
    sha256: str
    sent_as: str
    why: str
    pages: Sequence[Page] = ()


_PAGE = pa.struct(
    [
        pa.field("number", pa.int64(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("image_share", pa.float64(), nullable=False),
    ]
)
DOCUMENTS_SCHEMA = pa.schema(
    [
        *(pa.field(name, pa.string(), nullable=False) for name in ("id", "uri", "name", "media_type")),
        pa.field("size_bytes", pa.int64(), nullable=False),
        *(pa.field(name, pa.string(), nullable=False) for name in ("sha256", "sent_as", "why")),
        pa.field("pages", pa.list_(_PAGE), nullable=False),
    ]
)


class DocumentWriter:
    """
    A local documents.parquet that is being written; a context manager. In memory are the ids, and the documents of one
    row group.
    """

    def __init__(self, path: Path, *, group_bytes: int = _GROUP_BYTES) -> None:
        self._path, self._group_bytes = path, group_bytes
        self._ids: set[str] = set()
        self._waiting: list[SentDocument] = []
        self._bytes = 0

    def __enter__(self) -> Self:
        self._writer = pq.ParquetWriter(
            self._path, with_stamp(DOCUMENTS_SCHEMA), compression="zstd", use_dictionary=False, write_statistics=False
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            self._flush()
        self._writer.close()

    def add(self, document: SentDocument) -> None:
        """Add a document, unless it was added before."""
        if document.id in self._ids:
            return
        self._ids.add(document.id)
        self._waiting.append(document)
        self._bytes += sum(len(page.text) for page in document.pages) + 500
        if self._bytes > self._group_bytes:
            self._flush()

    def _flush(self) -> None:
        if self._waiting:
            table = pa.Table.from_pylist([_line(document) for document in self._waiting], schema=DOCUMENTS_SCHEMA)
            self._writer.write_table(table, row_group_size=len(table))
        self._waiting, self._bytes = [], 0


def _line(document: SentDocument) -> dict[str, object]:
    pages = [{"number": page.number, "text": page.text, "image_share": page.image_share} for page in document.pages]
    return {**msgspec.structs.asdict(document), "pages": pages}


class Documents:
    """
    Reads a local documents.parquet. In memory are the ids and a few row groups.

    Raises LakeError if a newer version of the project wrote it.
    """

    def __init__(self, path: Path, *, groups_kept: int = _GROUPS_KEPT) -> None:
        self._path, self._kept = path, groups_kept
        self._groups: dict[int, Mapping[str, SentDocument]] = {}
        self._place: dict[str, int] = {}
        with pq.ParquetFile(path) as file:
            check_stamp(file.metadata.metadata, path.name)
            for group in range(file.num_row_groups):
                self._place |= dict.fromkeys(file.read_row_group(group, columns=["id"])["id"].to_pylist(), group)

    def find(self, document_id: str) -> SentDocument:
        """Return a document. Raises LakeError if the file does not have it."""
        if (group := self._place.get(document_id)) is None:
            raise LakeError(
                f"documents.parquet does not have document {document_id}, which a row of the run refers to. Clear the"
                " run's `extract`, which writes both again; no answer is billed again.",
                retryable=False,
            )
        if group in self._groups:
            self._groups[group] = self._groups.pop(group)  # the last used is last
        else:
            if len(self._groups) >= self._kept:
                del self._groups[next(iter(self._groups))]
            self._groups[group] = self._read(group)
        return self._groups[group][document_id]

    def _read(self, group: int) -> Mapping[str, SentDocument]:
        with pq.ParquetFile(self._path, pre_buffer=False) as file:
            lines = file.read_row_group(group, use_threads=False).to_pylist()
        return {line["id"]: msgspec.convert(line, SentDocument) for line in lines}
