"""The calls of tools that wait for a person, and what the person decides."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from include.enrichment.agent.transcript import Approval, call_of_approval
from include.enrichment.answers.table import row_keys
from include.enrichment.errors import ParamError, nearest
from include.enrichment.storage.layout import RunFolder
from include.gateways.agent.transcripts import Transcripts
from include.gateways.disk import working_folder
from include.gateways.lake import Lake
from include.steps.asking.parts import Parts
from include.steps.files.chunk_files import read_chunk
from include.steps.files.extracted import fetch_rows

#: The most calls that a question shows. All of them are decided.
_MOST_SHOWN = 200
_INPUT_CHARACTERS = 500


@dataclass(frozen=True, kw_only=True)
class WaitingCall:
    """
    A call of a tool that waits for a person.

    :param row: the key of the row, as a person reads it; those of all its rows if several have the same request
    """

    request_id: str
    row: str
    step: str
    approval: Approval


def waiting_calls(folder: RunFolder, chunks: Iterable[str], *, lake: Lake) -> list[WaitingCall]:
    """
    Return the calls that wait in the rows of these chunks, in the order of their requests.

    :param chunks: lake keys of synchronous chunks
    """
    transcripts = Transcripts(lake, pipeline=folder.pipeline)
    found: list[WaitingCall] = []
    names = _row_names(folder, lake)
    for key in chunks:
        chunk = read_chunk(lake, key)
        answered = Parts(lake, pipeline=chunk.pipeline, chunk_id=chunk.chunk_id).request_ids()
        for request_id in sorted(set(chunk.request_ids) - answered):
            steps = transcripts.steps(request_id)
            found += [
                WaitingCall(request_id=request_id, row=names[request_id], step=step, approval=value)
                for step, value in steps.items()
                if isinstance(value, Approval) and value.approved is None and call_of_approval(step) not in steps
            ]
    return found


def _row_names(folder: RunFolder, lake: Lake) -> dict[str, str]:
    with working_folder() as temporary:
        fetch_rows(lake, folder, path := temporary / "rows.parquet")
        keys = [field.name for field in row_keys(pq.read_schema(path))]
        table = pq.read_table(path, columns=[*keys, "request_id"])
    texts = [pc.cast(table[key], pa.string()).to_pylist() for key in keys]
    names: dict[str, list[str]] = {}
    for request_id, *values in zip(table["request_id"].to_pylist(), *texts, strict=True):
        names.setdefault(request_id, []).append(", ".join(values))
    return {request_id: "; ".join(rows) for request_id, rows in names.items()}


def describe_calls(calls: Sequence[WaitingCall]) -> str:
    """Return the calls as a Markdown table. Keys and inputs are data of the rows: none of it is read as Markdown."""
    lines = ["| Row | Tool | Input |", "|---|---|---|"]
    for call in calls[:_MOST_SHOWN]:
        given = json.dumps(call.approval.input, ensure_ascii=False)[:_INPUT_CHARACTERS]
        lines.append(f"| {_as_code(call.row)} | {call.approval.tool} | {_as_code(given)} |")
    if len(calls) > _MOST_SHOWN:
        lines.append(f"\nand {len(calls) - _MOST_SHOWN:,} more calls.")
    return "\n".join(lines)


def _as_code(text: str) -> str:
    return f"`` {text.replace('|', '¦').replace('`', 'ˋ')} ``"


def decide(
    calls: Sequence[WaitingCall],
    *,
    approved: bool,
    except_rows: Collection[str],
    by: str | None,
    folder: RunFolder,
    lake: Lake,
) -> dict[str, int]:
    """
    Store what a person has decided; return the number of approved and of rejected calls.

    :param except_rows: the rows, as the question shows them, whose calls are rejected although the others are approved
    :param by: the person's name; None: the time to answer has passed

    Raises ParamError if the question has no such row: a mistyped exception must not become an approval.
    """
    named = {row.strip() for row in except_rows} - {""}
    rows = {call.row for call in calls}
    if unknown := sorted(named - rows):
        raise ParamError(
            f"Except these rows names {unknown[0]!r}, and no call of such a row waits{nearest(unknown[0], rows) or '.'}"
            " No call was approved or rejected. Clear this task with downstream: it asks again."
        )
    transcripts = Transcripts(lake, pipeline=folder.pipeline)
    counts = {"approved": 0, "rejected": 0}
    for call in calls:
        yes = approved and call.row not in named
        decided = call.approval.model_copy(update={"approved": yes, "by": by, "at": datetime.now(UTC)})
        transcripts.put(call.request_id, call.step, decided)
        counts["approved" if yes else "rejected"] += 1
    return counts
