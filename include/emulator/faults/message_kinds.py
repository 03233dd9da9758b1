"""The kinds of faults that strike a synchronous message."""

from __future__ import annotations

from include.emulator.faults.fault import Fault


class LostAnswer(Fault, frozen=True):
    """
    A message is answered and billed, and the connection breaks before its response is complete.

    ``midway``: half of the response has arrived by then; else nothing has. A chance is a message that is answered.
    """

    midway: bool = False
