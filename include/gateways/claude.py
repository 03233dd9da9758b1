"""
Claude: the calls of the Message Batches API, through the official SDK. What an error means for the money is decided
here, once.
"""

from __future__ import annotations

import json
import logging
import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Self

import anthropic
import httpx2
from anthropic.pagination import SyncPage
from anthropic.types import MessageTokensCount, ModelInfo, ThinkingTypes
from anthropic.types.messages import MessageBatch

from include.enrichment.batches.poll import BatchStatus
from include.enrichment.errors import ApiError, BatchError, BatchNotFound, EnrichmentError, LoadError, SetupError
from include.enrichment.requests.chunk import Body
from include.enrichment.requests.request import MAX_REQUEST_BYTES
from include.enrichment.spec.model_capabilities import ModelCapabilities

_log = logging.getLogger(__name__)
_http_log = logging.getLogger("httpx2")
if _http_log.level == logging.NOTSET:  # a line for each request says nothing that ours do not, many times over
    _http_log.setLevel(logging.WARNING)
BATCHES = "/v1/messages/batches"
_COUNT_TOKENS = "/v1/messages/count_tokens"
#: No create is under way longer than this after it began, as far as timeouts can see to it: others wait for so long
#: before they look for the batch of a create that told nobody how it ended.
CREATE_SECONDS = 1200
#: Sending 250 MB and having it checked takes minutes on a slow line; a create that is given up too early is a create
#: whose fate is unknown. The two, and the last write in between, add up to CREATE_SECONDS.
_ANSWER_SECONDS = 600
_WRITE_SECONDS = 60
_SEND_SECONDS = CREATE_SECONDS - _ANSWER_SECONDS - _WRITE_SECONDS
_CREATE_TIMEOUT = httpx2.Timeout(_ANSWER_SECONDS, write=_WRITE_SECONDS, connect=30, pool=30)
#: An estimate is not worth the ten minutes that the SDK waits.
_COUNT_SECONDS = 30.0
#: Read without the SDK's own list(), which an answer that is no JSON lets down with an AttributeError.
_Page = SyncPage[MessageBatch]
#: The most that a page of the list holds.
PAGE_BATCHES = 1000
#: The API keeps results for 29 days from a batch's creation: what is older is of no use to anybody.
LISTED_FOR = timedelta(days=30)
#: A longer `retry-after` is no advice but a mistake (the header may also hold "nan", or a date).
_LONGEST_RETRY_AFTER_SECONDS = 3600
_COUNTS = ("processing", "succeeded", "errored", "canceled", "expired")
#: Errors after which the API may have done what was asked all the same.
_AMBIGUOUS_STATUS = (408, 409, 499)
_RETRYABLE_STATUS = (408, 409, 429, 499)
_RETRYABLE_CODES = ("request_body_timeout",)
#: Refusals that only a person can end, by their code: what is wrong, and what to do before the task is cleared.
_REMEDIES = {
    "workspace_human_review_disabled": (
        "The key's workspace has Human Review turned off, where batches are not available. Put the key of a workspace"
        " with Human Review on into connection {connection!r}"
    ),
    "organization_on_hold": (
        "Anthropic has disabled the organization for trust and safety reasons. Appeal to Anthropic, or put the key of"
        " another organization into connection {connection!r}"
    ),
    "claude_code_key_creator_not_member": (
        "The key belongs to the Claude Code workspace, and its creator is no longer a member. Put another key into"
        " connection {connection!r}"
    ),
    "cmek_key_disabled": (
        "The workspace's encryption key is disabled or revoked. Enable it in your key management service"
    ),
    "cmek_key_network_blocked": (
        "The network rules of your key management service keep Anthropic from the workspace's encryption key. Allow it"
    ),
}
#: A limit that the organization or workspace set itself is a plain 400, told by its message only (docs of rate limits,
#: 2026-10-08).
_OWN_SPEND_LIMIT = re.compile("reached your specified (workspace )?API usage limits")
_SPEND_LIMITS = ("enforced_spend_limit_reached", "contract_spend_limit_reached")


