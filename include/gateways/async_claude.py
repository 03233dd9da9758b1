"""
Claude, for an event loop: the calls that waits make. One look is at as many batches as there are waits, and takes as
few calls as it can.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncGenerator, Collection, Mapping
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated, Self, TypeAlias, TypeVar

import anthropic
import httpx2
import msgspec

from include.enrichment.batches.poll import BatchStatus, Look
from include.enrichment.batches.poll_schedule import is_page_worth_it
from include.enrichment.errors import ApiError, BatchNotFound, SetupError
from include.gateways.claude import (
    BATCHES,
    LISTED_FOR,
    PAGE_BATCHES,
    list_error,
    list_query,
    may_have_ended,
    not_from_the_api,
    not_listed,
    retry_after_seconds,
    status_from_list,
    translate_error,
)

#: So many retrieves are under way at once.
_AT_ONCE = 10
#: So many retrieves take the place of a list that fails.
_WITHOUT_LIST = 50
#: A look that takes longer is a passing error: all the waits of the connection stand behind it.
_LOOK_SECONDS = 60

_Time = Annotated[datetime, msgspec.Meta(tz=True)]
_T = TypeVar("_T")
#: Page by page: the wanted batches on it, and when its oldest was made.
_Pages: TypeAlias = AsyncGenerator[tuple[list[BatchStatus], datetime], None]


class _Counts(msgspec.Struct, frozen=True):
    processing: int
    succeeded: int
    errored: int
    canceled: int
    expired: int


class _Batch(msgspec.Struct, frozen=True):
    """What waits need of a batch: the SDK's own model takes ten times as long to make, on the event loop."""

    id: str
    processing_status: str
    request_counts: _Counts
    created_at: _Time
    expires_at: _Time

    def status(self, retry_after: float | None = None) -> BatchStatus:
        return BatchStatus(
            batch_id=self.id,
            ended=self.processing_status == "ended",
            counts=msgspec.structs.asdict(self.request_counts),
            created_at=self.created_at,
            expires_at=self.expires_at,
            retry_after_seconds=retry_after,
        )


class _Page(msgspec.Struct, frozen=True):
    data: list[_Batch]
    has_more: bool
    last_id: str | None = None


_BATCH_DECODER = msgspec.json.Decoder(_Batch)
_PAGE_DECODER = msgspec.json.Decoder(_Page)


