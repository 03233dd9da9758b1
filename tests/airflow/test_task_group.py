from __future__ import annotations

import json
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from pathlib import Path
from time import sleep
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG, WeightRule
from airflow.sdk.exceptions import AirflowRescheduleException, TaskDeferred

from claude_batch import pipelines
from claude_batch.connections.gateways import open_source
from claude_batch.forms.params import form
from claude_batch.operators import ClaudeBatchOperator, ExtractOperator
from claude_batch.task_group import enrich
from include.enrichment.errors import SpecError
from include.enrichment.runs.partition import Partition
from include.enrichment.spec.pipeline_folder import load_pipeline
from include.enrichment.storage.layout import RunFolder
from include.gateways.lake import Lake
from include.steps.extract import extract
from include.steps.plan import plan
from tests.fixtures.emulator import Emulator
from tests.fixtures.flow import write_pipeline, write_tickets

DAG_FILE = """
from datetime import UTC, datetime
from airflow.sdk import dag
from claude_batch.task_group import enrich

@dag(schedule=None, start_date=datetime(2026, 11, 1, tzinfo=UTC))
def tickets():
    enrich(deferrable=DEFERRABLE, poke_interval=1)

tickets()
"""
DAY = {"partition": "2026-11-01"}


def write_dag(folder: Path, *, deferrable: bool = True) -> Path:
    path = folder / "dags" / "tickets.py"
    path.parent.mkdir(exist_ok=True)
    path.write_text(DAG_FILE.replace("DEFERRABLE", str(deferrable)))
    return path


def states(run: Any) -> dict[str, str]:
    return {
        f"{task.task_id.removeprefix('tickets.')}{[task.map_index] if task.map_index >= 0 else ''}": str(task.state)
        for task in run.get_task_instances()
    }


def sent(run: Any) -> set[str]:
    """Return the submits of a run that succeeded."""
    return {task for task, state in states(run).items() if "submit" in task and state == "success"}


def rewrite(folder: Path, limits: str = "{}", *, key: str = "[ticket]") -> None:
    """Write the pipeline with other limits or another key."""
    request = "{model: claude-haiku-5-5, max_tokens: 200}"
    write_pipeline(
        folder / "pipelines" / "tickets",
        pipeline_yaml=f"source: {{connection: warehouse, key: {key}}}\nrequest: {request}\nlimits: {limits}\n",
    )


@pytest.fixture
def lake(connections: pytest.MonkeyPatch) -> Lake:
    from claude_batch.connections.gateways import open_lake

    return open_lake("aws_default")


@pytest.mark.parametrize("deferrable", [True, False])
def test_a_partition_goes_from_the_warehouse_to_the_lake(
    run_dag: Callable[..., Any], lake: Lake, tmp_path: Path, emulator: Emulator, deferrable: bool
) -> None:
    emulator.set_faults([{"kind": "duration", "seconds": 2}])
    run = run_dag(write_dag(tmp_path, deferrable=deferrable), run_conf=DAY)
    assert run.state == "success", states(run)
    chunk = ["plan", "chunk.submit[0]", "chunk.wait[0]", "chunk.waited[0]", "chunk.load[0]"]
    nothing = dict.fromkeys(["chunk.submit", "chunk.wait", "chunk.waited", "chunk.load"], "skipped")
    assert states(run) == (
        {"extract": "success", "publish": "success"}
        | {f"canary.{task}": "success" for task in chunk}
        | {f"{name}.{task}": state for name in ("main", "retry") for task, state in nothing.items()}
        | {"main.plan": "success", "retry.plan": "success"}
        | {f"{name}.ask": "skipped" for name in ("canary", "main", "retry")}
    )
    assert lake.exists("tables/tickets/dt=2026-11-01/data.parquet")
    assert lake.exists("manifests/tickets/dt=2026-11-01.json")