class Claude:
    """
    The API behind an Airflow connection called ``name``.

    Errors of the SDK become ApiError, or SetupError where the key is refused; only create() can end in BatchError.
    A context manager: leaving it closes the connections.
    """

    def __init__(self, client: anthropic.Anthropic, *, name: str) -> None:
        self._client = client
        self._name = name

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def create(self, body: Body, *, since: datetime) -> str:
        """
        Make a batch and return its id. Sent once, while it is made: the SDK's retries are off, as each one may be a
        second paid batch. Its length is sent before it, so what breaks off before its end makes no batch. It is given
        up within CREATE_SECONDS of ``since``.

        :param since: when others were told that it is under way. A process that was suspended in between sends nothing

        Raises ApiError or SetupError if surely no batch was made, BatchError if there may be one, and whatever the
        body's pieces raise: then there is none either.
        """
        outgoing = _Outgoing(body, until=since + timedelta(seconds=_SEND_SECONDS))
        try:
            batch = self._client.post(
                BATCHES,
                cast_to=MessageBatch,
                content=outgoing,
                options={
                    "headers": {"Content-Length": str(body.length)},
                    "max_retries": 0,
                    "timeout": _CREATE_TIMEOUT,
                },
            )
        except anthropic.AnthropicError as error:
            if isinstance(error.__cause__, EnrichmentError):
                raise error.__cause__ from error
            if outgoing.whole and _may_have_been_made(error):
                raise _unclear(body.requests, _spell(error)) from error
            if isinstance(error, anthropic.APIStatusError) and error.status_code == 413:
                raise _too_large(body, _spell(error)) from error
            raise self._translated(error, "Creating a batch") from error
        except json.JSONDecodeError as error:
            raise _unclear(body.requests, "an answer that is no JSON") from error
        if not isinstance(batch, MessageBatch) or not getattr(batch, "id", None):
            raise _unclear(body.requests, f"an answer that is no batch: {str(batch)[:100]!r}")
        return batch.id

    def retrieve(self, batch_id: str) -> BatchStatus:
        """
        The batch as it is now.

        Raises BatchNotFound if the API does not know it, and its list of the last 30 days does not have it either.
        """
        doing = f"Looking at batch {batch_id}"
        try:
            with self._errors(doing):
                return _batch_status(self._client.messages.batches.retrieve(batch_id))
        except BatchNotFound as error:
            oldest = datetime.now(UTC) - LISTED_FOR
            for batch in self._newest_first(doing, limit=PAGE_BATCHES):
                if batch.batch_id == batch_id:
                    return status_from_list(batch)
                if batch.created_at < oldest:
                    break
            raise not_listed(error) from error

    def newest_batch(self) -> str | None:
        """The id of the workspace's newest batch, None if it has none."""
        return next((batch.batch_id for batch in self._newest_first("Asking for the newest batch", limit=1)), None)

    def batches_since(self, fence: str | None, *, not_before: datetime) -> list[BatchStatus]:
        """
        The workspace's batches that are newer than ``fence`` and not older than ``not_before``, newest first.

        :param fence: a batch id, as newest_batch() gave it earlier; with None only the time bounds the list
        """
        found = []
        for batch in self._newest_first("Listing the newest batches", limit=PAGE_BATCHES):
            if batch.batch_id == fence or batch.created_at < not_before:
                break
            found.append(batch)
        return found

    def cancel(self, batch_id: str) -> None:
        """
        Ask the API to stop the batch: it ends soon, and what it had finished is paid and can be loaded. A batch that
        has ended already is left as it is.
        """
        try:
            self._client.messages.batches.cancel(batch_id)
        except (anthropic.AnthropicError, json.JSONDecodeError) as error:
            if not (may_have_ended(error) and self.retrieve(batch_id).ended):
                raise self._translated(error, f"Canceling batch {batch_id}") from error

    @contextmanager
    def results(self, batch_id: str) -> Iterator[Download]:
        """
        The results of an ended batch as raw JSONL, in pieces of about 1 MiB that end anywhere. Whoever leaves the
        block early ends the download there.

        The SDK's own ``results()`` decodes in pieces of 64 bytes and is many times slower. Raises LoadError if the
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
                f"The download of batch {batch_id}'s results broke off ({type(error).__name__}: {error}). Nothing of"
                " it became visible; it can be begun again.",
                retryable=True,
            ) from error
        finally:
            response.close()

    def model(self, model_id: str) -> ModelCapabilities | None:
        """What the API says of a model or alias, None if it does not know it."""
        try:
            with self._errors(f"Asking for model {model_id}"):
                return _model(self._client.models.retrieve(model_id))
        except BatchNotFound:
            return None

    def model_ids(self) -> list[str]:
        """The models that the API offers, the newest first; for a hint, so none where it does not list them."""
        try:
            return [model.id for model in self._client.models.list(limit=PAGE_BATCHES)]
        except (anthropic.AnthropicError, json.JSONDecodeError, AttributeError):  # the last one for a proxy's page
            return []

    def count_tokens(self, params: Mapping[str, Any]) -> int:
        """
        How many tokens the prompt of a request has, by the API's own estimate; that costs nothing.

        :param params: the body of a Messages request. Raises ApiError or SetupError
        """
        body = {name: value for name, value in params.items() if name != "max_tokens"}
        with self._errors("Counting the tokens of a request"):
            counted = self._client.post(
                _COUNT_TOKENS, cast_to=MessageTokensCount, body=body, options={"timeout": _COUNT_SECONDS}
            )
        tokens: object = getattr(counted, "input_tokens", None)
        # No request is empty, and no token shorter than a byte. (Of ``type``: true is an int.)
        if type(tokens) is not int or not 1 <= tokens <= MAX_REQUEST_BYTES:
            raise ApiError(f"Counting the tokens of a request gave no count: {str(counted)[:100]!r}.", retryable=True)
        return tokens

    def _newest_first(self, doing: str, *, limit: int) -> Iterator[BatchStatus]:
        """The workspace's batches; a page is asked for when its first batch is."""
        after: str | None = None
        while True:
            try:
                page = self._client.get(BATCHES, cast_to=_Page, options={"params": list_query(limit, after)})
            except (anthropic.AnthropicError, json.JSONDecodeError) as error:
                raise list_error(self._translated(error, doing)) from error
            batches, after = _read_page(page)
            yield from batches
            if after is None:
                return

    @contextmanager
    def _errors(self, doing: str) -> Iterator[None]:
        try:
            yield
        except (anthropic.AnthropicError, json.JSONDecodeError) as error:
            raise self._translated(error, doing) from error

    def _translated(self, error: anthropic.AnthropicError | json.JSONDecodeError, doing: str) -> ApiError | SetupError:
        return translate_error(error, doing=doing, connection=self._name)


