"""ask: a pass's synchronous chunks become outcomes, each request paid once."""

from __future__ import annotations

from pathlib import Path

import pytest

from include.enrichment.spec.pipeline_folder import load_pipeline
from include.enrichment.storage import layout
from tests.fixtures.flow import FILES, Flow, booked, write_pipeline, write_tickets
from tests.fixtures.synchronous import ask_pass

SYNCHRONOUS = FILES["pipeline.yaml"].replace("{model:", "{mode: synchronous, model:")


@pytest.fixture
def asked(flow: Flow, tmp_path: Path) -> Flow:
    """Twenty tickets, extracted, of a pipeline whose passes are synchronous; one request at a time."""
    yaml = f"{SYNCHRONOUS}limits: {{synchronous_requests: 1}}\n"
    flow.pipeline = load_pipeline(write_pipeline(tmp_path / "asked" / "tickets", pipeline_yaml=yaml))
    write_tickets(flow.database, [(f"N{number}", f"Ticket {number}") for number in range(17)])
    flow.extract()
    return flow


def test_a_pass_is_asked_loaded_and_booked_as_the_api_bills_it(asked: Flow) -> None:
    (chunk,) = asked.plan()
    assert ask_pass(asked) == {"succeeded": 20}
    manifest = asked.publish()
    (record,) = booked(asked)
    assert record["cost_usd"] == manifest.cost_usd == manifest.partition_cost_usd == asked.emulator.billed_usd()
    assert (record["mode"], record["pass_name"], record["requests"]) == ("synchronous", "main", 20)
    assert record["created_at"] < record["ended_at"]
    assert manifest.batches == [layout.asked_id(layout.chunk_id_of(chunk))]
    assert asked.lake.list("asked/") == []
