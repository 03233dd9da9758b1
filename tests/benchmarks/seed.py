"""
``python -m tests.benchmarks.seed``: the pattern that most projects start with, which is pandas, a dict per row, and the
SDK's ``create()`` and ``results()``. Runs in .venv-benchmarks.
"""

from __future__ import annotations

import json
from typing import Any

import anthropic
import pandas as pd
import pyarrow.parquet  # noqa: F401  # pandas would import it within what is measured

from tests.benchmarks.contender import PIPELINE, Round, main

_SYSTEM = (PIPELINE / "system.md").read_text(encoding="utf-8").strip()
_SCHEMA = json.loads((PIPELINE / "output.schema.json").read_text(encoding="utf-8"))


def submit(at: Round) -> None:
    """Parquet to an accepted batch."""
    with _client(at) as client, at.measured():
        rows = pd.read_parquet(at.table).to_dict("records")
        requests: Any = [{"custom_id": row["ticket"], "params": _params(row["body"])} for row in rows]
        client.messages.batches.create(requests=requests)
    at.batches()


def load(at: Round) -> None:
    """The results of this project's batch to Parquet, without validation and without raw results."""
    (batch_id,) = at.batches()
    with _client(at) as client, at.measured():
        rows = []
        for line in client.messages.batches.results(batch_id):
            row: dict[str, Any] = {"custom_id": line.custom_id, "type": line.result.type}
            if line.result.type == "succeeded":
                message = line.result.message
                usage = {"input": message.usage.input_tokens, "output": message.usage.output_tokens}
                text = "".join(block.text for block in message.content if block.type == "text")
                row |= {"model": message.model, **usage, **json.loads(text)}
            rows.append(row)
        pd.DataFrame(rows).to_parquet(at.scratch / "results.parquet")


def _params(text: str) -> dict[str, Any]:
    """Return the params that this project sends for the row."""
    return {
        "model": "claude-haiku-5-5",
        "max_tokens": 300,
        "thinking": {"type": "disabled"},
        "output_config": {"format": {"type": "json_schema", "schema": _SCHEMA}},
        "system": [{"type": "text", "text": _SYSTEM, "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
        "messages": [{"role": "user", "content": text}],
    }


def _client(at: Round) -> anthropic.Anthropic:
    return anthropic.Anthropic(api_key=at.key, base_url=at.url)


if __name__ == "__main__":
    main({"submit": submit, "load": load})
