"""
Decides how many waits share their looks at the API: when the next round of looks begins, which waits it is for, and
whether a page of the list is worth its call. It neither sleeps nor calls: the poller acts on what it says.

Times are seconds of any clock that only goes forward.
"""

from __future__ import annotations

from collections.abc import Collection

#: What a page of the list costs in retrieves: one call as well, but 450 kB of JSON and its decoding.
PAGE_WORTH = 5
#: Rounds for more waits than that are at least so long apart, however young their batches are, and take along what
#: falls due so soon after them. The API itself asks for as much between two retrieves of one batch.
CALM_SECONDS = 10.0
#: Rounds are stretched by up to this share of their pause, so that triggerers that were started together do not call
#: together.
JITTER = 0.1
#: So many waits are told of their look at a time, and then it is the rest of the event loop's turn: a wait that wakes
#: up, logs and fires takes well below a millisecond.
SLICE = 100


def is_page_worth_it(unseen: int, *, pages_read: int) -> bool:
    """
    Whether to read one more page of the list for ``unseen`` batches, rather than retrieve each of them.

    The pages of a round thus never cost more than the retrieves they might spare, also in a workspace where the
    batches of strangers are all that the list shows.
    """
    return unseen > PAGE_WORTH * (pages_read + 1)


def next_round_at(dues: Collection[float], *, calm_until: float) -> float:
    """
    When the next round begins.

    :param dues: when each wait is to be looked at next; not empty
    :param calm_until: CALM_SECONDS after the last round that read the list
    """
    earliest = min(dues)
    return max(earliest, calm_until) if _crowded(dues, earliest) else earliest


def round_covers_until(dues: Collection[float], *, now: float) -> float:
    """Up to which moment waits that fall due belong to the round that begins ``now``."""
    return now + CALM_SECONDS if _crowded(dues, now) else now


def _crowded(dues: Collection[float], at: float) -> bool:
    """Whether the waits of a round are so many that it reads the list."""
    until = at + CALM_SECONDS
    return is_page_worth_it(sum(due <= until for due in dues), pages_read=0)
