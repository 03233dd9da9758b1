"""Claude for an event loop: one look at many batches, in as few calls as possible, for the tasks that wait."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Collection, Mapping
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime
from typing import Self, TypeAlias

import anthropic
import httpx2

from include.enrichment.batches.poll import BatchStatus, Look
from include.enrichment.batches.poll_schedule import is_page_worth_it
from include.enrichment.errors import ApiError, BatchNotFound, SetupError
from include.gateways.claude import BATCHES, PAGE_BATCHES, list_query, status_from_list
from include.gateways.claude_errors import (
    LISTED_FOR,
    list_error,
    may_have_stopped,
    not_listed,
    retry_after_seconds,
    translate_error,
)
from include.gateways.claude_responses import Batch, BatchPage, decode

#: Concurrent retrieves.
_AT_ONCE = 10
#: Retrieves that replace a failed list call.
_WITHOUT_LIST = 50
#: A call that takes longer fails and may be retried: all waits of the connection are queued behind it.
_CALL_SECONDS = 60

#: For each page: the wanted batches on it, and the creation time of its oldest batch.
_Pages: TypeAlias = AsyncGenerator[tuple[list[BatchStatus], datetime], None]


class AsyncClaude:
    """The API behind an Airflow connection called ``name``. A context manager: leaving it closes the connections."""

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
        Return the status of many batches, or the error for each.

        Reads pages of the list as long as is_page_worth_it(), and retrieves the remaining batches one by one. A batch
        that neither the API nor its list of the last 30 days knows has BatchNotFound.

        :param batches: the creation time of each, or a lower bound for it; paging stops there
        :param bystanders: ids to include in the result if a page happens to contain them
        """
        async with aclosing(self._newest_first({*batches, *bystanders}, doing=_describe_retrieve(batches))) as pages:
            looks, unseen, failure = await self._read_pages(pages, batches)
            looks |= await self._retrieve(unseen)
            # Only the list can confirm a 404; reading it continues after the last page.
            unknown = {batch_id: look for batch_id, look in looks.items() if isinstance(look, BatchNotFound)}
            return looks | (dict.fromkeys(unknown, failure) if failure else await self._search(pages, unknown))

    async def cancel(self, batch_id: str) -> None:
        """Cancel the batch, as Claude.cancel() does."""
        try:
            await self._client.post(f"{BATCHES}/{batch_id}/cancel", cast_to=httpx2.Response)
        except anthropic.AnthropicError as error:
            if not (may_have_stopped(error) and (await self._retrieve_one(batch_id)).stopped):
                raise translate_error(error, doing=f"Canceling batch {batch_id}", connection=self._name) from error

    async def _read_pages(
        self, pages: _Pages, batches: Mapping[str, datetime]
    ) -> tuple[dict[str, Look], Collection[str], ApiError | SetupError | None]:
        """
        Return the batches on the pages that are worth a call, the ids left to retrieve, and the error of the list.

        If only the list fails, a random part of the batches is retrieved now and the rest in the next rounds. If the
        API requests a wait or rejects the key, none is.
        """
        looks: dict[str, Look] = {}
        unseen = dict(batches)
        pages_read = 0
        try:
            while is_page_worth_it(len(unseen), pages_read=pages_read) and (page := await anext(pages, None)):
                found, oldest = page
                pages_read += 1
                for status in found:
                    looks[status.batch_id] = status
                    unseen.pop(status.batch_id, None)
                if unseen and oldest < min(unseen.values()):
                    break
        except (ApiError, SetupError) as error:
            may_retrieve = isinstance(error, ApiError) and not error.retry_after_seconds
            chosen = random.sample(list(unseen), min(len(unseen), _WITHOUT_LIST) if may_retrieve else 0)
            return looks | dict.fromkeys(unseen.keys() - set(chosen), error), chosen, error
        return looks, unseen, None

    async def _retrieve(self, batch_ids: Collection[str]) -> dict[str, Look]:
        """Return a look at each batch. A response that requests a wait stands for all remaining batches too."""
        looks: dict[str, Look] = {}
        to_do = iter(batch_ids)
        wait_requests: list[ApiError] = []

        async def work() -> None:
            for batch_id in to_do:
                if wait_requests:
                    looks[batch_id] = wait_requests[0]
                    continue
                try:
                    looks[batch_id] = await self._retrieve_one(batch_id)
                except (ApiError, SetupError) as error:
                    looks[batch_id] = error
                    if isinstance(error, ApiError) and error.retry_after_seconds:
                        wait_requests.append(error)

        async with asyncio.TaskGroup() as workers:
            for _ in range(min(_AT_ONCE, len(batch_ids))):
                workers.create_task(work())
        return looks

    async def _retrieve_one(self, batch_id: str) -> BatchStatus:
        doing = _describe_retrieve([batch_id])
        try:
            async with _in_time(doing):
                response = await self._client.get(f"{BATCHES}/{batch_id}", cast_to=httpx2.Response)
        except anthropic.AnthropicError as error:
            raise translate_error(error, doing=doing, connection=self._name) from error
        return decode(Batch, response.content).status(retry_after_seconds(response.headers))

    async def _search(self, pages: _Pages, unknown: Mapping[str, BatchNotFound]) -> dict[str, Look]:
        """Search the rest of the list for the batches that the API answers 404 for."""
        looks: dict[str, Look] = {}
        unlisted = dict(unknown)
        oldest_wanted = datetime.now(UTC) - LISTED_FOR
        try:
            while unlisted and (page := await anext(pages, None)):
                found, oldest = page
                for status in found:
                    if unlisted.pop(status.batch_id, None):
                        looks[status.batch_id] = status_from_list(status)
                if oldest < oldest_wanted:
                    break
        except (ApiError, SetupError) as error:
            return looks | dict.fromkeys(unlisted, error)
        return looks | {batch_id: not_listed(error) for batch_id, error in unlisted.items()}

    async def _newest_first(self, wanted: Collection[str], *, doing: str) -> _Pages:
        """Yield the wanted batches of each page of the list. A page is requested when it is read."""
        after: str | None = None
        while True:
            try:
                async with _in_time(doing):
                    response = await self._client.get(
                        BATCHES, cast_to=httpx2.Response, options={"params": list_query(PAGE_BATCHES, after)}
                    )
            except anthropic.AnthropicError as error:
                raise list_error(translate_error(error, doing=doing, connection=self._name)) from error
            page = decode(BatchPage, response.content)
            if page.data:
                yield [batch.status() for batch in page.data if batch.id in wanted], page.data[-1].created_at
            if (after := page.after) is None:
                return


@asynccontextmanager
async def _in_time(doing: str) -> AsyncGenerator[None, None]:
    """Raises ApiError if the block takes longer than a call may, even if data keeps arriving."""
    try:
        async with asyncio.timeout(_CALL_SECONDS):
            yield
    except TimeoutError as error:
        raise ApiError(f"{doing} took longer than {_CALL_SECONDS} s and was abandoned.", retryable=True) from error


def _describe_retrieve(batches: Collection[str]) -> str:
    return f"Retrieving {f'batch {next(iter(batches))}' if len(batches) == 1 else f'{len(batches):,} batches'}"
