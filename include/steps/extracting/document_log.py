"""What the log of extract says about documents: how many are read, as what they are sent, and why some are not."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable

log = logging.getLogger(__name__)

#: How often the log says how far extract is.
_SECONDS = 30
#: The reasons that the log names. The rejects have all of them.
_REASONS = 5


class DocumentLog:
    """
    Counts documents, and logs the counts: from time to time, and at the end.

    :param clock: seconds, which never go back
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._said = clock()
        self._rows = 0
        self._sent = Counter[str]()
        self._problems = 0
        self._reasons: list[str] = []

    def sent(self, kind: str) -> None:
        """Count a document, or a part of it, that is sent as ``pages``, ``text`` or ``image``."""
        self._sent[kind] += 1

    def unsendable(self, problem: str) -> None:
        """Count a row, or a part of its document, that cannot be sent."""
        self._problems += 1
        if len(self._reasons) < _REASONS:
            self._reasons.append(problem)

    def row(self) -> None:
        """Count a row whose documents are read, and log the number if the last time was long ago."""
        self._rows += 1
        if self._clock() - self._said >= _SECONDS:
            self._said = self._clock()
            log.info("Read the documents of %s rows so far", f"{self._rows:,}")

    def end(self) -> None:
        """Log the counts, and the first reasons. Says nothing if there were no rows."""
        if not self._rows:
            return
        counts = [f"{count:,} sent as {kind}" for kind, count in sorted(self._sent.items())]
        counts += [f"{self._problems:,} cannot be sent"] if self._problems else []
        more = self._problems - len(self._reasons)
        lines = [*self._reasons, *([f"and {more:,} more, which will be in the rejects"] if more else [])]
        rows = f"{self._rows:,} {'row' if self._rows == 1 else 'rows'}"
        log.info("Documents of %s: %s%s", rows, ", ".join(counts), "".join(f"\n  {line}" for line in lines))
