"""What every fault has: its kind in JSON, and when it strikes."""

from __future__ import annotations

import mmap
import re
from typing import Annotated

import msgspec

from include.emulator import draws

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Count = Annotated[int, msgspec.Meta(ge=0)]


def kind_of(class_name: str) -> str:
    """Return the ``kind`` in JSON of a class: ``http_error`` for HttpError."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", class_name).lower()


class Fault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag=kind_of):
    """The fields that every kind has."""

    times: Annotated[int, msgspec.Meta(ge=1)] | None = None
    after: Count = 0
    chance: Annotated[float, msgspec.Meta(gt=0, le=1)] = 1.0

    def strikes_at(self, chance_number: int, seed: int) -> bool:
        """Return whether it strikes at this chance, counted from 0; deterministic."""
        if chance_number < self.after or self.chance >= 1:
            return chance_number >= self.after
        # Sets in a fixed order: otherwise the text, and with it the draw, would differ between processes.
        text = msgspec.json.encode(self, order="deterministic")
        return draws.fraction(seed, "chance", text, str(chance_number)) < self.chance


class BatchFault(Fault, frozen=True):
    """Belongs to a batch from its create on; a chance is a create, and ``times`` counts batches."""

    def concerns(self, body: mmap.mmap) -> bool:
        """Return whether the create of a batch with this body is a chance."""
        return True
