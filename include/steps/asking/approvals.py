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
from include.enrichment.errors import BatchError, ParamError, nearest
from include.enrichment.storage.layout import RunFolder
from include.enrichment.storage.version import Versioned, parse
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

    @property
    def is_decided(self) -> bool:
        """Whether a person has decided, and the call is not made yet."""
        return self.approval.approved is not None


class Question(Versioned):
    """
    The question of a pass to a person, as it was first put.

    :param steps: of the calls that it shows, by request
    """

    steps: dict[str, list[str]]


def open_calls(folder: RunFolder, chunks: Iterable[str], *, lake: Lake) -> list[WaitingCall]:
    """
    Return the calls in the rows of these chunks that wait for a person, or that a person has decided and that are not
    made yet, in the order of their requests.

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
                if isinstance(value, Approval) and call_of_approval(step) not in steps
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


def put_question(calls: Sequence[WaitingCall], *, pass_name: str, folder: RunFolder, lake: Lake) -> None:
    """
    Record the calls of the question, unless the pass has put it before: after a clear, Airflow shows the first again.

    Raises BatchError if that one does not show all of these calls.
    """
    key = folder.question_json(pass_name)
    if found := lake.find(key):
        question = parse(Question, found.data, lake.locate(key))
        hidden = sum(call.step not in question.steps.get(call.request_id, []) for call in calls)
        if hidden:
            raise BatchError(
                f"Airflow still shows the question as it was first put, without {hidden:,} of the {len(calls):,} calls"
                " that wait now. No call was approved or rejected. Start a new run of the partition: it goes on with"
                " the same rows and asks about all of them."
            )
        return
    steps: dict[str, list[str]] = {}
    for call in calls:
        steps.setdefault(call.request_id, []).append(call.step)
    lake.write(key, Question(steps=steps).model_dump_json().encode())


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
            f"'Except these rows' names {unknown[0]!r}, but no call of that row waits{nearest(unknown[0], rows) or '.'}"
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
