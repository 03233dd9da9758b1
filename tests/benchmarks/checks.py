"""
The time to judge product texts of 60 words with six checks, one core, without reading or writing files.

``python -m tests.benchmarks.checks`` prints one JSON object as the last line of stdout: ``facts_seconds`` for what
extract does, ``seconds`` for what publish does.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Mapping

import msgspec

from include.enrichment.answers.checks.check import Check
from include.enrichment.answers.checks.checks import Checks
from include.enrichment.answers.checks.similarity import RowNames
from include.enrichment.answers.schema.output_schema import OutputSchema
from tests.benchmarks.measuring import measured

_ANSWERS_AT_ONCE = 5_000
_WORDS = [
    f"{start}{end}" for start in ("ba", "ke", "lo", "mi", "nu", "sta", "tri") for end in ("rin", "le", "so", "ck")
]
CHECKS = [
    Check.model_validate(settings)
    for settings in (
        {"name": "title_length", "field": "title", "characters": {"max": 60}},
        {"name": "text_length", "field": "text", "words": {"min": 40, "max": 80}},
        {"name": "claims", "field": ["title", "text"], "forbidden": [f"claim {number}" for number in range(200)]},
        {"name": "sku", "field": "text", "must_contain": ["{{ sku }}", "{{ size }} ml"]},
        {"name": "numbers", "field": ["title", "text"], "numbers_from": ["sku", "size", "price"]},
        {"name": "shorter", "sql": "length(output.title) < length(output.text)"},
    )
]
OUTPUT = OutputSchema(
    {
        "type": "object",
        "additionalProperties": False,
        "required": ["title", "text"],
        "properties": {name: {"type": "string", "description": name} for name in ("title", "text")},
    }
)


def main() -> int:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.checks", description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    rows = parser.parse_args().rows
    luck = random.Random(1)
    sources = [
        {"sku": f"AB-{number}", "size": luck.randrange(100, 2_000), "price": luck.randrange(100)}
        for number in range(rows)
    ]
    outputs = [msgspec.json.encode(_answer(row, luck)).decode() for row in sources]
    checks = Checks(
        CHECKS, output=OUTPUT, names=RowNames(key=["sku"]), prompt_columns=[], line=lambda *_: 1, file="checks.yaml"
    )
    began = time.perf_counter()
    facts = [checks.facts(row) for row in sources]
    facts_seconds = time.perf_counter() - began
    with measured(rows=rows, checks=len(CHECKS), facts_seconds=facts_seconds) as found:
        found["failed"] = sum(
            bool(verdict.reason)
            for start in range(0, rows, _ANSWERS_AT_ONCE)
            for verdict in checks.judge(
                facts[start : start + _ANSWERS_AT_ONCE], outputs[start : start + _ANSWERS_AT_ONCE]
            )
        )
    return 0


def _answer(row: Mapping[str, object], luck: random.Random) -> dict[str, str]:
    """A text with the facts of the row and a price, which is nearly always another one."""
    words = " ".join(luck.choices(_WORDS, k=56))
    text = f"{row['sku']}: {words}, {row['size']} ml for {luck.randrange(100)}."
    return {"title": " ".join(luck.choices(_WORDS, k=6)), "text": text}


if __name__ == "__main__":
    sys.exit(main())