class Download(Iterator[bytes]):
    """The pieces of an answer while they come in. They may be got in another thread."""

    def __init__(self, response: httpx2.Response) -> None:
        self._response = response
        self._pieces = response.iter_bytes()  # as they come: to put them together would be to copy them

    def __next__(self) -> bytes:
        return next(self._pieces)

    def hang_up(self) -> None:
        """End the download at once, also for a thread that waits for its next piece: it gets an error."""
        stream = self._response.extensions["network_stream"]
        # Not the method of a TLS socket, which changes what the thread is just using.
        with suppress(OSError):  # the other side was faster
            socket.socket.shutdown(stream.get_extra_info("socket"), socket.SHUT_RDWR)


class _Outgoing:
    """
    A request body that ends in a timeout when it is still under way at ``until``.

    Time is the wall clock's: it goes on while the machine sleeps, and it is what other processes compare with.
    ``whole`` tells whether its last piece was handed out: before that, nobody can have received all of it.
    """

    def __init__(self, body: Body, *, until: datetime) -> None:
        self._body = body
        self._until = until
        self.whole = False

    def __iter__(self) -> Iterator[bytes]:
        left = self._body.length
        for piece in self._body.pieces:
            self._check_time()
            left -= len(piece)
            self.whole = left <= 0
            yield piece
        self._check_time()

    def _check_time(self) -> None:
        if datetime.now(UTC) > self._until:
            raise httpx2.WriteTimeout(f"the body was not sent by {self._until:%H:%M:%S} UTC")


