"""
Decides how waits share their API calls: when the next round begins, which waits it covers, and whether it reads a page
of the list. The poller does the sleeping and calling.

Times are seconds of a monotonic clock.
"""

from __future__ import annotations

from collections.abc import Collection

#: The cost of a page of the list in retrieves: it is one call too, but 450 kB of JSON to decode.
PAGE_WORTH = 5
#: Rounds for more waits than that are at least this far apart, however young their batches are, and include the waits
#: that are due within this time. The API itself asks for such a pause between two retrieves of one batch.
CALM_SECONDS = 10.0
#: The pause between rounds is extended by up to this share, so that triggerers started together do not call together.
JITTER = 0.1
#: This many waits get their result before the rest of the event loop takes its turn. A wait that wakes up, logs and
#: fires takes well below a millisecond.
SLICE = 100


def is_page_worth_it(unseen: int, *, pages_read: int) -> bool:
    """
    Return whether to read one more page of the list for ``unseen`` batches, instead of retrieving each of them.

    The pages of a round never cost more than the retrieves that they may save, even in a workspace whose list shows
    only the batches of others.
    """
    return unseen > PAGE_WORTH * (pages_read + 1)


def next_round_at(dues: Collection[float], *, calm_until: float) -> float:
    """
    Return when the next round begins.

    :param dues: when each wait is due; not empty
    :param calm_until: CALM_SECONDS after the last round that read the list
    """
    earliest = min(dues)
    return max(earliest, calm_until) if _crowded(dues, earliest) else earliest


def round_covers_until(dues: Collection[float], *, now: float) -> float:
    """Return the time up to which due waits belong to the round that begins ``now``."""
    return now + CALM_SECONDS if _crowded(dues, now) else now


def _crowded(dues: Collection[float], at: float) -> bool:
    """Return whether a round has enough waits to read the list."""
    until = at + CALM_SECONDS
    return is_page_worth_it(sum(due <= until for due in dues), pages_read=0)
