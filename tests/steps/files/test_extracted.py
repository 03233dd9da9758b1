from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from include.enrichment.answers.table import VARIANT
from include.enrichment.requests.chunk import REQUESTS_SCHEMA
from include.enrichment.requests.request import MAX_REQUEST_BYTES
from include.steps.files.extracted import (
    Extracted,
    fetch_rows,
    read_request_ids,
    read_requests,
    read_variant_ids,
)
from tests.fixtures.flow import Flow, write_tickets


class TestReadRequests:
    """The requests of a run's rows, as plan reads them."""

    @pytest.fixture
    def path(self, flow: Flow, tmp_path: Path) -> Path:
        """Rows of which two in different portions render alike, and one cannot be sent."""
        write_tickets(flow.database, [("big", "x" * MAX_REQUEST_BYTES)])
        write_tickets(flow.database, [(f"N{n}", f"Ticket {n % 1_100}") for n in range(1_200)])
        flow.extract()
        fetch_rows(flow.lake, flow.folder, tmp_path / "fetched.parquet")
        return tmp_path / "fetched.parquet"

    def test_each_comes_once_in_the_order_of_the_rows(self, path: Path) -> None:
        table = pa.Table.from_batches(read_requests(path, read_request_ids(path)))
        assert (table.num_rows, table.schema) == (1_103, REQUESTS_SCHEMA)
        rows = pq.read_table(path).to_pylist()
        requests = {row["request_id"]: row["params"] for row in rows if row["request_id"]}
        assert list(requests.items()) == [(line["request_id"], line["params"]) for line in table.to_pylist()]

    def test_only_those_come_that_are_wanted(self, path: Path) -> None:
        wanted = set(sorted(read_request_ids(path))[:5])
        batches = list(read_requests(path, wanted | {"unheard of"}))
        assert sorted(request_id for batch in batches for request_id in batch["request_id"].to_pylist()) == sorted(
            wanted
        )
        assert list(read_requests(path, set())) == []

    def test_a_row_that_cannot_be_sent_has_no_request(self, path: Path) -> None:
        ids = read_request_ids(path)
        assert len(ids) == 1_103
        assert all(len(request_id) == 22 for request_id in ids)


def test_an_extract_of_an_earlier_version_is_still_read() -> None:
    stored = {"version": 1, "rows": 3, "unsendable": 1, "extracted_at": "2026-11-22T01:00:00Z", "params_bytes": 4_000}
    assert Extracted.model_validate_json(json.dumps(stored)).rows == 3


def test_a_request_that_variants_share_belongs_to_the_first_of_them(tmp_path: Path) -> None:
    lines = [("b", "one"), ("a", "two"), ("b", "two"), (None, "two"), ("c", "one"), ("b", "three")]
    ids, variants = zip(*lines, strict=True)
    pq.write_table(pa.table({"request_id": ids, VARIANT: variants}), path := tmp_path / "rows.parquet")
    found = read_variant_ids(path, ["two", "one", "three"])
    assert {name: list(of_one) for name, of_one in found.items()} == {"two": ["a", "b"], "one": ["c"], "three": []}
    assert read_variant_ids(path, []) == {}
