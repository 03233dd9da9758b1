"""`make clean-lake`: what runs that ended long ago left on the lake is shown, and deleted where that is asked for."""

from __future__ import annotations

import os
import sys
import tempfile

from include.stack.environment import core_settings
from include.stack.folder import StackFolder
from include.stack.report import complain
from include.stack.run import BAD_ARGUMENTS, MissingVariables, connection_variables
from include.stack.stack import AWS, LAKE


def clean_lake(folder: StackFolder, *, days: int, raw_days: int | None, delete: bool) -> int:
    """
    Say what is older than so many days and no longer needed, and delete it if ``delete``. Returns 0, or 2 for bad
    arguments, or 1 where the lake cannot be read.

    :param raw_days: also raw copies of that age
    """
    try:
        variables = connection_variables(folder, os.environ, (AWS, LAKE))
    except MissingVariables as error:
        complain(str(error))
        return 1
    with tempfile.TemporaryDirectory() as home:
        os.environ.update(core_settings(home) | variables)
        # Airflow, which knows the connection, reads its settings while it is imported.
        from claude_batch.connections import open_lake
        from include.enrichment.errors import EnrichmentError, SpecError
        from include.steps.clean import clean, find_old

        try:
            lake = open_lake("aws_default")
            old = find_old(lake, days=days, raw_days=raw_days)
            for kind, objects in old.items():
                size_mb = sum(each.size_bytes for each in objects) / 1e6
                sys.stdout.write(f"{kind:20} {len(objects):>9,} objects {size_mb:>12,.1f} MB\n")
            if delete:
                sys.stdout.write(f"{clean(lake, old):,} objects were deleted from {lake.uri}.\n")
            else:
                sys.stdout.write(f"Nothing was deleted from {lake.uri}. YES=1 deletes it.\n")
        except SpecError as error:
            complain(str(error))
            return BAD_ARGUMENTS
        except EnrichmentError as error:
            complain(str(error))
            return 1
    return 0
