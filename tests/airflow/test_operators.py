from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import ANY

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG
from airflow.sdk.exceptions import (
    AirflowException,
    AirflowFailException,
    AirflowRescheduleException,
    DownstreamTasksSkipped,
    TaskDeferred,
)

from claude_batch import pipelines
from claude_batch.assets import table_asset
from claude_batch.connections.gateways import open_lake
from claude_batch.operators import (
    ClaudeBatchOperator,
    ExtractOperator,
    LoadOperator,
    PlanOperator,
    PublishOperator,
)
from include.enrichment.errors import SpecError
from tests.fixtures.emulator import Emulator
from tests.fixtures.flow import FILES, write_pipeline, write_tickets
from tests.fixtures.s3 import Bucket


def context(partition: str | None = "2026-11-01", **dag_run: Any) -> Any:
    run = {"run_id": "manual__1", "run_type": "manual", "partition_key": None, "data_interval_start": None}
    run |= {"run_after": datetime.now(UTC)} | dag_run
    xcoms: dict[str, str] = {}
    ti = SimpleNamespace(try_number=1, max_tries=3, xcoms=xcoms, xcom_push=xcoms.__setitem__)
    return {"params": {"partition": partition}, "dag_run": SimpleNamespace(**run), "ti": ti}


def extract(**options: Any) -> ExtractOperator:
    return ExtractOperator(task_id="extract", pipeline="tickets", **options)


def test_each_operator_returns_what_the_next_one_needs(connections: pytest.MonkeyPatch) -> None:
    assert extract().execute(context()) == 3
    (chunk,) = PlanOperator(task_id="plan", pipeline="tickets", pass_name="main").execute(planned := context())
    assert planned["ti"].xcoms == {"switch_at": ""}  # a wait that found none would log an ERROR
    batch_id = ClaudeBatchOperator(task_id="submit", chunk=chunk).execute(context())
    assert LoadOperator(task_id="load", chunk=chunk, batch_id=batch_id).execute(context()) == {"succeeded": 3}
    counts = PublishOperator(task_id="publish", pipeline="tickets").execute(context())
    assert Decimal(str(counts.pop("cost_usd"))) > 0
    assert counts == {"rows": 3, "published": 3, "rejected": 0}


@pytest.mark.parametrize(
    ("variable", "value", "fact"),
    [
        ("AIRFLOW_CONN_WAREHOUSE", None, "'warehouse' cannot be used"),
        ("AIRFLOW_CONN_ANTHROPIC_DEFAULT", None, "'anthropic_default' cannot be used"),
        ("AIRFLOW_CONN_ANTHROPIC_DEFAULT", '{"conn_type": "anthropic"}', "it has no key"),
        ("ENRICHMENT_LAKE", None, "ENRICHMENT_LAKE is not set"),
        ("ENRICHMENT_LAKE", "s3://there-is-no-such-bucket", "bucket does not exist"),
    ],
)
def test_an_incomplete_setup_fails_without_retries_or_api_calls(
    connections: pytest.MonkeyPatch, emulator: Emulator, variable: str, value: str | None, fact: str
) -> None:
    connections.delenv(variable) if value is None else connections.setenv(variable, value)
    with pytest.raises(AirflowFailException, match=fact):
        extract().execute(context())
    assert emulator.creates() == []


def test_a_missing_pipeline_is_an_import_error_with_the_closest_name(connections: pytest.MonkeyPatch) -> None:
    with pytest.raises(SpecError, match=r"no pipeline 'tickts' .*did you mean 'tickets'"):
        ExtractOperator(task_id="extract", pipeline="tickts")


def test_an_unknown_setting_fails_with_file_line_and_the_closest_name(connections: pytest.MonkeyPatch) -> None:
    write_pipeline(
        pipelines.PIPELINES / "tickets",
        pipeline_yaml="source: {connection: w, key: [t]}\nrequest:\n  model: m\n  max_token: 9\n",
    )
    with pytest.raises(
        AirflowFailException, match=r"pipeline\.yaml:4: request\.max_token: .*did you mean 'max_tokens'"
    ):
        extract().execute(context())


