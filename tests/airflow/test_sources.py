"""From each kind of source through Airflow to the table, in a flow that is built without enrich()."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from include.enrichment.runs.partition import Partition
from tests.fixtures.flow import DAY, FILES, ROWS, write_pipeline
from tests.fixtures.postgres import Database
from tests.fixtures.s3_export import FOLDER, Export

EXAMPLES = Path(__file__).with_name("examples")


def published() -> list[str]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from claude_batch.connections.gateways import open_lake

    table = open_lake("aws_default").read("tables/tickets/dt=2026-11-01/data.parquet")
    return sorted(pq.read_table(pa.BufferReader(table))["ticket"].to_pylist())


def test_from_postgres(run_dag: Callable[..., Any], connections: pytest.MonkeyPatch, database: Database) -> None:
    database.execute("create table tickets (ticket text, body text, day date)")
    for ticket, body in ROWS:
        database.execute(f"insert into tickets values ('{ticket}', '{body}', '{DAY}')")
    connections.setenv("AIRFLOW_CONN_WAREHOUSE", database.uri)
    assert run_dag(EXAMPLES / "own_flow.py", run_conf={"partition": str(DAY)}).state == "success"
    assert published() == ["T1", "T2", "T3"]
    assert any('DECLARE "' in line for line in database.statements())


def test_from_files_on_s3(
    run_dag: Callable[..., Any], connections: pytest.MonkeyPatch, export: Export, tmp_path: Path
) -> None:
    rows = [{"ticket": ticket, "body": body} for ticket, body in ROWS]
    export.write(f"{DAY.fill(FOLDER)}0000_part_00.parquet", rows[:2])
    export.write(f"{DAY.fill(FOLDER)}0001_part_00.parquet", rows[2:])
    source = f"{{connection: exports, files: '{export.bucket.uri}/{FOLDER}', key: [ticket]}}"
    settings = FILES["pipeline.yaml"].replace("{connection: warehouse, key: [ticket]}", source)
    (write_pipeline(tmp_path / "pipelines" / "tickets", pipeline_yaml=settings) / "extract.sql").unlink()
    connections.setenv("AIRFLOW_CONN_EXPORTS", export.bucket.aws_connection)
    connections.delenv("AIRFLOW_CONN_WAREHOUSE")
    assert run_dag(EXAMPLES / "own_flow.py", run_conf={"partition": str(DAY)}).state == "success"
    assert published() == ["T1", "T2", "T3"]


@pytest.mark.parametrize("partition", [None, "2026-11-03"])
def test_a_redshift_unload_writes_to_the_folder_that_the_pipeline_reads(
    connections: pytest.MonkeyPatch, partition: str | None
) -> None:
    """Without a Redshift here, the test checks the SQL that would be sent."""
    from airflow.dag_processing.dagbag import BundleDagBag

    path = EXAMPLES / "unload_from_redshift.py"
    bag = BundleDagBag(dag_folder=path, bundle_path=path.parent, bundle_name="tests")
    assert bag.import_errors == {}
    dag = bag.dags["unload_from_redshift"]
    unload: Any = dag.get_task("unload")
    assert unload.downstream_task_ids == {"tickets.extract"}
    day = datetime(2026, 11, 2, tzinfo=UTC)
    template = dag.get_template_env().from_string(unload.sql)
    sql = template.render(params={"partition": partition}, data_interval_start=day)
    read = Partition(start=datetime.fromisoformat(partition or "2026-11-02").date())
    assert f"where day = '{read}' $$)" in sql
    assert f"to '{read.fill('s3://my-bucket/exports/tickets/dt={partition}/')}'" in sql
