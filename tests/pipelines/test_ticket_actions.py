"""The tools of ticket_actions, with the sample's warehouse and the real refunds service."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from include.enrichment.spec.pipeline_folder import load_pipeline
from include.gateways.agent.functions import Functions, Result, load_functions
from include.stack.folder import ROOT
from include.stack.sample_products import load_sample
from include.stack.sample_tickets.tickets import Truth, orders, truths
from include.stack.stack import REFUNDS, WAREHOUSE, refunds_connection
from tests.fixtures.refunds import RefundsService

FOLDER = ROOT / "include/pipelines/ticket_actions"
ORDERS = {order.order_id: order for order in orders()}
KEY = "k" * 32


@pytest.fixture
def functions(tmp_path: Path, refunds_service: RefundsService, monkeypatch: pytest.MonkeyPatch) -> Functions:
    """The tools, as the task that acts loads them."""
    load_sample(tmp_path / "warehouse.db", partition="2026-11-17")
    monkeypatch.setenv(WAREHOUSE, json.dumps({"conn_type": "sqlite", "host": str(tmp_path / "warehouse.db")}))
    monkeypatch.setenv(REFUNDS, refunds_connection(refunds_service.port))
    return load_functions(FOLDER, load_pipeline(FOLDER).tools)


def refund(functions: Functions, truth: Truth, order_id: str, key: str = KEY) -> Result:
    given = {"ticket_id": truth.ticket_id, "order_id": order_id, "reason": "It arrived broken."}
    return functions.call("file_refund", given, idempotency_key=key)


def test_the_tools_see_the_tickets_customer_only_and_file_a_refund_once(
    functions: Functions, refunds_service: RefundsService
) -> None:
    truth = next(one for one in truths() if one.category == "damaged")
    order = ORDERS[truth.order_id]
    found = functions.call("look_up_orders", {"ticket_id": truth.ticket_id}, idempotency_key="")
    assert {one["order_id"] for one in json.loads(found.content)} == {
        one.order_id for one in ORDERS.values() if one.customer_id == order.customer_id
    }

    foreign = next(one for one in ORDERS.values() if one.customer_id != order.customer_id)
    declined = refund(functions, truth, foreign.order_id)
    assert json.loads(declined.content) == {
        "declined": f"The customer of {truth.ticket_id} has no order {foreign.order_id}."
    }
    assert refunds_service.refunds() == []

    filed = [refund(functions, truth, order.order_id) for _ in range(2)]
    assert {json.loads(one.content)["amount_cents"] for one in filed} == {order.charged_cents}
    assert [(one["idempotency_key"], one["requests"]) for one in refunds_service.refunds()] == [(KEY, 2)]

    double = next(one for one in truths() if ORDERS[one.order_id].charged_cents > ORDERS[one.order_id].total_cents)
    paid_twice = refund(functions, double, double.order_id, key="another")
    assert json.loads(paid_twice.content)["amount_cents"] == ORDERS[double.order_id].total_cents
    reused = refund(functions, double, double.order_id)
    assert json.loads(reused.content) == {"declined": f"The key {KEY} belongs to another refund. Nothing was filed."}