@pytest.mark.parametrize(
    ("rows", "fact"), [([(None, "x")], "is NULL in 1 of the last 4 rows"), ([("T1", "x")], "is not unique")]
)
def test_an_invalid_key_column_fails_without_retries(
    connections: pytest.MonkeyPatch, tmp_path: Path, rows: Any, fact: str
) -> None:
    write_tickets(tmp_path / "warehouse.db", rows)
    with pytest.raises(AirflowFailException, match=fact):
        extract().execute(context())


@pytest.mark.parametrize(
    ("params", "fact"),
    [
        ({"row": 5}, r"ParamError: .*'row' is not known; did you mean 'rows'\?"),
        ({"rows": 0}, r"ParamError: .*'rows': .*got 0"),
        (
            {"model": "claude-haiku-4-4"},
            r"ParamError: .*'claude-haiku-4-4', which tickets/pipeline\.yaml does not name",
        ),
    ],
)
def test_an_invalid_param_fails_without_retries_before_anything_is_read(
    connections: pytest.MonkeyPatch, params: dict[str, object], fact: str
) -> None:
    connections.delenv("ENRICHMENT_LAKE")
    with pytest.raises(AirflowFailException, match=fact):
        extract().execute(context() | {"params": params | {"partition": "2026-11-01"}})


def test_a_dag_and_a_task_may_add_their_own_params(connections: pytest.MonkeyPatch) -> None:
    with DAG("d", schedule=None, params={"note": "x"}):
        task = extract(params={"colour": "red"})
    params = {"partition": "2026-11-01", "rows": 2, "note": "y", "colour": "blue"}
    assert task.execute(context() | {"params": params}) == 2


def test_a_trial_succeeds_without_an_event_and_skips_later_tasks(connections: pytest.MonkeyPatch) -> None:
    extract().execute(context() | {"params": {"partition": "2026-11-01", "rows": 2}})
    (chunk,) = PlanOperator(task_id="plan", pipeline="tickets", pass_name="main").execute(context())
    batch_id = ClaudeBatchOperator(task_id="submit", chunk=chunk).execute(context())
    LoadOperator(task_id="load", chunk=chunk, batch_id=batch_id).execute(context())
    task = PublishOperator(task_id="publish", pipeline="tickets", outlets=[table_asset("tickets")])
    trial = context() | {"params": {"partition": "2026-11-01", "rows": 2}}
    assert task.execute(trial) == {"rows": 2, "published": 2, "rejected": 0, "cost_usd": ANY}
    assert task.outlets == []
    assert task.headline == "2026-11-01 · trial of 2 · 2 published · less than $0.0001 (simulated)"
    with DAG("d", schedule=None):
        followed = PublishOperator(task_id="publish", pipeline="tickets")
        followed >> EmptyOperator(task_id="copy")
    with pytest.raises(DownstreamTasksSkipped) as skipped:
        followed.execute(trial)
    assert skipped.value.tasks == ["copy"]


def planned_submit(**options: Any) -> ClaudeBatchOperator:
    extract().execute(context())
    (chunk,) = PlanOperator(task_id="plan", pipeline="tickets", pass_name="main").execute(context())
    return ClaudeBatchOperator(task_id="submit", chunk=chunk, **options)


@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [(None, 60), (300, 300), (2, 30)],
    ids=["no retry-after", "long retry-after", "retry-after shorter than is safe"],
)
def test_submit_is_deferred_while_the_api_accepts_no_batch(
    connections: pytest.MonkeyPatch, emulator: Emulator, retry_after: float | None, seconds: float
) -> None:
    submit = planned_submit()
    emulator.set_faults([{"kind": "http_error", "status": 429, "retry_after": retry_after, "times": 1}])
    began = datetime.now(UTC)
    with pytest.raises(TaskDeferred) as deferred:
        submit.execute(context())
    assert began < deferred.value.trigger.moment - timedelta(seconds=seconds) < datetime.now(UTC)
    assert deferred.value.method_name == "resume"
    assert submit.resume(context(), None) == emulator.batches_made()[0]["id"]