@pytest.mark.parametrize(
    ("limits", "passes"),
    [
        ("{}", ["canary", "main", "retry"]),
        ("{canary_rows: 0, retry_passes: 0}", ["main"]),
        ("{retry_passes: 2}", ["canary", "main", "retry_1", "retry_2"]),
    ],
)
def test_the_pipelines_limits_determine_the_passes_and_their_order(
    connections: pytest.MonkeyPatch, tmp_path: Path, limits: str, passes: list[str]
) -> None:
    rewrite(tmp_path, limits)
    with DAG("d", schedule=None):
        flow = enrich("tickets")
    plans = [task for task in flow.iter_tasks() if task.task_id.endswith(".plan")]
    in_order = sorted(plans, key=lambda plan: len(plan.get_flat_relative_ids(upstream=True)))
    assert [plan.task_id for plan in in_order] == [f"tickets.{name}.plan" for name in passes]
    tasks = {task.task_id: task for task in flow.iter_tasks()}
    line = ["tickets.extract", *(plan.task_id for plan in in_order), "tickets.publish"]
    waits_for_the_one_before = [before in tasks[after].upstream_task_ids for before, after in pairwise(line)]
    assert all(waits_for_the_one_before)


class TestDag:
    """A Dag enriches the pipeline of its own name and gets the pipeline's form."""

    @pytest.fixture(autouse=True)
    def pipelines(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        for name, model in (("catalogue", "claude-haiku-5-5"), ("mist", "claude-sonnet-5"), ("fog", "claude-sonnet-5")):
            request = f"{{model: {model}, max_tokens: 200}}"
            yaml = f"source: {{connection: warehouse, key: [ticket]}}\nrequest: {request}\n"
            write_pipeline(tmp_path / name, pipeline_yaml=yaml)
        monkeypatch.setattr(pipelines, "PIPELINES", tmp_path)

    def test_without_a_name_the_pipeline_has_the_dags_name(self) -> None:
        with DAG("mist", schedule=None) as dag:
            flow = enrich()
        assert flow.group_id == "mist"
        assert dag.params.get_param("model").dump() == form("mist")["model"].dump()

    def test_another_pipeline_is_allowed_if_none_has_the_dags_name(self) -> None:
        with DAG("nightly", schedule=None) as dag:
            assert enrich("mist").group_id == "mist"
        assert dag.params.keys() == form("mist").keys()

    def test_a_dag_named_after_another_pipeline_is_rejected(self) -> None:
        fact = r"Dag 'mist' enriches 'catalogue', but there is a pipeline 'mist' too\. Write enrich\(\) without a name"
        with DAG("mist", schedule=None), pytest.raises(SpecError, match=f"^airflow/test_task_group.py: {fact}"):
            enrich("catalogue")

    def test_pipelines_with_the_same_form_may_follow_the_dags_own(self) -> None:
        with DAG("mist", schedule=None) as dag:
            enrich() >> enrich("fog")
        assert {task.task_id.partition(".")[0] for task in dag.tasks} == {"mist", "fog"}

    def test_pipelines_with_different_forms_need_a_dag_each(self) -> None:
        with DAG("mist", schedule=None):
            enrich()
            with pytest.raises(SpecError, match=r"'mist' and 'catalogue', whose forms differ: model\..* its own Dag"):
                enrich("catalogue")

    def test_the_dags_own_params_stay_and_every_task_has_the_form(self) -> None:
        with DAG("mist", schedule=None, params={"reason": "none"}) as dag:
            enrich()
        assert dag.params.keys() == {"reason", *form("mist")}
        assert dag.get_task("mist.extract").params.keys() == dag.params.keys()

    def test_a_dag_may_pass_the_form_itself(self) -> None:
        with DAG("mist", schedule=None, params=form("mist")) as dag:
            enrich("mist")
        assert dag.params.keys() == form("mist").keys()

    @pytest.mark.parametrize("params", ["catalogue", {"model": "claude-opus-5-5"}])
    def test_a_dag_that_passes_another_form_is_rejected(self, params: Any) -> None:
        given = form(params) if isinstance(params, str) else params
        with (
            DAG("mist", schedule=None, params=given),
            pytest.raises(SpecError, match=r"form of pipeline 'mist': model\. .*Remove params=form\(…\)"),
        ):
            enrich()

    @pytest.mark.parametrize("names", [["mits"], []])
    def test_a_missing_pipeline_is_rejected_with_the_closest_name(self, names: list[str]) -> None:
        with (
            DAG("mits", schedule=None),
            pytest.raises(SpecError, match=r"There is no pipeline 'mits' in .*; did you mean 'mist'"),
        ):
            enrich(*names)

    def test_enrich_requires_a_dag(self) -> None:
        with pytest.raises(SpecError, match="outside a Dag"):
            enrich("mist")

    @pytest.mark.parametrize(
        ("argument", "value", "message"),
        [
            (
                "source_ready_after",
                2,
                "a timedelta of 0 or more, or None, got 2. Example: source_ready_after=timedelta(",
            ),
            ("source_ready_after", timedelta(hours=-1), "a timedelta of 0 or more, or None, got datetime.timedelta("),
            ("poke_interval", 0, "a number of seconds above 0, got 0. Example: poke_interval=60"),
            ("poke_interval", "60", "a number of seconds above 0, got '60'"),
            ("pool", "", "the name of an Airflow pool, got ''. Example: pool='claude_batches'"),
            ("aws_conn_id", None, "the id of an Airflow connection, got None. Example: aws_conn_id='aws_default'"),
            ("deferrable", "no", "True or False, got 'no'"),
        ],
    )
    def test_an_invalid_argument_is_rejected_with_its_value_and_an_example(
        self, argument: str, value: object, message: str
    ) -> None:
        with DAG("mist", schedule=None), pytest.raises(SpecError, match=re.escape(message)) as raised:
            enrich(**{argument: value})  # type: ignore[arg-type]  # the test passes wrong types
        assert str(raised.value).startswith(f"enrich(): {argument} must be ")


def test_batches_in_the_apis_queue_hold_a_pool_slot_and_get_it_first(
    connections: pytest.MonkeyPatch,
) -> None:
    with DAG("tickets", schedule=None) as dag:
        enrich(pool="mine")
    in_pool = [task for task in dag.tasks if task.pool == "mine"]
    assert {task.task_id.rpartition(".")[2] for task in in_pool} == {"submit", "wait"}
    of_submits, of_waits = (
        {task.priority_weight for task in in_pool if task.task_id.endswith(name)} for name in ("submit", "wait")
    )
    assert max(of_submits) < min(of_waits)
    # Otherwise Airflow adds the priorities of all downstream tasks to that of a submit.
    assert {task.weight_rule for task in in_pool} == {WeightRule.ABSOLUTE}


def extract_of_today(*, deferrable: bool = True) -> ExtractOperator:
    return ExtractOperator(
        task_id="extract",
        pipeline="tickets",
        partition=str(datetime.now(UTC).date()),
        source_ready_after=timedelta(hours=2),
        deferrable=deferrable,
    )


RUN: Any = {
    "dag_run": SimpleNamespace(
        run_id="r", run_type="manual", partition_key=None, data_interval_start=None, run_after=None
    ),
    "params": {},
}


def test_an_incomplete_day_waits_without_a_worker(connections: pytest.MonkeyPatch) -> None:
    ready_at = datetime.combine(datetime.now(UTC).date() + timedelta(days=1), time(hour=2), UTC)
    with pytest.raises(TaskDeferred) as deferred:
        extract_of_today().execute(RUN)
    assert deferred.value.trigger.moment == ready_at
    with pytest.raises(AirflowRescheduleException) as rescheduled:
        extract_of_today(deferrable=False).execute(RUN)
    assert rescheduled.value.reschedule_date == ready_at


def test_a_complete_day_does_not_wait(connections: pytest.MonkeyPatch, lake: Lake) -> None:
    task = ExtractOperator(
        task_id="extract", pipeline="tickets", partition=DAY["partition"], source_ready_after=timedelta(hours=2)
    )
    task.execute(RUN)
    assert lake.list("runs/tickets/2026-11-01/r/")


def test_canary_main_and_retry_complete_the_partition(
    run_dag: Callable[..., Any], lake: Lake, tmp_path: Path, emulator: Emulator
) -> None:
    write_tickets(tmp_path / "warehouse.db", [(f"N{number}", f"Ticket {number}") for number in range(30)])
    rewrite(tmp_path, "{batch_requests: 14, canary_rows: 3}")
    emulator.set_faults([{"kind": "expired", "share": 0.4, "times": 3}])
    run = run_dag(write_dag(tmp_path), run_conf=DAY)
    assert run.state == "success"
    assert sent(run) >= {f"{chunk}.submit[{n}]" for chunk, n in [("canary.chunk", 0), ("main.chunk", 2)]}
    assert "retry.chunk.submit[0]" in sent(run)
    manifest = json.loads(lake.read("manifests/tickets/dt=2026-11-01.json"))
    assert (manifest["rows"], manifest["published"], manifest["rejected"]) == (33, 33, 0)


def test_a_canary_that_fails_for_good_ends_the_run(
    run_dag: Callable[..., Any], lake: Lake, tmp_path: Path, emulator: Emulator
) -> None:
    write_tickets(tmp_path / "warehouse.db", [(f"N{number}", f"Ticket {number}") for number in range(30)])
    emulator.set_faults([{"kind": "errored", "error_type": "not_found_error", "message": "model: gone"}])
    run = run_dag(write_dag(tmp_path), run_conf=DAY)
    found = states(run)
    assert (run.state, found["main.plan"], found["publish"]) == ("failed", "failed", "upstream_failed")
    assert [batch["size"] for batch in emulator.batches_made()] == [5]
    assert lake.list("tables/") == []


@pytest.mark.parametrize("deferrable", [True, False])
def test_a_full_queue_holds_no_worker_and_all_chunks_are_sent_later(
    run_dag: Callable[..., Any], lake: Lake, tmp_path: Path, emulator: Emulator, deferrable: bool
) -> None:
    rewrite(tmp_path, "{batch_requests: 1, canary_rows: 0, retry_passes: 0}")
    write_tickets(tmp_path / "warehouse.db", [("N1", "Ticket"), ("N2", "Another")])
    emulator.set_faults([{"kind": "http_error", "on": "create", "status": 429, "retry_after": 1, "times": 3}])
    run = run_dag(write_dag(tmp_path, deferrable=deferrable), run_conf=DAY)
    assert run.state == "success"
    assert len(sent(run)) == len(emulator.batches_made()) == 5
    assert [task for task, state in sorted(states(run).items()) if "load" in task and state == "success"] == [
        f"main.chunk.load[{number}]" for number in range(5)
    ]
    assert len(lake.list("results/tickets/")) == 5


def test_a_partition_without_rows_is_published_empty(run_dag: Callable[..., Any], lake: Lake, tmp_path: Path) -> None:
    rewrite(tmp_path, "{min_rows: 0}", key="{ticket: string}")
    run = run_dag(write_dag(tmp_path), run_conf={"partition": "2025-01-01"})
    assert run.state == "success"
    assert states(run)["publish"] == "success"
    assert lake.exists("tables/tickets/dt=2025-01-01/data.parquet")


def test_only_the_unfinished_rows_of_an_expired_batch_are_sent_again(
    run_dag: Callable[..., Any], lake: Lake, tmp_path: Path, emulator: Emulator
) -> None:
    write_tickets(tmp_path / "warehouse.db", [(f"N{number}", f"Ticket {number}") for number in range(40)])
    rewrite(tmp_path, "{canary_rows: 0}")
    emulator.set_faults(
        [{"kind": "duration", "seconds": 90_000, "times": 1}, {"kind": "unfinished", "share": 0.3, "times": 1}]
    )

    def a_day_goes_by() -> None:
        while not emulator.batches_made():
            sleep(0.1)
        emulator.advance_clock(86_500)

    with ThreadPoolExecutor(1) as clock:
        gone_by = clock.submit(a_day_goes_by)
        run = run_dag(write_dag(tmp_path), run_conf=DAY)
    gone_by.result()
    assert run.state == "success"
    first, second = (batch["size"] for batch in emulator.batches_made())
    assert first == 43
    assert 5 < second < 21
    manifest = json.loads(lake.read("manifests/tickets/dt=2026-11-01.json"))
    assert (manifest["published"], manifest["rejected"]) == (43, 0)


def test_finished_answers_are_loaded_after_a_failed_wait(
    run_dag: Callable[..., Any], lake: Lake, tmp_path: Path, emulator: Emulator
) -> None:
    emulator.set_faults([{"kind": "http_error", "on": "retrieve", "status": 401, "times": 1}])
    run = run_dag(write_dag(tmp_path), run_conf=DAY)
    found = states(run)
    assert (found["canary.chunk.wait[0]"], found["canary.chunk.load[0]"]) == ("failed", "success")
    assert lake.exists("tables/tickets/dt=2026-11-01/data.parquet")


def test_nothing_is_loaded_or_published_after_a_failed_submit(
    run_dag: Callable[..., Any], lake: Lake, tmp_path: Path, emulator: Emulator
) -> None:
    emulator.set_faults(
        [{"kind": "http_error", "on": "create", "status": 429, "error_code": "enforced_spend_limit_reached"}]
    )
    run = run_dag(write_dag(tmp_path), run_conf=DAY)
    found = states(run)
    assert found["canary.chunk.submit[0]"] == "failed"
    assert found["canary.chunk.wait[0]"] == "upstream_failed"
    assert found["canary.chunk.load[0]"] == "upstream_failed"
    assert found["publish"] == "upstream_failed"
    assert "failed" not in {state for task, state in found.items() if not task.endswith("submit[0]")}
    assert lake.list("tables/") == lake.list("results/") == []


def test_a_failed_submit_does_not_stop_other_chunks(
    run_dag: Callable[..., Any], lake: Lake, tmp_path: Path, emulator: Emulator
) -> None:
    rewrite(tmp_path, "{batch_requests: 1, canary_rows: 0}")
    emulator.set_faults([{"kind": "http_error", "on": "create", "status": 413, "times": 1}])
    run = run_dag(write_dag(tmp_path), run_conf=DAY)
    found = states(run)
    ends = sorted((found[f"main.chunk.submit[{number}]"], found[f"main.chunk.load[{number}]"]) for number in range(3))
    assert ends == [("failed", "upstream_failed"), ("success", "success"), ("success", "success")]
    assert len(lake.list("results/tickets/")) == 2
    assert [task for task, state in found.items() if state == "failed"] == [
        task for task, state in found.items() if "submit" in task and state != "success" and "main" in task
    ]


def test_a_create_whose_response_was_lost_is_settled_within_the_run(
    run_dag: Callable[..., Any], lake: Lake, tmp_path: Path, emulator: Emulator
) -> None:
    rewrite(tmp_path, "{canary_rows: 0, retry_passes: 0}")
    emulator.set_faults([{"kind": "reset_after_create", "times": 1}])
    assert run_dag(write_dag(tmp_path), run_conf=DAY).state == "success"
    assert len(emulator.batches_made()) == 1
    assert lake.exists("tables/tickets/dt=2026-11-01/data.parquet")


def test_a_chunk_taken_over_by_other_runs_is_skipped_and_the_run_completes(
    run_dag: Callable[..., Any], lake: Lake, tmp_path: Path, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another run plans the same rows in two chunks, and sends neither, before this one sends its own."""
    rewrite(tmp_path, "{canary_rows: 0}")
    execute = ClaudeBatchOperator.execute

    def late(self: ClaudeBatchOperator, context: Any) -> str:
        monkeypatch.setattr(ClaudeBatchOperator, "execute", execute)
        other = RunFolder(
            pipeline="tickets", partition=Partition(start=date(2026, 11, 1)), run_id=f"not {context['dag_run'].run_id}"
        )
        rewrite(tmp_path / "other", "{batch_requests: 2, canary_rows: 0}")
        pipeline = load_pipeline(tmp_path / "other" / "pipelines" / "tickets")
        extract(pipeline, other, source=open_source(pipeline, lake=lake), lake=lake)
        assert len(plan(other, pass_name="main", lake=lake)) == 2
        return execute(self, context)

    monkeypatch.setattr(ClaudeBatchOperator, "execute", late)
    run = run_dag(write_dag(tmp_path), run_conf=DAY)
    found = states(run)
    assert run.state == "success"
    steps = ["submit", "wait", "load"]
    assert [found[f"main.chunk.{step}[0]"] for step in steps] == ["skipped"] * 3
    assert [found[f"retry.chunk.{step}[0]"] for step in steps] == ["success"] * 3
    assert (found["retry.plan"], found["publish"]) == ("success", "success")
    assert sum(batch["size"] for batch in emulator.batches_made()) == 3
    assert json.loads(lake.read("manifests/tickets/dt=2026-11-01.json"))["published"] == 3
