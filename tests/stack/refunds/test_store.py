"""The refunds on disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from include.stack.refunds.store import KeyReused, RefundRequest, Refunds

REQUEST = RefundRequest(order_id="R-100001", amount_cents=4950, reason="broken")


def test_a_key_files_one_refund_and_counts_its_requests(tmp_path: Path) -> None:
    refunds = Refunds(tmp_path / "refunds.db")
    first, is_new = refunds.file_refund("key", REQUEST)
    assert (first.refund_id, first.requests, is_new) == ("rf_000001", 1, True)
    assert refunds.file_refund("key", REQUEST) == (first._replace(requests=2), False)
    refunds.close()
    assert Refunds(tmp_path / "refunds.db").all() == [first._replace(requests=2)]


def test_a_key_of_another_request_is_rejected(tmp_path: Path) -> None:
    refunds = Refunds(tmp_path / "refunds.db")
    refunds.file_refund("key", REQUEST)
    with pytest.raises(KeyReused):
        refunds.file_refund("key", REQUEST._replace(amount_cents=1))
    assert [refund.amount_cents for refund in refunds.all()] == [4950]
