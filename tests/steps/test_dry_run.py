from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from include.enrichment.cost.forecast import DryRun, PassForecast
from include.enrichment.runs.options import RunOptions
from include.steps.dry_run import dry_run
from tests.fixtures.flow import Flow, without_rows, write_tickets
from tests.fixtures.planning import change_request


def objects(flow: Flow) -> list[str]:
    """Everything on the lake but the runs' folders."""
    return [key for key in flow.lake.list("") if not key.startswith("runs/")]


def to_send(forecast: DryRun) -> dict[str, tuple[int, int]]:
    """Requests and batches of each pass."""
    return {name: (one.to_send, one.batches) for name, one in forecast.passes.items()}


def test_it_shows_what_a_run_then_sends_and_leaves_no_trace_but_in_the_runs_folder(twenty: Flow) -> None:
    forecast = dry_run(twenty.folder, lake=twenty.lake)
    assert (forecast.rows, forecast.unsendable, forecast.requests, forecast.answered) == (20, 0, 20, 0)
    assert to_send(forecast) == {"canary": (5, 1), "main": (15, 1), "retry": (0, 0)}
    assert DryRun.model_validate_json(twenty.lake.read(twenty.folder.dry_run_json)) == forecast
    assert objects(twenty) == []
    assert twenty.emulator.creates() == []
    assert (twenty.send("canary"), twenty.send()) == ({"succeeded": 5}, {"succeeded": 15})


def test_it_tells_which_passes_are_synchronous(twenty: Flow, tmp_path: Path) -> None:
    change_request(twenty, tmp_path, "mode: auto", "limits: {canary_rows: 5, synchronous_below: 10}")
    twenty.extract()
    forecast = dry_run(twenty.folder, lake=twenty.lake)
    assert to_send(forecast) == {"canary": (5, 0), "main": (15, 1), "retry": (0, 0)}
    lines = [line.split() for line in forecast.table().splitlines()]
    assert [line[3] for line in lines if line and line[0] in ("canary", "main", "total")] == [
        *("synchronous", "batch", "both")
    ]


def test_the_bytes_are_those_of_the_requests(twenty: Flow) -> None:
    rows = pq.read_table(pa.BufferReader(twenty.lake.read(twenty.folder.rows)))
    forecast = dry_run(twenty.folder, lake=twenty.lake)
    params = [len(text.encode()) for text in rows["params"].to_pylist()]
    assert sum(one.bytes for one in forecast.passes.values()) == sum(params) > 20 * 100


def test_what_is_answered_or_in_flight_is_not_to_be_sent(twenty: Flow) -> None:
    twenty.send("canary")
    twenty.emulator.set_faults([{"kind": "duration", "seconds": 3600}])
    twenty.submit(*twenty.plan())
    write_tickets(twenty.database, [("late", "Late"), ("later", "Later")])
    twenty.folder = twenty.run("manual__2")
    twenty.extract()
    before = objects(twenty)
    forecast = dry_run(twenty.folder, lake=twenty.lake)
    assert (forecast.requests, forecast.answered) == (22, 5)
    assert sum(one.in_flight for one in forecast.passes.values()) == 15
    assert sum(one.to_send for one in forecast.passes.values()) == 2
    assert objects(twenty) == before


def test_of_the_retry_it_shows_what_earlier_runs_have_left_to_repair(twenty: Flow) -> None:
    twenty.emulator.set_faults([{"kind": "violates_schema", "share": 0.4}])
    failed = twenty.send()["invalid"]
    forecast = dry_run(twenty.folder, lake=twenty.lake)
    assert forecast.answered == 20
    assert to_send(forecast) == {"canary": (0, 0), "main": (0, 0), "retry": (failed, 1)}


def test_several_retry_passes_do_not_count_the_same_repair_twice(twenty: Flow) -> None:
    limits = twenty.pipeline.settings.limits.model_copy(update={"retry_passes": 2})
    settings = twenty.pipeline.settings.model_copy(update={"limits": limits})
    twenty.pipeline = twenty.pipeline.model_copy(update={"settings": settings})
    twenty.extract()
    twenty.emulator.set_faults([{"kind": "violates_schema"}])
    twenty.send()
    forecast = dry_run(twenty.folder, lake=twenty.lake)
    assert {name: one.to_send for name, one in forecast.passes.items()} == {
        "canary": 0,
        "main": 0,
        "retry_1": 20,
        "retry_2": 0,
    }


def test_a_trial_is_described_as_a_trial(twenty: Flow) -> None:
    twenty.pipeline = twenty.pipeline.for_run(RunOptions(rows=7, dry_run=True))
    twenty.extract()
    forecast = dry_run(twenty.folder, lake=twenty.lake)
    assert forecast.rows == 7
    assert to_send(forecast) == {"canary": (5, 1), "main": (2, 1), "retry": (0, 0)}


def test_a_partition_without_rows_sends_nothing(twenty: Flow, tmp_path: Path) -> None:
    without_rows(twenty, tmp_path)
    twenty.extract()
    forecast = dry_run(twenty.folder, lake=twenty.lake)
    assert (forecast.rows, forecast.requests, forecast.answered) == (0, 0, 0)
    nothing = PassForecast(in_flight=0, to_send=0, bytes=0, batches=0)
    assert {one.model_copy(update={"estimate": None}) for one in forecast.passes.values()} == {nothing}
    assert {
        one.estimate.cost_usd.expected for one in forecast.passes.values() if one.estimate and one.estimate.cost_usd
    } == {0}