def _batch_status(batch: MessageBatch) -> BatchStatus:
    """The SDK's batch as ours. Raises ApiError for what is none."""
    with _no_page_of_a_proxy(batch):
        return BatchStatus(
            batch_id=batch.id,
            ended=batch.processing_status == "ended",
            counts={name: getattr(batch.request_counts, name) for name in _COUNTS},
            created_at=batch.created_at,
            expires_at=batch.expires_at,
        )


def list_query(limit: int, after: str | None) -> dict[str, object]:
    """The query of a page of the list: ``limit`` batches, those after the cursor ``after`` or the newest."""
    return {"limit": limit, **({"after_id": after} if after else {})}


def _read_page(page: SyncPage[MessageBatch]) -> tuple[list[BatchStatus], str | None]:
    """
    The batches of one page of the list, and the cursor of the page after it, None if there is none.

    What is no page is an error and never an empty one: from "there is no such batch" it follows that one may be sent.
    """
    with _no_page_of_a_proxy(page):
        last_id = page.last_id if page.has_more else None
        if not isinstance(page.data, list) or page.has_more is None or (page.has_more and not last_id):
            raise not_from_the_api(page)
        return [_batch_status(batch) for batch in page.data], last_id


def status_from_list(batch: BatchStatus) -> BatchStatus:
    """The batch, which the API has just said 404 to; a person may want to know."""
    _log.warning("Batch %s: the API says 404 to a look at it, but its list has it", batch.batch_id)
    return batch


def not_listed(error: BatchNotFound) -> BatchNotFound:
    """The 404 to a look at a batch, once the list has been searched as well."""
    days = LISTED_FOR.days
    return BatchNotFound(f"{error} The list of the last {days} days' batches does not have it either.", retryable=False)


def list_error(error: ApiError | SetupError) -> ApiError | SetupError:
    """A 404 to the list itself says nothing of any batch."""
    return ApiError(str(error), retryable=True) if isinstance(error, BatchNotFound) else error


def may_have_ended(error: anthropic.AnthropicError | json.JSONDecodeError) -> bool:
    """Whether a refused cancel may mean that nothing was left to cancel; which status says so is not documented."""
    return isinstance(error, anthropic.APIStatusError) and error.status_code in (400, 409)


@contextmanager
def _no_page_of_a_proxy(answer: object) -> Iterator[None]:
    """A proxy in between may answer 200 with a page of its own, and the SDK hands such a body on unchecked."""
    try:
        yield
    except AttributeError as error:
        raise not_from_the_api(answer) from error


def not_from_the_api(answer: object) -> ApiError:
    """The error for an answer of status 200 that the API cannot have given."""
    return ApiError(f"The answer is no answer of the API: {str(answer)[:100]!r}.", retryable=True)


def translate_error(
    error: anthropic.AnthropicError | json.JSONDecodeError, *, doing: str, connection: str
) -> ApiError | SetupError:
    """
    What an error of the SDK means, for every call but the create's ambiguous ones.

    :param doing: what was tried, for the message
    :param connection: whose key it was tried with
    """
    if isinstance(error, json.JSONDecodeError):
        return ApiError(f"{doing} failed: the answer is no JSON. Nothing was lost.", retryable=True)
    fact = f"{doing} failed: {_spell(error)}."
    if isinstance(error, anthropic.CredentialsError):
        return SetupError(f"{fact} Connection {connection!r} gives no credentials. Nothing was sent. Mend it.")
    if isinstance(error, anthropic.APIResponseValidationError):
        return ApiError(f"{fact} That is no answer of the API; nothing was lost.", retryable=True)
    if not isinstance(error, anthropic.APIStatusError):
        return ApiError(f"{fact} The API{_at(error)} could not be reached; nothing was lost.", retryable=True)
    status = error.status_code
    if status in (401, 403):
        return SetupError(
            f"{fact} The key of connection {connection!r} was refused. Nothing was sent. Put a valid key into the"
            " connection."
        )
    if status == 404:
        return BatchNotFound(fact, retryable=False)
    if remedy := _REMEDIES.get(error.error_code or ""):
        return SetupError(
            f"{fact} {remedy.format(connection=connection)}, then clear this task. Nothing was made, and waiting does"
            " not help."
        )
    if status == 402:
        return ApiError(
            f"{fact} The account cannot be billed, so waiting does not help. Settle it in the Claude console, then"
            " clear this task.",
            retryable=False,
        )
    if error.error_code in _SPEND_LIMITS or _OWN_SPEND_LIMIT.search(error.api_message or ""):
        return ApiError(
            f"{fact} A spend limit is reached, so waiting does not help. Raise it in the Claude console, then clear"
            " this task.",
            retryable=False,
        )
    retryable = status in _RETRYABLE_STATUS or status >= 500 or error.error_code in _RETRYABLE_CODES
    return ApiError(fact, retryable=retryable, retry_after_seconds=retry_after_seconds(error.response.headers))


