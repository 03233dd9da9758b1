"""The documents of a run as lines: how each was sent and why, or why it was not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa

from include.enrichment.documents.document import PDF, type_name

_COLUMNS = ("name", "type", "pages", "sent_as", "why")
_SCHEMA = pa.schema([pa.field(name, pa.string()) for name in _COLUMNS])
#: What ``sent_as`` is for what was not sent.
_REJECTED = "rejected"


def document_rows(documents: pa.Table, rejected: Sequence[tuple[str, str]]) -> pa.Table:
    """
    Return a line for each document, or for each part of one that is split, sorted by name: its name, type, the pages of
    a PDF that were sent, as what, and why.

    :param documents: of read_sent()
    :param rejected: the name and the problem of each row that makes no request; one that occurs again is left out
    """
    lines = [*_sent(documents), *((name, "", "", _REJECTED, problem) for name, problem in dict.fromkeys(rejected))]
    lines.sort(key=lambda line: line[0])  # parts of a document stay in their order
    return pa.Table.from_pylist([dict(zip(_COLUMNS, line, strict=True)) for line in lines], schema=_SCHEMA)


def _sent(documents: pa.Table) -> Iterator[tuple[str, str, str, str, str]]:
    for one in documents.to_pylist():
        numbers = [page["number"] for page in one["pages"]] if one["media_type"] == PDF else []
        yield one["name"], type_name(one["media_type"]), _range(numbers), one["sent_as"], one["why"]


def _range(numbers: Sequence[int]) -> str:
    if len(numbers) < 2:
        return "".join(map(str, numbers))
    return f"{numbers[0]}-{numbers[-1]}"
