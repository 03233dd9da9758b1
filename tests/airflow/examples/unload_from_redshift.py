"""Redshift writes the partition to S3 as Parquet, and the pipeline `tickets` reads it there.

Its `pipeline.yaml` has, under `source`, `files: s3://my-bucket/exports/tickets/dt={partition}/` and no `extract.sql`.
Clearing `unload` writes the files anew: `cleanpath` deletes what an earlier UNLOAD of the day left.
"""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.providers.amazon.aws.operators.redshift_data import RedshiftDataOperator
from airflow.sdk import dag

from claude_batch.task_group import enrich

UNLOAD = """
{% set partition = params.partition or data_interval_start | ds %}
unload ($$ select ticket, body from tickets where day = '{{ partition }}' $$)
to 's3://my-bucket/exports/tickets/dt={{ partition }}/'
iam_role default
format parquet cleanpath
"""


@dag(schedule=None, start_date=datetime(2026, 11, 1, tzinfo=UTC), doc_md=__doc__)
def unload_from_redshift() -> None:
    unload = RedshiftDataOperator(
        task_id="unload", workgroup_name="analytics", database="shop", sql=UNLOAD, deferrable=True
    )
    unload >> enrich("tickets")


unload_from_redshift()
