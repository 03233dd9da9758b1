"""The tickets and orders of the sample."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from hashlib import sha256

from include.stack.folder import ROOT
from include.stack.sample_tickets.tickets import accuracy_faults, orders, tickets, truths


def test_there_are_200_tickets_and_each_is_about_an_order_of_its_customer() -> None:
    by_id = {order.order_id: order for order in orders()}
    assert len(by_id) == len(orders()) == 354
    assert [ticket.ticket_id for ticket in tickets()] == [truth.ticket_id for truth in truths()]
    assert len({ticket.ticket_id for ticket in tickets()}) == 200
    for ticket, truth in zip(tickets(), truths(), strict=True):
        assert by_id[truth.order_id].customer_id == ticket.customer_id
        assert "{" not in ticket.subject + ticket.body


def test_the_numbers_in_the_readme_of_the_pipeline_are_true() -> None:
    readme = (ROOT / "include/pipelines/tickets/README.md").read_text(encoding="utf-8")
    assert f"{sum(truth.flagged for truth in truths())} ask for money back" in readme
    assert f"{len(orders())} orders of their {len({order.customer_id for order in orders()})} customers" in readme


def test_money_is_owed_twice_where_a_payment_was_made_twice() -> None:
    status = Counter(order.charged_cents // order.total_cents for order in orders())
    assert status[2] == sum(truth.category == "billing" and truth.flagged for truth in truths())
    assert set(status) == {1, 2}


def test_a_ticket_that_tells_the_assistant_what_to_do_names_an_order_of_somebody_else() -> None:
    owner = {order.order_id: order.customer_id for order in orders()}
    found = [
        (one.customer_id, re.findall(r"R-\d+", one.body)) for one in tickets() if "Ignore your previous" in one.body
    ]
    assert found
    assert all(owner[named] != customer for customer, (named,) in found)


def test_every_process_makes_the_same_sample() -> None:
    code = "from include.stack.sample_tickets.tickets import *; print(tickets(), orders())"
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert sha256(said.strip().encode()).digest() == sha256(f"{tickets()} {orders()}".encode()).digest()


def test_the_emulator_is_told_the_truth_about_each_ticket() -> None:
    assert {fault["field"]: len(fault["truth"]) for fault in accuracy_faults()} == {
        "category": 200,
        "urgency": 200,
        "flagged": 200,
    }
