"""The transcripts of a pipeline on the lake: one object for each step, written once."""

from __future__ import annotations

from typing import TypeAlias

from pydantic import ValidationError

from include.enrichment.agent.transcript import Approval, Call, Turn
from include.enrichment.errors import LakeError
from include.enrichment.storage import layout
from include.enrichment.storage.version import parse
from include.gateways.lake import Lake

Step: TypeAlias = Turn | Call | Approval


class Transcripts:
    """The transcripts of a pipeline's rows, each by the id of its request."""

    def __init__(self, lake: Lake, *, pipeline: str) -> None:
        self._lake = lake
        self._pipeline = pipeline

    def steps(self, request_id: str) -> dict[str, Step]:
        """Return the steps of a row by name, in their order; none for a new row. Raises LakeError."""
        keys = self._lake.list(layout.transcript_folder(self._pipeline, request_id))
        return {step: self._read(key) for step, key in sorted((layout.transcript_step_of(key), key) for key in keys)}

    def add(self, request_id: str, step: str, value: Turn | Call) -> None:
        """
        Store a step. Raises Conflict if it exists: another process goes through the same row, and this one must stop.
        """
        self._lake.create(self._key(request_id, step), value.model_dump_json().encode())

    def put(self, request_id: str, step: str, approval: Approval) -> None:
        """Store an approval, in place of the one before."""
        self._lake.write(self._key(request_id, step), approval.model_dump_json().encode())

    def _key(self, request_id: str, step: str) -> str:
        return layout.transcript_step(self._pipeline, request_id, step)

    def _read(self, key: str) -> Step:
        step, where = layout.transcript_step_of(key), self._lake.locate(key)
        kind: type[Step] = Approval if step.endswith("-approval") else Call if "." in step else Turn
        try:
            return parse(kind, self._lake.read(key), where)
        except ValidationError as error:
            raise LakeError(
                f"{where} is damaged: {error.errors()[0]['msg']}. Nothing was sent. Restore the object, or delete the"
                " row's transcript: its answers are then paid for again, and its tools are called again.",
                retryable=False,
            ) from error
