"""dry_run: what the passes of a run would send. It changes only the run's folder and the index of results."""

from __future__ import annotations

from dataclasses import replace

from include.enrichment.batches.pass_plan import divide
from include.enrichment.cost.forecast import DryRun, PassForecast
from include.enrichment.errors import BudgetExceeded
from include.enrichment.requests.request_ids import RequestIds
from include.enrichment.runs import passes
from include.enrichment.storage.layout import RunFolder
from include.enrichment.synchronous.mode import choose_mode
from include.gateways.lake import Lake
from include.gateways.ledger_store import Ledger
from include.steps.files.extracted import open_run
from include.steps.planning.budgets import check_budgets, may_stop, read_usage
from include.steps.planning.by_group import group_requests, sizes_by_group
from include.steps.planning.estimator import make_estimators
from include.steps.planning.in_flight import find_in_flight
from include.steps.planning.new_chunks import read_sizes, split_by_group
from include.steps.planning.select_requests import select_requests
from include.steps.planning.upload_marks import find_uploads


def dry_run(folder: RunFolder, *, lake: Lake) -> DryRun:
    """
    Forecast what each pass would send if the run was planned now, and write the forecast to the run's folder.

    Plans no chunk and leaves the ledger as it is, so other runs do not notice. Raises what plan() raises.
    """
    with open_run(lake, folder) as run:
        pipeline, needed = run.pipeline, run.request_ids
        limits = pipeline.settings.limits
        ledger = Ledger(lake, pipeline=pipeline.name)
        in_flight = find_in_flight(ledger.find_open(), folder, ledger, lake)
        usage_records = read_usage(pipeline, lake)
        estimators = make_estimators(run, usage_records, lake)
        planned = RequestIds()
        forecasts = {}
        for name in passes.names(canary_rows=limits.canary_rows, retry_passes=limits.retry_passes):
            selection = select_requests(name, replace(run, request_ids=needed - planned), lake)
            new = selection.request_ids - planned
            to_send = divide(new, in_flight.chunks).to_send
            whole = read_sizes(to_send, selection.made, run, find_uploads(run, selection.made.values()))
            sizes = sizes_by_group(whole, group_requests(to_send, run, selection.repairs or ()))
            mode = choose_mode(pipeline.settings, len(to_send))
            estimate = estimators.estimate(name, sizes, mode)
            forecasts[name] = PassForecast(
                in_flight=len(new) - len(to_send),
                to_send=len(to_send),
                bytes=estimate.bytes,
                batches=len(split_by_group(sizes, pipeline.limits)) if mode == "batch" else 0,
                estimate=estimate,
            )
            planned |= new
    over_budget = None
    try:
        stops = {name: one.estimate for name, one in forecasts.items() if one.estimate and may_stop(name, pipeline)}
        check_budgets(run, usage_records, in_flight, stops)
    except BudgetExceeded as error:
        over_budget = f"A plain run would not send all of it. {error}"
    forecast = DryRun(
        pipeline=pipeline.name,
        partition=str(folder.partition),
        run_id=folder.run_id,
        extracted_at=run.extracted.extracted_at,
        model=pipeline.models,
        rows=run.extracted.rows,
        unsendable=run.extracted.unsendable,
        requests=len(needed),
        answered=len(needed - planned),
        passes=forecasts,
        over_budget=over_budget,
    )
    lake.write(folder.dry_run_json, forecast.model_dump_json(indent=1).encode())
    return forecast
