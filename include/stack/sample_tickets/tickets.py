"""
The sample's tickets and orders, made from the letters of letters.py. Every process makes the same rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any, NamedTuple

from include.stack.sample_tickets.letters import CHANNELS, FIRST_NAMES, ITEMS, LAST_NAMES, LETTERS, Letter

DAY = date(2026, 11, 17)
TICKETS = 200
CUSTOMERS = 77
#: How often the emulator is right about a column of the pipeline `tickets`. For Claude nobody knows before asking it.
ACCURACY = {"category": 0.92, "urgency": 0.9, "flagged": 0.95}
#: The orders of a customer that no ticket is about.
_OTHER_ORDERS = 2


class Ticket(NamedTuple):
    """One row of the table ``tickets``. Its author has logged in, so the customer is known."""

    ticket_id: str
    customer_id: str
    channel: str
    subject: str
    body: str
    created_on: date


class Order(NamedTuple):
    """
    One row of the table ``orders``. Amounts are in cents.

    :param status: ``processing``, ``shipped``, ``delivered`` or ``lost``
    :param charged_cents: what the customer has paid; it exceeds ``total_cents`` if the order was charged twice
    """

    order_id: str
    customer_id: str
    ordered_on: date
    item: str
    status: str
    total_cents: int
    charged_cents: int


class Truth(NamedTuple):
    """
    What a right answer says about a ticket.

    :param order_id: the order that the ticket is about
    """

    ticket_id: str
    category: str
    urgency: str
    flagged: bool
    order_id: str


def tickets() -> list[Ticket]:
    """Return the tickets, by id."""
    return [ticket for ticket, _, _ in _made()]


def truths() -> list[Truth]:
    """Return what is true of each ticket, by id."""
    return [truth for _, truth, _ in _made()]


def accuracy_faults() -> list[dict[str, Any]]:
    """Return the emulator's settings that make it right about most tickets: see docs/emulator.md."""
    return [
        {
            "kind": "accuracy",
            "field": field,
            "case": r'<ticket id="([^"]*)"',
            "truth": {truth.ticket_id: getattr(truth, field) for truth in truths()},
            "share": share,
        }
        for field, share in ACCURACY.items()
    ]


def orders() -> list[Order]:
    """Return the orders, by id: one for each ticket, and others of the same customers."""
    others = [
        _order(TICKETS + number, customer=number % CUSTOMERS, status="delivered", days=40 + number % 50)
        for number in range(CUSTOMERS * _OTHER_ORDERS)
    ]
    return [*(order for _, _, order in _made()), *others]


def _made() -> Sequence[tuple[Ticket, Truth, Order]]:
    return [_one(number, LETTERS[number % len(LETTERS)]) for number in range(TICKETS)]


def _one(number: int, letter: Letter) -> tuple[Ticket, Truth, Order]:
    customer = number * 31 % CUSTOMERS
    order = _order(number, customer=customer, status=letter.status, days=3 + number % 17)
    slots = {
        "item": order.item,
        "order": order.order_id,
        "foreign_order": _order_id((number + 1) % TICKETS),
        "name": f"{FIRST_NAMES[customer % len(FIRST_NAMES)]} {LAST_NAMES[customer % len(LAST_NAMES)]}",
    }
    ticket = Ticket(
        ticket_id=f"T-{number + 1:04}",
        customer_id=order.customer_id,
        channel=CHANNELS[number % len(CHANNELS)],
        subject=letter.subject.format(**slots),
        body=letter.body.format(**slots),
        created_on=DAY,
    )
    truth = Truth(ticket.ticket_id, letter.category, letter.urgency, letter.flagged, order.order_id)
    return ticket, truth, order


def _order(number: int, *, customer: int, status: str, days: int) -> Order:
    item, cents = ITEMS[number * 7 % len(ITEMS)]
    twice = status == "charged_twice"
    return Order(
        order_id=_order_id(number),
        customer_id=f"C-{1001 + customer}",
        ordered_on=DAY - timedelta(days=days),
        item=item,
        status="delivered" if twice else status,
        total_cents=cents,
        charged_cents=cents * 2 if twice else cents,
    )


def _order_id(number: int) -> str:
    return f"R-{100_001 + number * 3}"
