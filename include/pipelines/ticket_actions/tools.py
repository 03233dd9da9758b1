"""What the agent of ticket_actions may do: read the orders, and file a refund with the shop's refunds service."""

from __future__ import annotations

from typing import Any

import httpx2
from airflow.sdk import Connection
from sqlalchemy import text

from claude_batch.connections.gateways import open_database

_ORDERS = """
select o.order_id, o.ordered_on, o.item, o.status, o.total_cents, o.charged_cents
from orders o join tickets t on t.customer_id = o.customer_id
where t.ticket_id = :ticket_id
order by o.ordered_on desc, o.order_id
"""
_TIMEOUT_SECONDS = 30.0


def look_up_orders(ticket_id: str) -> list[dict[str, Any]]:
    """
    Return the orders of the customer who wrote a ticket, the newest first. Amounts are in cents; charged_cents is what
    the customer has paid so far.

    :param ticket_id: the id of the ticket, for example T-0042
    """
    with open_database("warehouse").connect() as warehouse:
        return [dict(row) for row in warehouse.execute(text(_ORDERS), {"ticket_id": ticket_id}).mappings()]


def file_refund(ticket_id: str, order_id: str, reason: str, *, idempotency_key: str) -> dict[str, Any]:
    """
    File the refund of one order of the customer who wrote a ticket: what was paid beyond its price if it was charged
    twice, else all that was paid. Returns the refund, or why it was declined.

    :param ticket_id: the id of the ticket, for example T-0042
    :param order_id: the id of the order, as look_up_orders returns it
    :param reason: why, in a few words, for the accounts department
    """
    found = [order for order in look_up_orders(ticket_id) if order["order_id"] == order_id]
    if not found:
        return {"declined": f"The customer of {ticket_id} has no order {order_id}."}
    (order,) = found
    beyond = order["charged_cents"] - order["total_cents"]
    request = {"order_id": order_id, "amount_cents": beyond or order["charged_cents"], "reason": reason}
    response = httpx2.post(
        f"{_refunds_url()}/refunds",
        json=request,
        headers={"idempotency-key": idempotency_key},
        timeout=_TIMEOUT_SECONDS,
        trust_env=False,
    )
    if response.status_code in (409, 422):
        return {"declined": response.json()["error"]}
    response.raise_for_status()
    return dict(response.json())


def _refunds_url() -> str:
    connection = Connection.get("refunds")
    return f"{connection.schema or 'http'}://{connection.host}:{connection.port}"
