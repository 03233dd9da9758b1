"""The refunds service over HTTP, as the tool of ticket_actions calls it."""

from __future__ import annotations

from typing import Any

from tests.fixtures.refunds import RefundsService


def test_a_repeated_call_files_nothing_even_after_the_service_was_killed(refunds_service: RefundsService) -> None:
    first = refunds_service.post("key-1")
    assert (first.status_code, first.json()["refund_id"]) == (201, "rf_000001")
    refunds_service.kill()
    refunds_service.start()
    again = refunds_service.post("key-1")
    assert (again.status_code, again.json()) == (200, first.json() | {"requests": 2})
    assert refunds_service.post("key-2").status_code == 201
    assert [one["idempotency_key"] for one in refunds_service.refunds()] == ["key-1", "key-2"]

    for key, changes, status, message in ODD:
        response = refunds_service.post(key, **changes)
        assert (response.status_code, message in response.json()["error"]) == (status, True), response.text
    assert len(refunds_service.refunds()) == 2


ODD: list[tuple[str | None, dict[str, Any], int, str]] = [
    ("key-1", {"amount_cents": 1}, 409, "key-1 belongs to another refund"),
    (None, {}, 400, "idempotency-key is missing"),
    ("k" * 256, {}, 400, "longer than 255"),
    ("key-3", {"reason": None}, 400, "reason"),
    ("key-3", {"amount": 5}, 400, "unknown field"),
    ("key-3", {"amount_cents": 0}, 422, "at least 1 cent"),
]
