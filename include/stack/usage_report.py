"""`make report`: what the batches of some days cost, from the lake of the environment or of the stack that runs."""

from __future__ import annotations

import os
import sys
import tempfile
from datetime import UTC, datetime, timedelta

from include.stack.environment import core_settings
from include.stack.folder import StackFolder
from include.stack.report import complain
from include.stack.run import BAD_ARGUMENTS, MissingVariables, connection_variables
from include.stack.stack import AWS, LAKE, read_stack


def usage_report(folder: StackFolder, *, first: str | None, last: str | None) -> int:
    """
    Make the report of these days, the last of which is today where it is not given, and say where it is. Returns 0, or
    2 for bad arguments, or 1 where the lake cannot be read.
    """
    try:
        variables = connection_variables(folder, os.environ, (AWS, LAKE))
    except MissingVariables as error:
        complain(str(error))
        return 1
    with tempfile.TemporaryDirectory() as home:
        os.environ.update(core_settings(home) | variables)
        os.environ.setdefault("AIRFLOW__LOGGING__LOGGING_LEVEL", "WARNING")
        # Airflow, which knows the connection, reads its settings while it is imported.
        from claude_batch.connections import open_lake
        from claude_batch.report import URL_PREFIX
        from include.enrichment.errors import EnrichmentError, ParamError
        from include.enrichment.prices import dollars
        from include.enrichment.report_days import report_days
        from include.steps.usage_report import usage_report

        try:
            # Whoever asks by hand wants what has just been spent, too.
            days = report_days(first=first, last=last, today=datetime.now(UTC).date() + timedelta(days=1))
            lake = open_lake("aws_default")
            made = usage_report(days, lake=lake)
        except ParamError as error:
            complain(str(error))
            return BAD_ARGUMENTS
        except EnrichmentError as error:
            complain(str(error))
            return 1
        simulated = ", SIMULATED: the emulator answered" if made.simulated else ""
        sys.stdout.write(f"{days}: {dollars(made.cost_usd)}, batches: {made.batches:,}{simulated}\n")
        sys.stdout.write(f"  {lake.locate(made.page)}\n")
        if (stack := read_stack(folder)) and lake.uri == stack.connections[LAKE]:
            sys.stdout.write(f"  {stack.airflow_url}{URL_PREFIX}/{days.first}_{days.last}\n")
    return 0
