from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from airflow.sdk import Asset
from airflow.sdk.exceptions import AirflowFailException

from claude_batch import pipelines
from claude_batch.assets import SummaryOperator, table_asset
from include.enrichment.errors import SpecError
from include.gateways.lake import Lake
from tests.fixtures.flow import FILES, ROWS, Flow, write_pipeline, write_tickets
from tests.fixtures.lake import delete

DAG_FILE = """
from airflow.sdk import dag
from claude_batch.task_group import enrich

@dag(schedule=None)
def tickets():
    enrich(poke_interval=1)

tickets()
"""
#: What follows the publish is the same after any passes, and one is enough for three tickets.
ONE_PASS = FILES["pipeline.yaml"] + "limits: {canary_rows: 0, retry_passes: 0}\n"


@pytest.fixture
def lake(connections: pytest.MonkeyPatch) -> Lake:
    from claude_batch.connections.gateways import open_lake

    return open_lake("aws_default")


@pytest.fixture(autouse=True)
def pipeline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    write_pipeline(tmp_path / "pipelines" / "tickets")
    monkeypatch.setattr(pipelines, "PIPELINES", tmp_path / "pipelines")


def events(*partitions: str) -> Any:
    """Return the context of a run that publishes of these partitions have triggered."""
    return triggered_by(*({"partition": one} for one in partitions))


def triggered_by(*extras: Any) -> Any:
    """Return the context of a run that asset events with these extras have triggered."""
    found: dict[Asset, list[Any]] = defaultdict(list)
    found[table_asset("tickets")] += [SimpleNamespace(extra=extra) for extra in extras]
    return {"triggering_asset_events": found}


@pytest.fixture
def publishing_run(run_dag: Callable[..., Any], tmp_path: Path) -> Any:
    """A run that has published the partition."""
    write_pipeline(tmp_path / "pipelines" / "tickets", pipeline_yaml=ONE_PASS)
    run = run_dag(write_dag(tmp_path, "tickets", DAG_FILE), run_conf={"partition": "2026-11-01"})
    assert run.state == "success"
    return run


@pytest.fixture
def published(flow: Flow, connections: pytest.MonkeyPatch, tmp_path: Path) -> Lake:
    """A lake on which the partition is published."""
    flow.database = write_tickets(tmp_path / "published.db", ROWS)
    flow.run_all()
    connections.setenv("ENRICHMENT_LAKE", flow.lake.uri)
    return flow.lake


def summary() -> SummaryOperator:
    return SummaryOperator(task_id="summary", pipeline="tickets", column="topic")


def test_an_unknown_column_is_an_import_error() -> None:
    for column in ("topic", "ticket", "_model"):
        SummaryOperator(task_id="summary", pipeline="tickets", column=column)
    told = r"'tickets' has no column 'topik'; did you mean 'topic'\? There are: ticket, topic, urgent, words\."
    with pytest.raises(SpecError, match=told):
        SummaryOperator(task_id="summary", pipeline="tickets", column="topik")


def test_with_an_unreadable_schema_any_column_is_accepted(tmp_path: Path) -> None:
    write_pipeline(tmp_path / "pipelines" / "tickets", output_schema_json="{")
    SummaryOperator(task_id="summary", pipeline="tickets", column="anything")


def test_the_published_partition_is_counted(published: Lake) -> None:
    assert summary().execute(events("2026-11-01", "2026-11-01")) == ["2026-11-01"]
    assert published.list("summaries/") == ["summaries/tickets/dt=2026-11-01/topic.json"]


def test_an_event_without_a_partition_fails_after_the_others_are_counted(published: Lake) -> None:
    for extra in (
        None,
        {},
        "2026-11-01",
        ["2026-11-01"],
        {"Partition": "2026-11-01"},
        {"partition": None},
        {"partition": ""},
        {"partition": 20261101},
        {"partition": "yesterday"},
        {"partition": ["2026-11-01"]},
    ):
        told = rf"with the extra {re.escape(repr(extra))} names no partition.*\{{\"partition\": \"2026-11-21\"\}}"
        with pytest.raises(AirflowFailException, match=told):
            summary().execute(triggered_by(extra, {"partition": "2026-11-01"}))
        assert published.list("summaries/") == ["summaries/tickets/dt=2026-11-01/topic.json"]
        delete(published, "summaries/tickets/dt=2026-11-01/topic.json")


def test_an_unpublished_partition_fails_the_task(connections: pytest.MonkeyPatch) -> None:
    with pytest.raises(AirflowFailException, match=r"2026-11-01 of tickets is not published.*dt=2026-11-01"):
        summary().execute(events("2026-11-01"))


