"""Your own requests through one batch: no warehouse, no pipeline folder, only submit, wait and load.

A task of yours writes a chunk file to the lake; each request is the body of a Messages call. The answers lie in
`results/<pipeline>/<batch_id>.parquet`, one line for each request, as text where no schema was given.
"""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.sdk import dag, task

from claude_batch.operators import ClaudeBatchOperator, LoadOperator
from claude_batch.sensors import ClaudeBatchSensor


@dag(schedule=None, start_date=datetime(2026, 11, 1, tzinfo=UTC), doc_md=__doc__)
def own_requests() -> None:
    @task
    def write() -> str:
        import msgspec

        from claude_batch.connections.gateways import open_lake
        from include.enrichment.requests.request import make_request
        from include.steps.files.chunk_files import write_chunk

        questions = ["What is a batch?", "What is a chunk?"]
        bodies = [
            {"model": "claude-haiku-5-5", "max_tokens": 200, "messages": [{"role": "user", "content": question}]}
            for question in questions
        ]
        requests = [make_request(msgspec.json.encode(body)) for body in bodies]
        lake = open_lake("aws_default")
        return write_chunk(lake, requests, pipeline="own_questions", schema_text=None)

    chunk = write()
    submit = ClaudeBatchOperator(task_id="submit", chunk=chunk)
    wait = ClaudeBatchSensor(task_id="wait", batch_id=submit.output, deferrable=False)
    load = LoadOperator(task_id="load", chunk=chunk, batch_id=submit.output)
    wait >> load


own_requests()