class AsyncClaude:
    """
    The API behind an Airflow connection called ``name``. A context manager: leaving it closes the connections.
    """

    def __init__(self, client: anthropic.AsyncAnthropic, *, name: str) -> None:
        self._client = client
        self._name = name

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections to the API."""
        await self._client.close()

    async def look(self, batches: Mapping[str, datetime], *, bystanders: Collection[str] = ()) -> dict[str, Look]:
        """
        Look at many batches at once: those that pages of the list show cost no call of their own, see worth_a_page(),
        and the rest is retrieved. BatchNotFound is the look at a batch that the API does not know, and that its list of
        the last 30 days does not have either.

        :param batches: when each was made, as far as is known; a page that begins later is not the last one
        :param bystanders: ids that are not worth a call, and are told of where a page happens to show them
        """
        async with aclosing(self._newest_first({*batches, *bystanders}, doing=_looking(batches))) as pages:
            looks, unseen, failure = await self._leaf_through(pages, batches)
            looks |= await self._retrieve(unseen)
            # What a 404 is worth is for the list to say; it is read on from where the look left it.
            unknown = {batch_id: look for batch_id, look in looks.items() if isinstance(look, BatchNotFound)}
            return looks | (dict.fromkeys(unknown, failure) if failure else await self._search(pages, unknown))

    async def cancel(self, batch_id: str) -> None:
        """As Claude.cancel()."""
        try:
            await self._client.messages.batches.cancel(batch_id)
        except (anthropic.AnthropicError, json.JSONDecodeError) as error:
            if not (may_have_ended(error) and (await self._retrieve_one(batch_id)).ended):
                raise translate_error(error, doing=f"Canceling batch {batch_id}", connection=self._name) from error

    async def _leaf_through(
        self, pages: _Pages, batches: Mapping[str, datetime]
    ) -> tuple[dict[str, Look], Collection[str], ApiError | SetupError | None]:
        """
        What the pages of the list show that are worth it, which batches are to be retrieved, and why the list failed.

        The list alone may be unwell: then some of the batches are retrieved all the same, others in the next rounds,
        unless the API asks to be left alone or refuses the key.
        """
        looks: dict[str, Look] = {}
        unseen = dict(batches)
        pages_read = 0
        try:
            while is_page_worth_it(len(unseen), pages_read=pages_read):
                found, oldest = await anext(pages)
                pages_read += 1
                for status in found:
                    looks[status.batch_id] = status
                    unseen.pop(status.batch_id, None)
                if unseen and oldest < min(unseen.values()):
                    break
        except StopAsyncIteration:
            pass
        except (ApiError, SetupError) as error:
            may_ask = isinstance(error, ApiError) and not error.retry_after_seconds
            chosen = random.sample(list(unseen), min(len(unseen), _WITHOUT_LIST) if may_ask else 0)
            return looks | dict.fromkeys(unseen.keys() - set(chosen), error), chosen, error
        return looks, unseen, None

    async def _retrieve(self, batch_ids: Collection[str]) -> dict[str, Look]:
        """
        A look at each. After an answer that asks to be left alone the rest is not asked for: it counts for them, too.
        """
        looks: dict[str, Look] = {}
        to_do = iter(batch_ids)
        left_alone: list[ApiError] = []

        async def work() -> None:
            for batch_id in to_do:
                if left_alone:
                    looks[batch_id] = left_alone[0]
                    continue
                try:
                    looks[batch_id] = await self._retrieve_one(batch_id)
                except (ApiError, SetupError) as error:
                    looks[batch_id] = error
                    if isinstance(error, ApiError) and error.retry_after_seconds:
                        left_alone.append(error)

        async with asyncio.TaskGroup() as workers:
            for _ in range(min(_AT_ONCE, len(batch_ids))):
                workers.create_task(work())
        return looks

    async def _retrieve_one(self, batch_id: str) -> BatchStatus:
        doing = f"Looking at batch {batch_id}"
        try:
            async with _in_time(doing):
                response = await self._client.messages.batches.with_raw_response.retrieve(batch_id)
                content = await response.read()
        except anthropic.AnthropicError as error:
            raise translate_error(error, doing=doing, connection=self._name) from error
        return _read(_BATCH_DECODER, content).status(retry_after_seconds(response.headers))

    async def _search(self, pages: _Pages, unknown: Mapping[str, BatchNotFound]) -> dict[str, Look]:
        """What the rest of the list says of batches that the API does not know."""
        looks: dict[str, Look] = {}
        unlisted = dict(unknown)
        oldest_wanted = datetime.now(UTC) - LISTED_FOR
        try:
            while unlisted:
                found, oldest = await anext(pages)
                for status in found:
                    if unlisted.pop(status.batch_id, None):
                        looks[status.batch_id] = status_from_list(status)
                if oldest < oldest_wanted:
                    break
        except StopAsyncIteration:
            pass
        except (ApiError, SetupError) as error:
            return looks | dict.fromkeys(unlisted, error)
        return looks | {batch_id: not_listed(error) for batch_id, error in unlisted.items()}

    async def _newest_first(self, wanted: Collection[str], *, doing: str) -> _Pages:
        """What the list shows of the wanted batches; a page is asked for when it is read."""
        after: str | None = None
        while True:
            try:
                async with _in_time(doing):
                    response = await self._client.get(
                        BATCHES, cast_to=httpx2.Response, options={"params": list_query(PAGE_BATCHES, after)}
                    )
            except anthropic.AnthropicError as error:
                raise list_error(translate_error(error, doing=doing, connection=self._name)) from error
            page = _read(_PAGE_DECODER, response.content)
            after = page.last_id if page.has_more else None
            if page.has_more and not (after and page.data):
                raise not_from_the_api(response.text)
            if page.data:
                yield [batch.status() for batch in page.data if batch.id in wanted], page.data[-1].created_at
            if after is None:
                return


@asynccontextmanager
async def _in_time(doing: str) -> AsyncGenerator[None, None]:
    """Raises ApiError when the block takes longer than a look may, however busy it is meanwhile."""
    try:
        async with asyncio.timeout(_LOOK_SECONDS):
            yield
    except TimeoutError as error:
        raise ApiError(f"{doing} took longer than {_LOOK_SECONDS} s and was given up.", retryable=True) from error


def _read(decoder: msgspec.json.Decoder[_T], content: bytes) -> _T:
    """An answer of the API. Raises ApiError for what is none, such as the page of a proxy."""
    try:
        return decoder.decode(content)
    except msgspec.DecodeError as error:
        raise not_from_the_api(content.decode(errors="replace")) from error


def _looking(batches: Collection[str]) -> str:
    return f"Looking at batch {next(iter(batches))}" if len(batches) == 1 else f"Looking at {len(batches):,} batches"
