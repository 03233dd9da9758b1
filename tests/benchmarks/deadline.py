"""
What becomes of a night with a deadline, as a table in Markdown: 20 rows from 02:00 on, due at 05:30.

``python -m tests.benchmarks.deadline`` prints it. Everything but the clock is real: the steps, the wait, and the
emulator, whose answers are simulated.
"""

from __future__ import annotations

import contextlib
import io
import sys
import tempfile
from decimal import Decimal
from pathlib import Path

import pytest

from include.enrichment.cost.prices import format_decimal
from tests.fixtures.emulator import EmulatorProcess
from tests.fixtures.flow import booked, open_flow, write_tickets
from tests.fixtures.night import NIGHTS, night

_COLUMNS = ("the batch", "rows published", "answered in the batch", "asked", "cost", "bill", "published at", "deadline")


def _plain(usd: Decimal | None) -> str:
    return "?" if usd is None else format_decimal(usd)


def main() -> int:
    """Print the table."""
    lines = [_COLUMNS, tuple("---" for _ in _COLUMNS)]
    with tempfile.TemporaryDirectory() as temporary, EmulatorProcess(Path(temporary), processing_seconds=0) as process:
        for number, (name, prepare) in enumerate(NIGHTS.items()):
            folder = Path(temporary, str(number))
            folder.mkdir()
            with (
                contextlib.redirect_stdout(io.StringIO()),  # Airflow's log
                open_flow(folder, process.workspace()) as flow,
                pytest.MonkeyPatch.context() as patch,
            ):
                write_tickets(flow.database, [(f"N{each}", f"Ticket {each}") for each in range(17)])
                with night(flow, patch) as one:
                    prepare(one)
                    manifest = one.run()
                answers = {record["mode"]: record["succeeded"] for record in booked(flow)}
                bill = flow.emulator.billed_usd()
            counts = (manifest.published, answers.get("batch", 0), answers.get("synchronous", 0))
            facts = (
                f"${_plain(manifest.cost_usd)}",
                f"${_plain(bill)}",
                f"{manifest.published_at:%H:%M}",
                manifest.deadline_kept,
            )
            lines.append((name, *map(str, counts), *facts))
    sys.stdout.write("".join(f"| {' | '.join(line)} |\n" for line in lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
