"""How long something is waited for that does not move, and what is said meanwhile."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from include.stack.progress import say

SAY_AFTER_SECONDS = 60.0
GIVE_UP_AFTER_SECONDS = 600.0


class OutOfPatience(Exception):
    """Nothing has moved for minutes. The message says what, and how busy the machine is."""


class Patience:
    """
    One wait, from the moment that it is made.

    :param in_vain: called at each look; raises what it likes if the wait cannot end any more
    :param say_after: seconds without a change after which a line says that it is waited for
    :param give_up_after: seconds without a change after which the wait ends
    """

    def __init__(
        self,
        in_vain: Callable[[], None] = lambda: None,
        *,
        say_after: float = SAY_AFTER_SECONDS,
        give_up_after: float = GIVE_UP_AFTER_SECONDS,
    ) -> None:
        self._in_vain = in_vain
        self._say_after = say_after
        self._give_up_after = give_up_after
        self._state: object = None
        self.moved()

    def moved(self) -> None:
        """Something has changed: begin to count anew."""
        self._since = time.monotonic()
        self._said = False

    def seen(self, state: object) -> None:
        """The state at this look, which counts as a change if it is another than at the look before."""
        if state != self._state:
            self._state = state
            self.moved()

    def waited(self, fact: str) -> None:
        """
        Another look was in vain. Says so once, when that has gone on for long.

        :param fact: what has not happened, as in "Airflow has not answered"

        Raises OutOfPatience, and what ``in_vain`` raises.
        """
        self._in_vain()
        seconds = time.monotonic() - self._since
        if seconds >= self._give_up_after:
            raise OutOfPatience(f"{fact} for {seconds:.0f} s; {_load()}.")
        if seconds >= self._say_after and not self._said:
            self._said = True
            say(f"\n  {fact} for {seconds:.0f} s; {_load()}. Waiting.")


def _load() -> str:
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    figures = f"load {load:.1f} on {cores} cores"
    return f"the machine is busy ({figures})" if load > cores else f"the machine is not busy ({figures})"