def test_submit_is_rescheduled_without_a_triggerer(connections: pytest.MonkeyPatch, emulator: Emulator) -> None:
    submit = planned_submit(deferrable=False)
    emulator.set_faults([{"kind": "http_error", "status": 429, "retry_after": 300, "times": 1}])
    began = datetime.now(UTC)
    with pytest.raises(AirflowRescheduleException) as rescheduled:
        submit.execute(context())
    assert began < rescheduled.value.reschedule_date - timedelta(seconds=300) < datetime.now(UTC)


def test_submit_is_deferred_after_an_unclear_create(connections: pytest.MonkeyPatch, emulator: Emulator) -> None:
    submit = planned_submit()
    emulator.set_faults([{"kind": "reset_after_create", "times": 1}])
    with pytest.raises(TaskDeferred):
        submit.execute(context())
    assert submit.resume(context(), None) == emulator.batches_made()[0]["id"]


@pytest.mark.parametrize(
    ("fault", "fact"),
    [
        ({"status": 429, "error_code": "contract_spend_limit_reached"}, "has reached a spend limit"),
        ({"status": 401}, "API rejected the key"),
        ({"status": 403}, "API rejected the key"),
        ({"status": 413}, "HTTP 413"),
    ],
)
def test_submit_fails_at_once_if_waiting_cannot_help(
    connections: pytest.MonkeyPatch, emulator: Emulator, fault: dict[str, object], fact: str
) -> None:
    submit = planned_submit()
    emulator.set_faults([{"kind": "http_error", "on": "create", **fault}])
    with pytest.raises(AirflowFailException, match=fact):
        submit.execute(context())


def test_result_lines_count_as_missing_only_on_the_last_try(
    connections: pytest.MonkeyPatch, emulator: Emulator
) -> None:
    submit = planned_submit()
    load = LoadOperator(task_id="load", chunk=submit.chunk, batch_id=submit.execute(context()))
    emulator.set_faults([{"kind": "missing_lines"}])
    with pytest.raises(AirflowException, match="2 of 3 result lines"):
        load.execute(context())
    last = context() | {"ti": SimpleNamespace(try_number=4, max_tries=3)}
    assert load.execute(last) == {"succeeded": 2, "missing": 1}


def test_load_without_a_batch_points_to_submit() -> None:
    with pytest.raises(AirflowFailException, match=r"has no batch.*log of its `submit`"):
        LoadOperator(task_id="load", chunk="x", batch_id="").execute(context())


def test_only_user_facing_arguments_are_templated() -> None:
    fields = {
        kind.__name__: tuple(kind.template_fields)
        for kind in (ExtractOperator, PlanOperator, ClaudeBatchOperator, LoadOperator, PublishOperator)
    }
    assert fields == {
        "ExtractOperator": ("partition",),
        "PlanOperator": ("partition",),
        "ClaudeBatchOperator": ("chunk",),
        "LoadOperator": ("chunk", "batch_id"),
        "PublishOperator": ("partition",),
    }


def test_a_document_of_a_bucket_is_read_with_the_connection_of_its_pipeline(
    connections: pytest.MonkeyPatch, s3_bucket: Bucket
) -> None:
    s3_bucket.put("in/dt=2026-11-01/a.txt", b"Hello")
    s3_bucket.put("in/dt=2026-11-01/b.tiff", b"II*\0")
    source = f"{{connection: aws_default, objects: '{s3_bucket.uri}/in/dt={{partition}}/', key: [name]}}"
    yaml = FILES["pipeline.yaml"].replace("{connection: warehouse, key: [ticket]}", source)
    folder = write_pipeline(pipelines.PIPELINES / "tickets", pipeline_yaml=yaml, user_md="Read it.")
    (folder / "extract.sql").unlink()
    assert extract().execute(context()) == 2
    run = extract().run_folder(context())
    rows = pq.read_table(pa.BufferReader(open_lake("aws_default").read(run.rows))).to_pylist()
    assert [(row["name"], row["problem"] is None) for row in rows] == [("a.txt", True), ("b.tiff", False)]
    assert '"data":"Hello"' in rows[0]["params"]
