"""
Decides which batches each file of the index speaks for, and for which it is time to write another. The results
themselves stay the truth: what the index leaves out, or has wrong, is read there. Storing it is the work of
gateways/index.py.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping

#: So many batches, or so many bytes of results, that each look-up had to go through are worth a file of the index.
_DUE_BATCHES, _DUE_BYTES = 100, 256_000_000


def covered_batches(stored: Mapping[str, str], indexed: Iterable[Mapping[str, str]]) -> list[set[str]]:
    """
    The batches that each file of the index speaks for: those whose results are still the ones that it was made of.
    Where several files could, the first does, so that nothing is found twice.

    :param stored: the tags of all results in the store, by batch
    :param indexed: for each file, the tags that the results of its batches had
    """
    left = set(stored)
    found = []
    for tags in indexed:
        own = {batch_id for batch_id, tag in tags.items() if batch_id in left and stored[batch_id] == tag}
        left -= own
        found.append(own)
    return found


def compaction_groups(loose: Mapping[str, int]) -> Iterator[list[str]]:
    """
    The batches for which no file speaks, in groups that are each worth a file. The last ones wait until there are more.

    :param loose: how many bytes the results of each have
    """
    group: list[str] = []
    group_bytes = 0
    for batch_id, size_bytes in loose.items():
        group.append(batch_id)
        group_bytes += size_bytes
        if len(group) == _DUE_BATCHES or group_bytes >= _DUE_BYTES:
            yield group
            group, group_bytes = [], 0


def index_id(tags: Mapping[str, str]) -> str:
    """What a file of the index is called. Two who make one of the same results at once write the same object."""
    return hashlib.sha256(json.dumps(tags, sort_keys=True).encode()).hexdigest()[:32]
