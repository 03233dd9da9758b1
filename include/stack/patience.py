"""The time limit of a wait without progress, and the message while it lasts."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from include.stack.progress import say

SAY_AFTER_SECONDS = 60.0
GIVE_UP_AFTER_SECONDS = 600.0


class OutOfPatience(Exception):
    """A wait made no progress for minutes. The message says what is missing and how busy the machine is."""


class Patience:
    """
    The time limit of one wait, which starts when the object is created.

    :param check_alive: called at each check; raises if the wait can no longer succeed
    :param say_after: seconds without progress after which a line is printed
    :param give_up_after: seconds without progress after which the wait fails
    """

    def __init__(
        self,
        check_alive: Callable[[], None] = lambda: None,
        *,
        say_after: float = SAY_AFTER_SECONDS,
        give_up_after: float = GIVE_UP_AFTER_SECONDS,
    ) -> None:
        self._check_alive = check_alive
        self._say_after = say_after
        self._give_up_after = give_up_after
        self._state: object = None
        self.moved()

    def moved(self) -> None:
        """Restart the time limit, because there was progress."""
        self._since = time.monotonic()
        self._said = False

    def seen(self, state: object) -> None:
        """Note the state at this check. A state that differs from the last one counts as progress."""
        if state != self._state:
            self._state = state
            self.moved()

    def waited(self, fact: str) -> None:
        """
        Note that the wait continues, and print that once after ``say_after``.

        :param fact: what has not happened, e.g. "Airflow has not responded"

        Raises OutOfPatience, and what ``check_alive`` raises.
        """
        self._check_alive()
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
