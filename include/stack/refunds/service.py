"""
The routes of the refunds service.

``POST /refunds`` with an ``Idempotency-Key`` files a refund and returns 201. The same call again returns 200 with the
same refund and files nothing. ``GET /refunds`` lists them. Errors are JSON with one ``error``.
"""

from __future__ import annotations

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from include.stack.refunds.store import KeyReused, RefundRequest, Refunds

#: The header that makes a call safe to repeat. The store's key is at most this long.
KEY, LONGEST_KEY = "idempotency-key", 255


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    order_id: str
    amount_cents: int
    reason: str


def build(refunds: Refunds) -> Starlette:
    """Return the service over a store."""

    async def file_refund(request: Request) -> Response:
        key = request.headers.get(KEY, "")
        if not 0 < len(key) <= LONGEST_KEY:
            return _error(400, f"The header {KEY} is missing, or longer than {LONGEST_KEY} characters.")
        try:
            body = msgspec.json.decode(await request.body(), type=_Body)
        except msgspec.DecodeError as error:
            return _error(400, f"The body is invalid: {error}.")
        if body.amount_cents < 1:
            return _error(422, f"amount_cents is {body.amount_cents}: a refund is at least 1 cent.")
        try:
            refund, is_new = refunds.file_refund(key, RefundRequest(body.order_id, body.amount_cents, body.reason))
        except KeyReused:
            return _error(409, f"The key {key} belongs to another refund. Nothing was filed.")
        return JSONResponse(refund._asdict(), 201 if is_new else 200)

    async def all_refunds(request: Request) -> Response:
        return JSONResponse({"refunds": [refund._asdict() for refund in refunds.all()]})

    return Starlette(
        routes=[Route("/refunds", file_refund, methods=["POST"]), Route("/refunds", all_refunds, methods=["GET"])]
    )


def _error(status: int, message: str) -> Response:
    return JSONResponse({"error": message}, status)