def test_a_run_without_events_does_nothing(lake: Lake) -> None:
    assert summary().execute(events()) == []
    assert lake.list("summaries/") == []


LABELS_DAG = """
from airflow.sdk import dag
from claude_batch.assets import table_asset
from claude_batch.task_group import enrich

@dag(schedule=table_asset("tickets"))
def labels():
    enrich(poke_interval=1)

labels()
"""
BOTH_DAG = """
from airflow.sdk import dag
from claude_batch.task_group import enrich

@dag(schedule=None)
def both():
    enrich("tickets", poke_interval=1) >> enrich("labels", poke_interval=1)

both()
"""


def write_dag(folder: Path, name: str, text: str) -> Path:
    path = folder / "dags" / f"{name}.py"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    return path


def labelled() -> list[str]:
    """The tickets that the pipeline ``labels`` has published for the day."""
    from claude_batch.connections.gateways import open_lake

    table = open_lake("aws_default").read("tables/labels/dt=2026-11-01/data.parquet")
    return sorted(pq.read_table(pa.BufferReader(table))["ticket"].to_pylist())


class TestPipelineAfterPipeline:
    """The pipeline ``labels`` asks about the answers of ``tickets``, without T2."""

    @pytest.fixture(autouse=True)
    def labels(self, pipeline: None, tmp_path: Path) -> None:
        write_pipeline(tmp_path / "pipelines" / "tickets", pipeline_yaml=ONE_PASS)
        settings = ONE_PASS.replace("connection: warehouse", "table: tickets, where: ticket <> 'T2'")
        folder = write_pipeline(
            tmp_path / "pipelines" / "labels", pipeline_yaml=settings, user_md="{{ topic }} {{ ticket }}"
        )
        (folder / "extract.sql").unlink()

    @pytest.fixture
    def triggered(self, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
        """Let asset events trigger the next run, as the scheduler does. dag.test() itself starts manual runs only."""
        from airflow.models import dagrun
        from airflow.models.asset import AssetEvent, AssetModel
        from sqlalchemy import select

        create = dagrun.get_or_create_dagrun

        def trigger(*extras: dict[str, Any]) -> None:
            def with_events(**options: Any) -> Any:
                run, session = create(**options), options["session"]
                asset = session.scalar(select(AssetModel).where(AssetModel.name == "tickets"))
                run.consumed_asset_events.extend(AssetEvent(asset_id=asset.id, extra=extra) for extra in extras)
                session.commit()
                return run

            monkeypatch.setattr(dagrun, "get_or_create_dagrun", with_events)

        return trigger

    def test_the_event_of_a_publish_has_the_partition_and_its_counts_and_the_dag_that_follows_reads_its_day(
        self, publishing_run: Any, triggered: Callable[..., None], run_dag: Callable[..., Any], tmp_path: Path
    ) -> None:
        from airflow.models.asset import AssetEvent
        from airflow.utils.session import create_session
        from sqlalchemy import select

        with create_session() as session:
            (event,) = session.scalars(select(AssetEvent).where(AssetEvent.source_run_id == publishing_run.run_id))
            assert event.asset.name == "tickets"
            extra = dict(event.extra)
        assert Decimal(extra["cost_usd"]) > 0
        counts = {name: told for name, told in extra.items() if name != "cost_usd"}
        assert counts == {"partition": "2026-11-01", "rows": 3, "published": 3, "rejected": 0}
        triggered(extra, extra)
        run = run_dag(write_dag(tmp_path / "following", "labels", LABELS_DAG), logical_date=None)
        assert run.state == "success"
        assert labelled() == ["T1", "T3"]

    def test_the_same_dag_can_be_triggered_by_hand_for_a_day(
        self, published: Lake, run_dag: Callable[..., Any], tmp_path: Path
    ) -> None:
        dag = write_dag(tmp_path / "following", "labels", LABELS_DAG)
        assert run_dag(dag, logical_date=None, run_conf={"partition": "2026-11-01"}).state == "success"
        assert labelled() == ["T1", "T3"]
        assert run_dag(dag, logical_date=None, run_conf={"partition": "2026-11-02"}).state == "failed"

    def test_in_one_dag_it_stands_after_the_other(self, run_dag: Callable[..., Any], tmp_path: Path) -> None:
        run = run_dag(write_dag(tmp_path, "both", BOTH_DAG), run_conf={"partition": "2026-11-01"})
        assert run.state == "success"
        assert labelled() == ["T1", "T3"]
