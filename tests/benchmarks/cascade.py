"""
What a cascade buys: the same cases answered by a small model, by a cascade, and by a large model.

The accuracies are planted: how often each model is right, and how well the small model's confidence tells where it is
wrong, are assumptions about the emulator's answers, not about Claude. The steps, the batches and the bill are real.

``python -m tests.benchmarks.cascade`` prints one JSON object as the last line of stdout.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from include.enrichment.spec.pipeline_folder import load_pipeline
from tests.benchmarks.measuring import measured
from tests.fixtures.emulator import Emulator, EmulatorProcess
from tests.fixtures.flow import Flow, booked, open_flow, write_pipeline, write_tickets

VARIANTS = ("small", "cascade", "large")
SMALL, LARGE = "claude-haiku-5-5", "claude-opus-5-5"
TOPICS = ("billing", "bug", "delivery", "other")
#: One case in this many is hard.
HARD_EACH = 5
#: The share of right answers of each model to easy and to hard cases.
PLANTED = {SMALL: {"easy": 0.96, "hard": 0.55}, LARGE: {"easy": 0.98, "hard": 0.92}}
#: The small model's confidence, and the share of cases of this kind in which it has the other kind's.
CONFIDENCE = {"easy": 0.9, "hard": 0.4}
MISJUDGED = 0.1
DOUBTFUL = "confidence < 0.7"
_FILES = {
    "pipeline_yaml": f"""
source: {{connection: warehouse, key: [ticket]}}
request: {{model: {SMALL}, max_tokens: 300}}
limits: {{canary_rows: 0, retry_passes: 1, max_reject_ratio: 0}}
variants:
  small: {{}}
  cascade: {{escalate: {{to: {LARGE}, when: {DOUBTFUL}}}}}
  large: {{model: {LARGE}}}
""",
    "system_md": "Say what the ticket is about, and how sure you are, from 0 to 1.",
    "user_md": "{{ body }}",
    "output_schema_json": json.dumps(
        {
            "type": "object",
            "additionalProperties": False,
            "required": ["topic", "confidence"],
            "properties": {
                "topic": {"type": "string", "enum": list(TOPICS), "description": "What it is about."},
                "confidence": {"type": "number", "description": "From 0 to 1."},
            },
        }
    ),
}


def measure(flow: Flow, folder: Path, *, cases: int) -> dict[str, dict[str, Any]]:
    """
    Answer the cases with each variant, and return for each its share of right answers, escalated rows and cost.

    :param folder: for the pipeline's files
    :raises RuntimeError: if the books differ from the bill
    """
    kinds = ["hard" if number % HARD_EACH == 0 else "easy" for number in range(cases)]
    truth = {f"C{number}": TOPICS[number % len(TOPICS)] for number in range(cases)}
    flow.database = write_tickets(
        folder / "cases.db",
        [(name, f"Ticket {name}, kind {kind}.") for name, kind in zip(truth, kinds, strict=True)],
    )
    _plant(flow.emulator, truth, kinds)
    flow.pipeline = load_pipeline(write_pipeline(folder / "cascade" / "tickets", **_FILES))
    flow.extract()
    for pass_name in ("main", "retry"):
        for chunk in flow.plan(pass_name):
            batch = flow.submit(chunk)
            while not all(made["ended"] for made in flow.emulator.batches_made()):
                time.sleep(0.1)
            flow.load(chunk, batch)
    flow.publish()
    booked_usd = sum((record["cost_usd"] for record in booked(flow)), Decimal(0))
    if booked_usd != (billed := flow.emulator.billed_usd()):
        raise RuntimeError(f"The books say {booked_usd} USD, and the bill {billed} USD.")
    rows = flow.published().to_pylist()
    return {
        variant: {
            "right_percent": 100 * sum(row["topic"] == truth[row["ticket"]] for row in found) / cases,
            "escalated": sum(row["_escalated"] for row in found),
            "usd": float(sum((row["_cost_usd"] for row in found), Decimal(0))),
        }
        for variant in VARIANTS
        if (found := [row for row in rows if row["_variant"] == variant])
    }


def _plant(emulator: Emulator, truth: dict[str, str], kinds: Sequence[str]) -> None:
    """Let each model be right, and sure of itself, as often as planned."""
    case = r"Ticket (\w+),"
    right = {"kind": "accuracy", "field": "topic", "case": case, "truth": truth, "wrong": TOPICS}
    sure = {"kind": "accuracy", "field": "confidence", "case": case, "share": 1 - MISJUDGED}
    confidence = {name: CONFIDENCE[kind] for name, kind in zip(truth, kinds, strict=True)}
    emulator.set_faults(
        [
            *(
                {**right, "share": share, "model": model, "match": f"kind {kind}."}
                for model, shares in PLANTED.items()
                for kind, share in shares.items()
            ),
            {**sure, "truth": confidence, "wrong": list(CONFIDENCE.values())},
        ]
    )


def main() -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.cascade", description=__doc__)
    parser.add_argument("--cases", type=int, default=1_000)
    cases = parser.parse_args().cases
    with (
        tempfile.TemporaryDirectory() as temporary,
        EmulatorProcess(Path(temporary, "emulator"), processing_seconds=0) as process,
        open_flow(Path(temporary), process.workspace()) as flow,
        measured(cases=cases) as found,
    ):
        found |= measure(flow, Path(temporary), cases=cases)


if __name__ == "__main__":
    main()
