"""The params that a pipeline's Dag offers in the UI's trigger form."""

from __future__ import annotations

from airflow.sdk import Param

#: One day by hand. Without it a run means the day its data interval starts on.
PARTITION = {
    "partition": Param(
        None,
        type=["null", "string"],
        format="date",
        title="Partition",
        description="The day to read and to replace, such as 2026-11-21. Empty: the day of the run's data interval.",
    )
}
