"""The two stages of the sample: tickets are sorted in batches, and an agent with real tools acts on those flagged."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal

import anthropic
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from include.enrichment.answers.manifest import Manifest
from include.enrichment.runs.partition import parse_partition
from include.enrichment.runs.passes import names
from include.enrichment.spec.pipeline import Pipeline
from include.enrichment.spec.pipeline_folder import load_pipeline
from include.enrichment.storage import layout
from include.enrichment.storage.layout import RunFolder
from include.gateways.agent.answerer import AgentAnswerer
from include.gateways.agent.functions import load_functions
from include.gateways.agent.transcripts import Transcripts
from include.gateways.sources.published_table import PublishedTable
from include.gateways.synchronous.limited_client import limited_client
from include.gateways.synchronous.messages import Messages
from include.stack.folder import ROOT
from include.stack.sample_products import load_sample
from include.stack.sample_tickets.tickets import DAY, accuracy_faults
from include.stack.stack import REFUNDS, WAREHOUSE, refunds_connection
from include.steps.extract import extract
from include.steps.publish import publish
from tests.fixtures.flow import Flow, booked
from tests.fixtures.refunds import RefundsService
from tests.fixtures.synchronous import ask_pass

PIPELINES = ROOT / "include/pipelines"
PARTITION = parse_partition(str(DAY), "partition")
TICKETS = 16


@pytest.fixture
def sorted_tickets(flow: Flow, refunds_service: RefundsService, monkeypatch: pytest.MonkeyPatch) -> Flow:
    """The first stage has published its table."""
    load_sample(database := flow.database.with_name("sample.db"), partition=str(DAY), limit=TICKETS)
    monkeypatch.setenv(WAREHOUSE, json.dumps({"conn_type": "sqlite", "host": str(database)}))
    monkeypatch.setenv(REFUNDS, refunds_connection(refunds_service.port))
    flow.emulator.set_faults(accuracy_faults())
    folder = RunFolder(pipeline="tickets", partition=PARTITION, run_id="manual__1")
    flow = replace(flow, pipeline=load_pipeline(PIPELINES / "tickets"), folder=folder, database=database)
    manifest = flow.run_all("canary", "main", "retry_1")
    assert (manifest.rows, manifest.published) == (TICKETS, TICKETS)
    return flow


def act(flow: Flow, run_id: str) -> Manifest:
    """A run of the second stage."""
    pipeline = load_pipeline(PIPELINES / "ticket_actions")
    acting = replace(
        flow, pipeline=pipeline, folder=RunFolder(pipeline=pipeline.name, partition=PARTITION, run_id=run_id)
    )

    @asynccontextmanager
    async def open_agent(opened: Pipeline) -> AsyncIterator[AgentAnswerer]:
        client = anthropic.AsyncAnthropic(api_key=flow.emulator.api_key, base_url=flow.emulator.url)
        async with Messages(limited_client(client), name="anthropic_default") as messages:
            yield AgentAnswerer(
                messages,
                tools=opened.tools,
                functions=load_functions(PIPELINES / opened.name, opened.tools),
                transcripts=Transcripts(flow.lake, pipeline=opened.name),
                per_row=opened.settings.limits.per_row,
                per_run=opened.settings.limits.per_run,
                asks_person=False,
            )

    table = pipeline.settings.source.table or ""
    source = PublishedTable(flow.lake, pipeline=table, where=pipeline.where, renaming=pipeline.renaming)
    extract(pipeline, acting.folder, source=source, lake=flow.lake)
    limits = pipeline.settings.limits
    for pass_name in names(canary_rows=limits.canary_rows, retry_passes=limits.retry_passes):
        if acting.plan(pass_name):
            ask_pass(acting, pass_name, open_answerer=open_agent)
    return publish(acting.folder, lake=flow.lake)


def rows(flow: Flow, pipeline: str) -> list[dict[str, object]]:
    table = pq.read_table(pa.BufferReader(flow.lake.read(layout.table(pipeline, PARTITION))))
    found: list[dict[str, object]] = table.to_pylist()
    return found


def test_each_flagged_ticket_has_one_row_each_refund_is_filed_once_and_the_books_are_the_bill(
    sorted_tickets: Flow, refunds_service: RefundsService
) -> None:
    flagged = [row["ticket_id"] for row in rows(sorted_tickets, "tickets") if row["flagged"]]
    manifest = act(sorted_tickets, "manual__1")
    assert (manifest.rows, manifest.published, manifest.rejected) == (len(flagged), len(flagged), 0)
    assert [row["ticket_id"] for row in rows(sorted_tickets, "ticket_actions")] == flagged
    filed = refunds_service.refunds()
    assert 0 < len(filed) <= len(flagged)
    assert {one["requests"] for one in filed} == {1}
    billed = sorted_tickets.emulator.billed_usd()
    assert sum((record["cost_usd"] for record in booked(sorted_tickets)), Decimal(0)) == billed

    again = act(sorted_tickets, "manual__2")
    assert (again.published, sorted_tickets.emulator.billed_usd()) == (len(flagged), billed)
    assert refunds_service.refunds() == filed
