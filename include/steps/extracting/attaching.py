"""The documents and images of each row: read ahead, checked, and made into the content blocks of its requests."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.enrichment.answers.table import PAGES, PART
from include.enrichment.documents.attachment import Attachment
from include.enrichment.documents.blocks import Titled, content_blocks
from include.enrichment.documents.choosing import Choice, choose, document_id, page_range, split, text_of
from include.enrichment.documents.document import PDF, Page
from include.enrichment.documents.limits import MAX_DOCUMENTS, RequestLimits, Size, image_size
from include.enrichment.documents.options import AttachmentOptions
from include.enrichment.documents.recipe import media_type_made, recipe_for_image, recipe_for_pages
from include.enrichment.documents.tokens import image_tokens, layer_tokens, pdf_tokens, text_tokens
from include.enrichment.storage.address import shown
from include.gateways.documents.inspector import CannotMake, Inspector
from include.steps.extracting.document_log import DocumentLog
from include.steps.extracting.examining import Examined, Examiner, open_examiner
from include.steps.files.document_file import DocumentWriter, SentDocument

if TYPE_CHECKING:
    from include.enrichment.spec.pipeline import Pipeline
    from include.gateways.documents.buckets import Buckets

#: The objects that are read ahead; a row without any counts as one.
_OBJECTS_AHEAD = 16

#: The documents of a row whose problems are told one by one.
_MOST_FACTS = 3

_Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Part:
    """
    What one request has of the documents of its row. Models differ in the size of images, and in what fits.

    :param columns: the number of the part and its pages; empty unless documents are split
    :param blocks: before the text of the prompt
    :param documents: their ids in documents.parquet
    :param problem: why there is no request; None: there is one
    :param of_models: the same for the other models of the pipeline, by name
    """

    columns: Mapping[str, Any] = field(default_factory=dict)
    blocks: Sequence[Any] = ()
    documents: Sequence[str] = ()
    problem: str | None = None
    of_models: Mapping[str, Part] = field(default_factory=dict)

    def of_model(self, model: str) -> Part:
        """Return what a request to this model has."""
        return self.of_models.get(model, self)


#: What a row of a pipeline without attachments has.
WITHOUT_DOCUMENTS = Part()

Attach = Callable[[Iterable[_Row]], Iterator[tuple[_Row, Sequence[Part]]]]


@contextmanager
def attaching(
    pipeline: Pipeline, path: Path, *, buckets: Buckets | None, context_tokens: Mapping[str, int]
) -> Iterator[Attach]:
    """
    Return a function that reads the documents of rows, and returns each row with its parts, in their order: one, or
    several of a document that is split.

    A document that cannot be sent is the problem of its row. The columns of ``source.objects`` that need the object are
    filled in. Raises LakeError or SetupError if the store or the disk fails.

    :param path: of the documents.parquet to write, if the pipeline has attachments
    :param buckets: hold the objects; None: the pipeline has no attachments
    :param context_tokens: the context window of each model that is known
    """
    if buckets is None:
        # Without this, a caller that forgets them would have the rows sent without their documents.
        assert not pipeline.settings.attached_columns
        yield lambda rows: ((row, (WITHOUT_DOCUMENTS,)) for row in rows)
        return
    models = dict.fromkeys(asking.variant.request.model for asking in pipeline.askings.values())
    limits = [RequestLimits(model=model, context_tokens=context_tokens.get(model)) for model in models]
    with Inspector() as inspector, open_examiner(buckets, inspector) as examiner, DocumentWriter(path) as writer:
        documents = DocumentLog()
        attacher = _Attacher(pipeline, limits, writer, documents)
        yield partial(_attach, examiner, attacher, pipeline.settings.attached_columns)
        documents.end()


def _attach(
    examiner: Examiner, attacher: _Attacher, columns: Mapping[str, AttachmentOptions], rows: Iterable[_Row]
) -> Iterator[tuple[_Row, Sequence[Part]]]:
    waiting: deque[tuple[_Row, list[_Coming], str | None]] = deque()

    def finish() -> tuple[_Row, Sequence[Part]]:
        row, coming, problem = waiting[0]
        parts = attacher.rejected(problem) if problem else attacher.parts(row, coming)
        waiting.popleft()
        examiner.forget({one.uri for _, others, _ in waiting for one in others})
        return row, parts

    for row in rows:
        wanted = list(_wanted(row, columns))
        problem = attacher.problem_of_number(len(wanted))  # known before anything is read
        coming = [] if problem else [_Coming(options, uri, examiner.begin(uri)) for options, uri in wanted]
        waiting.append((row, coming, problem))
        while sum(max(len(coming), 1) for _, coming, _ in waiting) > _OBJECTS_AHEAD:
            yield finish()
    while waiting:
        yield finish()


def _wanted(row: _Row, columns: Mapping[str, AttachmentOptions]) -> Iterator[tuple[AttachmentOptions, str]]:
    """Yield the URIs in the row, each with the options of its column."""
    for name, options in columns.items():
        values = row[name] if isinstance(row[name], list | tuple) else [row[name]]
        yield from ((options, str(value)) for value in values if value is not None and value != "")


@dataclass(frozen=True)
class _Coming:
    options: AttachmentOptions
    uri: str
    examined: Future[Examined]


@dataclass(frozen=True)
class _Document:
    """A document of a row: what was found, and how it is sent."""

    uri: str
    examined: Examined
    choice: Choice

    @property
    def name(self) -> str:
        return self.uri.rpartition("/")[2]

    @property
    def shown(self) -> str:
        """Its name for a message."""
        return shown(self.uri).rstrip("/").rpartition("/")[2]

    @property
    def is_pdf(self) -> bool:
        return self.examined.inspected.media_type == PDF


@dataclass(frozen=True)
class _Sent:
    """A document, or a part of it, in a request."""

    titled: Titled
    size: Size
    document: SentDocument


class _Attacher:
    """Makes the parts of rows whose objects are read."""

    def __init__(
        self, pipeline: Pipeline, limits: Sequence[RequestLimits], writer: DocumentWriter, documents: DocumentLog
    ) -> None:
        settings = pipeline.settings
        self._columns = settings.attached_columns
        self._of_objects = settings.source.objects is not None
        self._split = settings.split_pages
        self._upload_above = settings.attachments.upload_above if settings.attachments else None
        # They exclude an output schema. With one, the evidence is a part of the answer.
        self._citations = settings.output.evidence and pipeline.schema_text is None
        self._limits = limits
        self._writer = writer
        self._log = documents

    def problem_of_number(self, documents: int) -> str | None:
        """Return why a row with so many documents makes no request; None if it may make one."""
        if not documents:
            return f"it has no document: {', '.join(self._columns)} {'are' if len(self._columns) > 1 else 'is'} empty"
        if self._split is not None and documents > 1:
            return f"it has {documents:,} documents, but attachments.split_pages needs rows with one"
        if documents > MAX_DOCUMENTS:
            return f"it has {documents:,} documents; a request takes at most {MAX_DOCUMENTS:,}: make more rows of it"
        return None

    def rejected(self, problem: str) -> Sequence[Part]:
        """Return the one part of a row that makes no request."""
        return [Part(columns=self._part_columns(1), problem=problem)]

    def parts(self, row: _Row, coming: Sequence[_Coming]) -> Sequence[Part]:
        """Return the parts of a row. Waits for its objects."""
        parts = self._parts(row, coming)
        for part in parts:
            if part.problem:
                self._log.unsendable(part.problem)
        self._log.row()
        return parts

    def _parts(self, row: _Row, coming: Sequence[_Coming]) -> Sequence[Part]:
        documents = []
        for one in coming:
            examined = one.examined.result()
            documents.append(_Document(one.uri, examined, choose(examined.inspected, one.options)))
        if self._of_objects:
            _fill_in(row, documents[0].examined)
        if facts := [f"the document {one.shown} {one.choice.problem}" for one in documents if one.choice.problem]:
            more = [f"and {len(facts) - _MOST_FACTS:,} more documents cannot be sent"] if facts[_MOST_FACTS:] else []
            return self.rejected("; ".join([*facts[:_MOST_FACTS], *more]))
        whole = [one.choice.pages for one in documents]
        pages_of_parts = [whole] if self._split is None else [[pages] for pages in split(whole[0], self._split)]
        return [self._part(number, documents, pages) for number, pages in enumerate(pages_of_parts, start=1)]

    def _part(self, number: int, documents: Sequence[_Document], pages_of_each: Sequence[Sequence[Page]]) -> Part:
        first, *others = (self._part_of(limits, number, documents, pages_of_each) for limits in self._limits)
        of_models = {limits.model: part for limits, part in zip(self._limits[1:], others, strict=True)}
        return replace(first, of_models=of_models) if of_models else first

    def _part_of(
        self,
        limits: RequestLimits,
        number: int,
        documents: Sequence[_Document],
        pages_of_each: Sequence[Sequence[Page]],
    ) -> Part:
        columns = self._part_columns(number, pages_of_each[0] if documents[0].is_pdf else ())
        images = sum(one.choice.sent_as == "image" for one in documents)
        sent, model = [], limits.model
        for one, pages in zip(documents, pages_of_each, strict=True):
            try:
                is_image = one.choice.sent_as == "image"
                sent.append(self._send_image(one, images, model) if is_image else self._send(one, pages, model))
            except CannotMake as error:
                return Part(columns=columns, problem=f"the document {one.shown} {error.problem}")
        if problem := limits.problem([one.size for one in sent], is_part=self._split is not None):
            return Part(columns=columns, problem=problem)
        for each in sent:
            self._writer.add(each.document)
            if limits is self._limits[0]:
                self._log.sent(each.document.sent_as)
        return Part(
            columns=columns,
            blocks=content_blocks([one.titled for one in sent], citations=self._citations),
            documents=[one.document.id for one in sent],
        )

    def _part_columns(self, number: int, pages: Sequence[Page] = ()) -> Mapping[str, Any]:
        if self._split is None:
            return {}
        return {PART: number, PAGES: page_range(pages) if pages else None}

    def _send(self, one: _Document, pages: Sequence[Page], model: str) -> _Sent:
        inspected = one.examined.inspected
        if one.choice.sent_as == "text":
            text = text_of(pages, numbered=one.is_pdf)
            recipe = f"text {page_range(pages)}" if one.is_pdf else "text"
            size = Size(name=one.shown, tokens=text_tokens(text, model))
            return _Sent(Titled(name=one.name, content=text), size, _described(one, recipe, pages))
        recipe = recipe_for_pages(inspected, pages[0].number, pages[-1].number)
        in_text = layer_tokens(pages, model)
        attachment = self._attachment(one, recipe, tokens=pdf_tokens(pages, model), text_tokens=in_text)
        some = page_range(pages) if len(pages) < len(inspected.pages) else ""
        return _Sent(
            Titled(name=one.name, content=attachment, pages=some),
            Size(name=one.shown, tokens=attachment.tokens, pages=len(pages)),
            _described(one, recipe, pages),
        )

    def _send_image(self, one: _Document, images: int, model: str) -> _Sent:
        inspected = one.examined.inspected
        pixels = image_size(inspected.pixels or (1, 1), model, images=images)
        recipe = recipe_for_image(inspected, pixels)
        attachment = self._attachment(one, recipe, tokens=image_tokens(pixels, model))
        size = Size(name=one.shown, tokens=attachment.tokens, pixels=pixels, sent_bytes=attachment.sent_bytes)
        return _Sent(Titled(name=one.name, content=attachment), size, _described(one, recipe, ()))

    def _attachment(self, one: _Document, recipe: str, *, tokens: int, text_tokens: int = 0) -> Attachment:
        stored = one.examined.stored
        assert stored
        sent_bytes, sent_sha256 = one.examined.made(recipe)
        return Attachment(
            uri=stored.uri,
            version=stored.version,
            size_bytes=stored.size_bytes,
            sha256=stored.sha256,
            media_type=media_type_made(one.examined.inspected.media_type, recipe),
            recipe=recipe,
            sent_bytes=sent_bytes,
            sent_sha256=sent_sha256,
            tokens=tokens,
            text_tokens=text_tokens,
            upload=self._upload_above is not None and sent_bytes > self._upload_above,
        )


def _fill_in(row: _Row, examined: Examined) -> None:
    """Fill in the columns of ``source.objects`` that are known now."""
    inspected = examined.inspected
    row["media_type"] = inspected.media_type or None
    row["sha256"] = examined.stored.sha256 if examined.stored else None
    row["pages"] = len(inspected.pages) or None if inspected.media_type == PDF else None


def _described(one: _Document, recipe: str, pages: Sequence[Page]) -> SentDocument:
    stored = one.examined.stored
    assert stored
    return SentDocument(
        id=document_id(stored.sha256, recipe),
        uri=stored.uri,
        name=one.name,
        media_type=one.examined.inspected.media_type,
        size_bytes=stored.size_bytes,
        sha256=stored.sha256,
        sent_as=one.choice.sent_as,
        why=one.choice.why,
        pages=pages,
    )
