"""What answers the requests of a synchronous chunk: one call to the API, or an agent's loop of calls."""

from __future__ import annotations

from typing import Protocol


class Answerer(Protocol):
    """Answers one request at a time; many at once may be in progress."""

    async def answer(self, request_id: str, params: bytes) -> bytes | None:
        """
        Return the ``result`` of the request's result line as JSON on one line, as the API writes it for a batch:
        ``{"type": "succeeded", "message": {…}}`` or ``{"type": "errored", "error": {…}}``. None: the answer waits for
        a person.

        :param params: the body of the Messages request, with the bytes of its attachments

        Raises NotYet if the API accepts no call for a longer time, and SetupError if it rejects the key or the account.
        """
