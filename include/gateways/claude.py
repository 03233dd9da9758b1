"""Claude: the calls of the Message Batches API, through the official SDK."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Self

import anthropic
import httpx2

from include.enrichment.batches.poll import BatchStatus
from include.enrichment.errors import ApiError, BatchNotFound, LoadError, SetupError
from include.enrichment.requests.chunk import Body
from include.enrichment.spec.model_capabilities import ModelCapabilities
from include.gateways.claude_errors import (
    LISTED_FOR,
    create_error,
    list_error,
    may_have_stopped,
    not_listed,
    translate_error,
    unclear_create,
)
from include.gateways.claude_responses import Batch, BatchPage, CreatedBatch, Model, ModelPage, TokenCount, decode
from include.gateways.uploads.claude_files import ClaudeFiles

_log = logging.getLogger(__name__)
_http_log = logging.getLogger("httpx2")
if _http_log.level == logging.NOTSET:  # its line per request repeats ours
    _http_log.setLevel(logging.WARNING)
BATCHES = "/v1/messages/batches"
_COUNT_TOKENS = "/v1/messages/count_tokens"
_MODELS = "/v1/models"
#: Timeouts end every create within this time. After an unclear create, other runs wait this long before they look for
#: its batch.
CREATE_SECONDS = 1200
#: Sending 250 MB and having it checked takes minutes on a slow line, and giving up too early leaves the outcome of the
#: create unknown. These two and the last write in between add up to CREATE_SECONDS.
_ANSWER_SECONDS = 600
_WRITE_SECONDS = 60
_SEND_SECONDS = CREATE_SECONDS - _ANSWER_SECONDS - _WRITE_SECONDS
_CREATE_TIMEOUT = httpx2.Timeout(_ANSWER_SECONDS, write=_WRITE_SECONDS, connect=30, pool=30)
#: An estimate does not justify the SDK's ten minutes.
_COUNT_SECONDS = 30.0
#: The API's largest page of a list.
PAGE_BATCHES = 1000
_MOST_MODELS = 1000


class Claude:
    """
    The API behind an Airflow connection called ``name``.

    Errors of the SDK become ApiError, or SetupError if the API rejects the key. Only create() raises BatchError. A
    context manager: leaving it closes the connections.
    """

    def __init__(self, client: anthropic.Anthropic, *, name: str) -> None:
        self._client = client
        self._name = name
        self.files = ClaudeFiles(client, name=name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def create(self, body: Body, *, since: datetime) -> str:
        """
        Create a batch and return its id.

        The body is streamed once, without the SDK's retries: each could create a second paid batch. Its length is sent
        first, so a body that breaks off creates none. The call ends within CREATE_SECONDS of ``since``.

        :param since: when the ledger recorded the create. A process that was suspended after that sends nothing

        Raises ApiError or SetupError if no batch was created, BatchError if there may be one, and the errors of the
        body's pieces, after which there is none either.
        """
        outgoing = _Outgoing(body, until=since + timedelta(seconds=_SEND_SECONDS))
        try:
            response = self._client.post(
                BATCHES,
                cast_to=httpx2.Response,
                content=outgoing,
                options={
                    "headers": {"Content-Length": str(body.length)},
                    "max_retries": 0,
                    "timeout": _CREATE_TIMEOUT,
                },
            )
        except anthropic.AnthropicError as error:
            raise create_error(error, body, is_sent=outgoing.is_sent, connection=self._name) from error
        try:
            return decode(CreatedBatch, response.content).id
        except ApiError as error:
            raise unclear_create(body.requests, f"a response that is not a batch: {response.text[:100]!r}") from error

    def retrieve(self, batch_id: str) -> BatchStatus:
        """
        Return the batch as it is now.

        Raises BatchNotFound if neither the API nor its list of the last 30 days knows the batch.
        """
        doing = f"Retrieving batch {batch_id}"
        try:
            return decode(Batch, self._get(f"{BATCHES}/{batch_id}", doing).content).status()
        except BatchNotFound as error:
            oldest = datetime.now(UTC) - LISTED_FOR
            for batch in self._newest_first(doing, limit=PAGE_BATCHES):
                if batch.batch_id == batch_id:
                    return status_from_list(batch)
                if batch.created_at < oldest:
                    break
            raise not_listed(error) from error

    def newest_batch(self) -> str | None:
        """Return the id of the workspace's newest batch, None if it has none."""
        return next((batch.batch_id for batch in self._newest_first("Listing the newest batch", limit=1)), None)

    def batches_since(self, fence: str | None, *, not_before: datetime) -> list[BatchStatus]:
        """
        Return the workspace's batches that are newer than ``fence`` and not older than ``not_before``, newest first.

        :param fence: a batch id that newest_batch() returned earlier; with None only the time bounds the list
        """
        found = []
        for batch in self._newest_first("Listing the newest batches", limit=PAGE_BATCHES):
            if batch.batch_id == fence or batch.created_at < not_before:
                break
            found.append(batch)
        return found

    def cancel(self, batch_id: str) -> None:
        """
        Cancel the batch. It ends soon; its finished results are billed and can be loaded. Canceling a batch that has
        ended, or is canceled already, has no effect.
        """
        try:
            self._client.post(f"{BATCHES}/{batch_id}/cancel", cast_to=httpx2.Response)
        except anthropic.AnthropicError as error:
            if not (may_have_stopped(error) and self.retrieve(batch_id).stopped):
                doing = f"Canceling batch {batch_id}"
                raise translate_error(error, doing=doing, connection=self._name) from error

    @contextmanager
    def results(self, batch_id: str) -> Iterator[Download]:
        """
        Download the results of an ended batch as raw JSONL, in pieces of any length. Leaving the block ends the
        download.

        The SDK's own ``results()`` decodes pieces of 64 bytes, which is many times slower. Raises LoadError if the
        download breaks off.
        """
        with self._errors(f"Opening the results of batch {batch_id}"):
            response = self._client.get(
                f"{BATCHES}/{batch_id}/results",
                cast_to=httpx2.Response,
                stream=True,
                options={"headers": {"Accept": "application/binary"}},
            )
        try:
            yield Download(response)
        except httpx2.HTTPError as error:
            raise LoadError(
                f"The download of batch {batch_id}'s results broke off ({type(error).__name__}: {error}). Nothing was"
                " loaded. A retry downloads the results again.",
                retryable=True,
            ) from error
        finally:
            response.close()

    def model(self, model_id: str) -> ModelCapabilities | None:
        """Return the capabilities of a model or alias, None if the API does not know it."""
        try:
            return decode(Model, self._get(f"{_MODELS}/{model_id}", f"Retrieving model {model_id}").content).described()
        except BatchNotFound:
            return None

    def model_ids(self) -> list[str]:
        """Return the models that the API offers, newest first. They serve as a hint: if the call fails, return none."""
        try:
            response = self._get(_MODELS, "Listing the models", params={"limit": _MOST_MODELS})
            return [model.id for model in decode(ModelPage, response.content).data]
        except (ApiError, SetupError):
            return []

    def is_simulated(self) -> bool:
        """Return whether the emulator answers: it marks the id of every call."""
        response = self._get(_MODELS, "Listing the models", params={"limit": 1})
        return "simulated" in response.headers.get("request-id", "")

    def count_tokens(self, params: Mapping[str, Any]) -> int:
        """
        Return the API's estimate of a request's input tokens. The call is free.

        :param params: the body of a Messages request

        Raises ApiError or SetupError.
        """
        body = {name: value for name, value in params.items() if name != "max_tokens"}
        with self._errors("Counting the tokens of a request"):
            response = self._client.post(
                _COUNT_TOKENS, cast_to=httpx2.Response, body=body, options={"timeout": _COUNT_SECONDS}
            )
        return decode(TokenCount, response.content).input_tokens

    def _newest_first(self, doing: str, *, limit: int) -> Iterator[BatchStatus]:
        """Yield the workspace's batches. Each page is requested when its first batch is."""
        after: str | None = None
        while True:
            try:
                response = self._get(BATCHES, doing, params=list_query(limit, after))
            except BatchNotFound as error:
                raise list_error(error) from error
            page = decode(BatchPage, response.content)
            yield from (batch.status() for batch in page.data)
            if (after := page.after) is None:
                return

    def _get(self, path: str, doing: str, *, params: Mapping[str, object] | None = None) -> httpx2.Response:
        with self._errors(doing):
            return self._client.get(path, cast_to=httpx2.Response, options={"params": params or {}})

    @contextmanager
    def _errors(self, doing: str) -> Iterator[None]:
        try:
            yield
        except anthropic.AnthropicError as error:
            raise translate_error(error, doing=doing, connection=self._name) from error