def _too_large(body: Body, answer: str) -> ApiError:
    alone = " One request cannot be cut: below its size, its row becomes a reject." if body.requests == 1 else ""
    return ApiError(
        f"Creating a batch failed: {answer}. The body has {body.length:,} bytes ({body.requests:,} requests), and what"
        " stands between here and the API, such as a proxy, takes fewer: the API itself takes 256 MB. No batch was"
        f" made. Set limits.batch_bytes in pipeline.yaml to what it takes and start a new run: it cuts smaller"
        f" batches.{alone}",
        retryable=False,
    )


def _unclear(requests: int, answer: str) -> BatchError:
    return BatchError(
        f"The create of a batch of {requests:,} requests ended without a clear answer ({answer}):"
        " the API may have made the batch, or not."
    )


def _may_have_been_made(error: anthropic.AnthropicError) -> bool:
    """
    Whether a create that ended in ``error`` may have made a batch all the same: not if no connection came about, nor on
    a refusal.
    """
    if isinstance(error, anthropic.APIStatusError):
        return error.status_code in _AMBIGUOUS_STATUS or error.status_code >= 500
    return not isinstance(error.__cause__, httpx2.ConnectError | httpx2.ConnectTimeout)


def retry_after_seconds(headers: Mapping[str, str]) -> float | None:
    """How long an answer asks to be left alone, None if it does not say so in a way that makes sense."""
    try:
        seconds = float(headers["retry-after"])
    except (KeyError, ValueError):
        return None
    return seconds if 0 <= seconds <= _LONGEST_RETRY_AFTER_SECONDS else None


def _spell(error: anthropic.AnthropicError) -> str:
    if isinstance(error, anthropic.APIStatusError):
        request_id = f" ({error.request_id})" if error.request_id else ""
        return f"HTTP {error.status_code}, {error.type or 'no type'}: {error.api_message or error.message}{request_id}"
    return f"{type(error).__name__}: {error.__cause__ or error}"


def _at(error: anthropic.AnthropicError) -> str:
    """Where a call went that got no answer, without what may be secret in an address."""
    if not isinstance(error, anthropic.APIConnectionError):
        return ""
    url = error.request.url
    return f" at {url.scheme}://{url.netloc.decode()}"


def _model(info: ModelInfo) -> ModelCapabilities:
    with _no_page_of_a_proxy(info):
        able = info.capabilities
        return ModelCapabilities(
            model_id=info.id,
            lifecycle=info.lifecycle,
            max_tokens=info.max_tokens,
            batches=able.batch.supported if able else None,
            structured_outputs=able.structured_outputs.supported if able else None,
            thinking_types=_supported(able.thinking.types) if able else {},
            retires_on=info.retires_at.astimezone(UTC).date() if info.retires_at else None,
        )


def _supported(types: ThinkingTypes) -> dict[str, bool]:
    kinds = {name: getattr(types, name, None) for name in ThinkingTypes.model_fields}
    return {name: bool(kind.supported) for name, kind in kinds.items() if kind}
