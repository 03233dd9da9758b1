"""
The time and memory to evaluate 50,000 cases of two variants with 1,000 resamples: grading by two graders, then all
figures, over all cases and over 20 groups. Without reading or writing files.

``python -m tests.benchmarks.evaluating`` prints one JSON object as the last line of stdout. ``--who scipy`` computes
the intervals and p-values of the same scores with scipy.stats, without grading and without groups.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy import stats

from include.enrichment.spec.pipeline import Pipeline
from include.enrichment.spec.pipeline_folder import load_pipeline
from include.evaluation.evaluate import evaluate
from include.evaluation.figures.case_scores import case_scores
from include.evaluation.grading import grade_table
from include.evaluation.scores import Scores
from include.evaluation.spec.settings import EvaluationSettings
from tests.benchmarks.measuring import measured

VARIANTS = ("current", "new")
RESAMPLES = 1_000
#: scipy draws so many resamples at once, so that its memory stays small.
_AT_ONCE = 20
_WORDS = [f"word {number}" for number in range(50)]
_FILES = {
    "pipeline.yaml": """
source: {connection: warehouse, key: {id: int64}, carry: [shelf, words, section]}
request: {model: claude-haiku-5-5, max_tokens: 300}
""",
    "extract.sql": "select id, text, shelf, words, section from products where day >= :partition_start",
    "system.md": "Sort the product.",
    "user.md": "{{ text }}",
    "output.schema.json": json.dumps(
        {
            "type": "object",
            "additionalProperties": False,
            "required": ["label", "keywords"],
            "properties": {
                "label": {"type": "string", "description": "The shelf."},
                "keywords": {"type": "array", "items": {"type": "string"}, "description": "What it is about."},
            },
        }
    ),
}
SETTINGS = EvaluationSettings.model_validate(
    {
        "metrics": {
            "label": {"expected": "shelf", "grade": "exact"},
            "keywords": {"expected": "words", "grade": "set"},
        },
        "by": ["section"],
        "gate": [{"metric": "label", "margin": 0.02}, {"metric": "keywords", "margin": 0.02}],
        "resamples": RESAMPLES,
    }
)


def published(cases: int) -> tuple[pa.Table, pa.Table]:
    """Return a published table with a row for each case and variant, and its rejects, of which there are none."""
    luck = random.Random(18)
    rows = []
    for case in range(cases):
        words = luck.sample(_WORDS, k=6)
        for variant in VARIANTS:
            label = luck.randrange(12) if luck.random() < 0.1 else case % 12
            keywords = [word for word in words if luck.random() < 0.9] + luck.choices(_WORDS, k=1)
            rows.append((case, variant, f"shelf {case % 12}", words, case % 20, f"shelf {label}", keywords))
    columns = ("id", "_variant", "shelf", "words", "section", "label", "keywords")
    table = pa.table(dict(zip(columns, map(list, zip(*rows, strict=True)), strict=True)))
    rejects = table.slice(0, 0).select(columns[:5])
    for name in ("outcome", "reason", "text"):
        rejects = rejects.append_column(name, pa.array([], pa.string()))
    return table, rejects


def pipeline(folder: Path) -> Pipeline:
    """Write and load the pipeline of the table."""
    for name, content in _FILES.items():
        (folder / name).write_text(content, encoding="utf-8")
    return load_pipeline(folder)


def with_scipy(scores: Scores) -> None:
    """Compute an interval for each metric and variant, and an interval and a p-value for each difference."""
    values: dict[str, list[NDArray[np.float64]]] = {}
    for found in case_scores(scores):
        values.setdefault(found.metric, []).append(found.score)
    # Its BCa bootstrap also takes each case out once and averages all others: 2.5 billion numbers.
    options = {"n_resamples": RESAMPLES, "batch": _AT_ONCE}
    for current, new in values.values():
        for one in (current, new, new - current):
            stats.bootstrap((one,), np.mean, method="percentile", rng=np.random.default_rng(1), **options)
        stats.permutation_test(
            (new - current,),
            np.mean,
            permutation_type="samples",
            vectorized=True,
            rng=np.random.default_rng(1),
            **options,
        )


def main() -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.evaluating", description=__doc__)
    parser.add_argument("--cases", type=int, default=50_000)
    parser.add_argument("--who", choices=["ours", "scipy"], default="ours")
    options = parser.parse_args()
    table, rejects = published(options.cases)
    with tempfile.TemporaryDirectory() as folder:
        spec = pipeline(Path(folder))
    if options.who == "scipy":
        scores = grade_table(table, rejects, SETTINGS, spec)
        with measured(cases=options.cases, resamples=RESAMPLES):
            with_scipy(scores)
        return
    with measured(cases=options.cases, resamples=RESAMPLES) as found:
        began = time.perf_counter()
        scores = grade_table(table, rejects, SETTINGS, spec)
        found["grading_seconds"] = time.perf_counter() - began
        figures = evaluate(scores, SETTINGS)
        found["metrics"], found["comparisons"] = len(figures.metrics), len(figures.comparisons)


if __name__ == "__main__":
    main()