class Download(Iterator[bytes]):
    """The pieces of a response as they arrive. Another thread may read them."""

    def __init__(self, response: httpx2.Response) -> None:
        self._response = response
        self._pieces = response.iter_bytes()  # of any length: joining them would copy them

    def __next__(self) -> bytes:
        return next(self._pieces)

    def hang_up(self) -> None:
        """End the download at once. A thread that waits for the next piece gets an error."""
        stream = self._response.extensions["network_stream"]
        # Not the method of a TLS socket, which changes state that the reading thread is using.
        with suppress(OSError):  # the server has closed the connection already
            socket.socket.shutdown(stream.get_extra_info("socket"), socket.SHUT_RDWR)


class _Outgoing:
    """
    A request body that raises a timeout if it is not sent by ``until``.

    It compares with the wall clock, which keeps running while the machine sleeps and which other processes share.
    ``is_sent`` says whether the last piece was handed out: until then the API cannot have received the whole body.
    """

    def __init__(self, body: Body, *, until: datetime) -> None:
        self._body = body
        self._until = until
        self.is_sent = False

    def __iter__(self) -> Iterator[bytes]:
        left = self._body.length
        for piece in self._body.pieces:
            self._check_time()
            left -= len(piece)
            self.is_sent = left <= 0
            yield piece
        self._check_time()

    def _check_time(self) -> None:
        if datetime.now(UTC) > self._until:
            raise httpx2.WriteTimeout(f"the body was not sent by {self._until:%H:%M:%S} UTC")


def list_query(limit: int, after: str | None) -> dict[str, object]:
    """Return the query of one page of the list: up to ``limit`` batches after the cursor, or the newest ones."""
    return {"limit": limit, **({"after_id": after} if after else {})}


def status_from_list(batch: BatchStatus) -> BatchStatus:
    """Log that only the list knows the batch, and return it."""
    _log.warning("Batch %s: the API answers 404 to a retrieve, but its list contains the batch", batch.batch_id)
    return batch
