"""
The loop that many begin with: one call for each ticket of a day, one after the other, and a Parquet file at the end.

python docs/examples/migration/naive_loop.py warehouse.db 2026-11-17 tickets.parquet

The environment gives ANTHROPIC_API_KEY, and for the emulator ANTHROPIC_BASE_URL. docs/migration.md has the same as a
pipeline. Prompt and schema are those of the pipeline `tickets`; a script like this usually has them as strings.
"""

from __future__ import annotations

import json
import sqlite3
import sys
from pathlib import Path

import anthropic
import pandas

PROMPTS = Path(__file__).parents[3] / "include/pipelines/tickets"
SYSTEM = (PROMPTS / "system.md").read_text().strip()
SCHEMA = json.loads((PROMPTS / "output.schema.json").read_text())
USER = """<ticket id="{}" channel="{}">
<subject>
{}
</subject>
<body>
{}
</body>
</ticket>"""
QUERY = "select ticket_id, channel, subject, body from tickets where created_on = ? order by ticket_id"


def main(warehouse: str, day: str, output: str) -> None:
    """Ask about each ticket of the day, and write the answers."""
    client = anthropic.Anthropic()
    answers = []
    for row in sqlite3.connect(warehouse).execute(QUERY, [day]):
        message = client.messages.create(
            model="claude-haiku-5-5",
            max_tokens=300,
            thinking={"type": "disabled"},
            system=SYSTEM,
            messages=[{"role": "user", "content": USER.format(*row)}],
            output_config={"format": {"type": "json_schema", "schema": SCHEMA}},
        )
        answers.append({"ticket_id": row[0], **json.loads(message.content[0].text)})
    pandas.DataFrame(answers).to_parquet(output)


if __name__ == "__main__":
    main(*sys.argv[1:])
