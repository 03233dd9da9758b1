"""The Messages API: one request, one answer, in the form in which the API writes it for a request of a batch."""

from __future__ import annotations

import logging
from typing import Self

import anthropic
import httpx2
import msgspec

from include.enrichment.synchronous.message_stream import MessageStream, StreamBroken
from include.enrichment.synchronous.patience import UNCLEAR_TRIES, failure_of
from include.gateways.claude_errors import translate_error
from include.gateways.claude_responses import decode
from include.gateways.synchronous.error_results import errored, no_answer
from include.gateways.synchronous.limited_client import MESSAGES

_log = logging.getLogger(__name__)
#: An answer that may be longer than this is streamed: it can take longer than the 30 to 60 s after which proxies give
#: up on a silent connection.
_STREAMED_ABOVE_TOKENS = 1_500
#: The longest silence. A stream sends pings once the prompt is read; a whole answer is silent until it is complete.
_TIMEOUT = httpx2.Timeout(600, connect=30)
_STREAM_TIMEOUT = httpx2.Timeout(300, connect=30)


class _Params(msgspec.Struct):
    max_tokens: int


class _Message(msgspec.Struct, tag_field="type", tag="message"):
    """What every answer of the API has."""

    content: list[msgspec.Raw]


class Messages:
    """
    Answers requests through a limited_client(). An Answerer, and a context manager: leaving it closes the connections.

    :param client: of limited_client(), which it closes
    :param name: the Airflow connection that holds the key, for messages
    """

    def __init__(self, client: anthropic.AsyncAnthropic, *, name: str) -> None:
        self._client = client
        self._name = name
        #: How many calls ended without an answer and were repeated. Each may have been billed.
        self.repeated = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()
        if self.repeated:
            _log.warning(
                "%s calls ended without an answer and were repeated. Each may be billed and missing from the books.",
                f"{self.repeated:,}",
            )

    async def answer(self, request_id: str, params: bytes) -> bytes:
        """
        Return the ``result`` of the request's result line: ``succeeded``, or ``errored`` if the API rejects the request
        or does not answer it in UNCLEAR_TRIES tries.

        Long answers are streamed, so that no proxy cuts them.

        :param params: the body of the Messages request, a JSON object without ``stream``

        Raises SetupError if every other request would be rejected too, NotYet as limited_client() does, and ApiError if
        the responses do not come from the API.
        """
        streamed = msgspec.json.decode(params, type=_Params).max_tokens > _STREAMED_ABOVE_TOKENS
        tries = 0
        while True:
            tries += 1
            try:
                message = await (self._stream(params) if streamed else self._call(params))
            except anthropic.APIStatusError as error:
                if failure_of(error.status_code) != "unclear":
                    return errored(error, connection=self._name)
                failure = f"HTTP {error.status_code}"
            except anthropic.APIConnectionError as error:
                failure = f"{type(error.__cause__).__name__}: {error.__cause__}"
            except anthropic.AnthropicError as error:  # there are no credentials to send it with
                raise translate_error(error, doing="Asking for an answer", connection=self._name) from error
            except (httpx2.HTTPError, StreamBroken) as error:
                failure = f"{type(error).__name__}: {error}"
            else:
                return b'{"type":"succeeded","message":%b}' % message
            _log.warning("Request %s ended without an answer (%s); try %s", request_id, failure, tries)
            if tries >= UNCLEAR_TRIES:
                return no_answer(failure, tries=tries)
            self.repeated += 1

    async def _call(self, params: bytes) -> bytes:
        response = await self._post(params, timeout=_TIMEOUT)
        content = response.http_response.content
        decode(_Message, content)
        # One line, as in a batch's results.
        return msgspec.json.format(content, indent=-1) if b"\n" in content else content

    async def _stream(self, params: bytes) -> bytes:
        response = await self._post(b'{"stream":true,' + params.lstrip()[1:], timeout=_STREAM_TIMEOUT, stream=True)
        stream = MessageStream()
        try:
            async for event in anthropic.AsyncStream.raw_events(response.http_response):
                if event.data:
                    stream.add(event.data)
        finally:
            await response.http_response.aclose()
        return stream.message

    async def _post(
        self, params: bytes, *, timeout: httpx2.Timeout, stream: bool = False
    ) -> anthropic.AsyncAPIResponse[object]:
        response = await self._client.post(
            MESSAGES,
            cast_to=anthropic.AsyncAPIResponse[object],
            content=params,
            stream=stream,
            stream_cls=anthropic.AsyncStream[object],
            options={"timeout": timeout},
        )
        assert isinstance(response, anthropic.AsyncAPIResponse)
        return response
