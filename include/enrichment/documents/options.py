"""The settings of attachments in pipeline.yaml."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from include.enrichment.documents.limits import MAX_PAGES
from include.enrichment.documents.object_columns import OBJECT_URI


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, populate_by_name=True)


def _page_range(pages: str) -> str:
    found = re.fullmatch(r"([1-9]\d{0,5})-([1-9]\d{0,5})", pages)
    if not found or int(found[1]) > int(found[2]):
        raise ValueError("must be a range of pages like 1-20; the first page is 1")
    return pages


class AttachmentOptions(_Frozen):
    """
    How the objects of one column are sent.

    :param kind: ``as`` in pipeline.yaml: the kind of content block; auto: by the object's bytes
    :param send: a PDF as its ``pages`` or as the ``text`` in them; auto: whichever is cheaper and says the same
    :param pages: only these pages of a PDF, both inclusive; None: all
    """

    kind: Literal["auto", "document", "image", "text"] = Field(default="auto", alias="as")
    send: Literal["auto", "pages", "text"] = "auto"
    pages: Annotated[str, AfterValidator(_page_range)] | None = None

    @model_validator(mode="after")
    def _fit(self) -> AttachmentOptions:
        if self.kind == "image" and (self.pages or self.send != "auto"):
            raise ValueError("`as: image` has neither `pages` nor `send`, which are for PDFs: remove them")
        if self.kind == "text" and self.send == "pages":
            raise ValueError("`as: text` contradicts `send: pages`: remove one of the two")
        return self


def _columns(columns: object) -> object:
    """Return ``[scan]`` as ``{scan: {}}``."""
    if isinstance(columns, list) and all(isinstance(name, str) for name in columns):
        if twice := sorted({name for name in columns if columns.count(name) > 1}):
            raise ValueError(f"names {', '.join(map(repr, twice))} twice")
        columns = {name: {} for name in columns}
    if not isinstance(columns, dict) or not columns or not all(isinstance(name, str) for name in columns):
        raise ValueError("must be a list of column names, or a mapping of column names to options; at least one")
    return {name: {} if options is None else options for name, options in columns.items()}


class AttachmentSettings(_Frozen):
    """
    The documents and images that are sent with each row, before the prompt's text.

    :param columns: the columns that hold the URI of an object, or a list of them, in the order of sending
    :param connection: the AWS connection of their buckets. None: that of the source, which must then be one
    :param split_pages: a PDF with more pages is sent in parts of this many, each in a row of its own; None: it is not
        split
    :param upload_above: an attachment of more bytes is sent by way of the Files API; None: its size does not matter
    """

    columns: Annotated[dict[str, AttachmentOptions], BeforeValidator(_columns)]
    connection: Annotated[str, Field(min_length=1)] | None = None
    split_pages: int | None = Field(default=None, ge=1, le=MAX_PAGES)
    upload_above: int | None = Field(default=None, ge=1)

    def problems(self, source: str, *, in_folder: bool) -> Iterator[tuple[tuple[str, ...], str]]:
        """
        Yield what contradicts the source, each fact with its place below ``attachments``.

        :param source: ``files``, ``objects`` or ``table``; empty for a query
        :param in_folder: the objects of the source are in a folder of this machine
        """
        if source == "objects":
            for name in self.columns:
                if name != OBJECT_URI:
                    yield ("columns", name), f"with source.objects, only its column {OBJECT_URI!r} has the URI of one"
            if in_folder and self.connection:
                yield ("connection",), "is not used, because source.objects is a folder of this machine: remove it"
        elif source != "files" and not self.connection:
            of_source = "source.table has none" if source == "table" else "source.connection is that of a database"
            yield (), f"connection: is missing: name the AWS connection that can read the objects; {of_source}"
        if self.split_pages and len(self.columns) > 1:
            named = ", ".join(self.columns)
            yield ("split_pages",), f"needs one column, because a part is of one document, but there are: {named}"
