"""
dry_run: what the passes of a run would send, without a trace outside of the run's folder, but for the index, which any
look at the results may add to.
"""

from __future__ import annotations

from include.enrichment.batches.pass_plan import divide
from include.enrichment.cost.forecast import DryRun, PassForecast
from include.enrichment.errors import BudgetExceeded
from include.enrichment.requests.chunk import split_chunks
from include.enrichment.runs import passes
from include.enrichment.storage.layout import RunFolder
from include.gateways.disk import working_folder
from include.gateways.lake import Lake
from include.gateways.ledger_store import Ledger
from include.steps.files.extracted import fetch_rows, read_extracted, read_pipeline, read_request_ids
from include.steps.plan import read_sizes
from include.steps.planning.estimator import check_budgets, estimator, may_stop, read_usage
from include.steps.planning.in_flight import find_in_flight
from include.steps.planning.select_requests import select_requests


def dry_run(folder: RunFolder, *, lake: Lake) -> DryRun:
    """
    Tell what each pass would send if the run was planned now, and leave it in the run's folder.

    No chunk is planned and the ledger stays as it is: other runs see nothing of it. Raises what plan() raises.
    """
    pipeline = read_pipeline(lake, folder)
    extracted = read_extracted(lake, folder)
    limits = pipeline.settings.limits
    ledger = Ledger(lake, pipeline=pipeline.name)
    with working_folder() as temporary:
        rows = temporary / "rows.parquet"
        fetch_rows(lake, folder, rows)
        needed = read_request_ids(rows)
        recorded = ledger.find_open()
        in_flight = find_in_flight(recorded, folder, ledger, lake)
        lines = read_usage(pipeline, lake)
        known = estimator(folder, pipeline, lines, extracted.extracted_at, lake)
        planned: set[str] = set()
        forecasts = {}
        for name in passes.names(canary_rows=limits.canary_rows, retry_passes=limits.retry_passes):
            wanted = select_requests(name, needed - planned, rows, pipeline, folder, extracted.extracted_at, lake)
            new = wanted.request_ids - planned
            to_send = divide(new, in_flight.chunks).to_send
            sizes = read_sizes(to_send, wanted.made, rows)
            estimated = known.of(name, sizes)
            forecasts[name] = PassForecast(
                in_flight=len(new) - len(to_send),
                to_send=len(to_send),
                bytes=estimated.bytes,
                batches=len(split_chunks(sizes, pipeline.limits)),
                estimate=estimated,
            )
            planned |= new
    over_budget = None
    try:
        opened = recorded.value if recorded else None
        stops = {name: one.estimate for name, one in forecasts.items() if one.estimate and may_stop(name, pipeline)}
        check_budgets(pipeline, folder, lines, opened, in_flight.entries, in_flight.over, stops)
    except BudgetExceeded as error:
        over_budget = f"A plain run would not send all of it. {error}"
    told = DryRun(
        pipeline=pipeline.name,
        partition=str(folder.partition),
        run_id=folder.run_id,
        extracted_at=extracted.extracted_at,
        model=pipeline.settings.request.model,
        rows=extracted.rows,
        unsendable=extracted.unsendable,
        requests=len(needed),
        answered=len(needed - planned),
        passes=forecasts,
        over_budget=over_budget,
    )
    lake.write(folder.dry_run_json, told.model_dump_json(indent=1).encode())
    return told
