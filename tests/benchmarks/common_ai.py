"""
``python -m tests.benchmarks.common_ai``: LLMBatchOperator's own code, without Airflow. Runs in .venv-benchmarks.

Its requests have no system prompt: with one, and with the titles that pydantic adds to a schema, 100,000 of them may
exceed the API's limit of 256 MB, and the operator does not split batches.
"""

from __future__ import annotations

from typing import Any, Literal

import pandas as pd
import pyarrow.parquet  # noqa: F401  # pandas would import it within what is measured
from airflow.providers.common.ai.batch.anthropic import AnthropicBatchAdapter  # type: ignore[import-not-found]
from airflow.providers.common.ai.batch.output_schema import build_output_spec  # type: ignore[import-not-found]
from airflow.providers.common.ai.batch.results import stream_results_to_jsonl  # type: ignore[import-not-found]
from airflow.sdk import ObjectStoragePath
from pydantic import BaseModel, Field

from tests.benchmarks.contender import Round, main

_KEY = "0123456789abcdef"


class Ticket(BaseModel):
    """The schema of tests/benchmarks/pipeline/output.schema.json."""

    topic: Literal["billing", "bug", "delivery", "other"] = Field(description="What it is about.")
    urgent: bool = Field(description="Whether it cannot wait.")
    summary: str = Field(description="In a sentence.")


_SPEC = build_output_spec(Ticket)


def submit(at: Round) -> None:
    """Parquet to an accepted batch, through the functions that the operator's ``execute()`` calls."""
    adapter = _adapter(at)
    with at.measured():
        requests = [{"prompt": text} for text in pd.read_parquet(at.table)["body"]]
        settings: dict[str, Any] = {
            "model": "claude-haiku-5-5",
            "output_spec": _SPEC,
            "idempotency_key": _KEY,
            "max_tokens": 300,
            "request_params": {"thinking": {"type": "disabled"}},
        }
        adapter.validate_requests(requests, **settings)
        adapter.submit(requests, input_fingerprint=_KEY, **settings)
    at.batches()


def load(at: Round) -> None:
    """The results of its own batch to JSON Lines."""
    (batch_id,) = at.batches()
    adapter = _adapter(at)
    destination = ObjectStoragePath(f"file://{at.scratch}/results.jsonl")
    with at.measured() as found:
        counts, _ = stream_results_to_jsonl(
            adapter=adapter,
            batch_id=batch_id,
            output_spec=_SPEC,
            request_count=at.rows,
            custom_id_prefix=_KEY,
            destination=destination,
        )
        found["succeeded"] = counts["success"]


def _adapter(at: Round) -> Any:
    return AnthropicBatchAdapter(api_key=at.key, base_url=at.url)


if __name__ == "__main__":
    main({"submit": submit, "load": load})
