"""
The compaction of the index: which batches each index file covers, and which batches are due for a new file. The results
remain the truth, so a batch that the index omits or has wrong is read there. gateways/result_index.py stores the files.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping

#: A group of uncovered batches is due for an index file at either size: each look-up would read them all.
_DUE_BATCHES, _DUE_BYTES = 100, 256_000_000


def covered_batches(stored: Mapping[str, str], indexed: Iterable[Mapping[str, str]]) -> list[set[str]]:
    """
    Return the batches that each index file covers: those whose results have not changed since.

    The first of several files covers a batch, so that nothing is found twice.

    :param stored: the tags of all results in the store, by batch
    :param indexed: per file, the tags that the results of its batches had
    """
    left = set(stored)
    covered = []
    for tags in indexed:
        own = {batch_id for batch_id, tag in tags.items() if batch_id in left and stored[batch_id] == tag}
        left -= own
        covered.append(own)
    return covered


def compaction_groups(uncovered: Mapping[str, int]) -> Iterator[list[str]]:
    """
    Yield groups of uncovered batches that are each large enough for an index file. The rest waits for more batches.

    :param uncovered: the size of each batch's results in bytes
    """
    group: list[str] = []
    group_bytes = 0
    for batch_id, size_bytes in uncovered.items():
        group.append(batch_id)
        group_bytes += size_bytes
        if len(group) == _DUE_BATCHES or group_bytes >= _DUE_BYTES:
            yield group
            group, group_bytes = [], 0


def index_id(tags: Mapping[str, str]) -> str:
    """Return the name of an index file. Two writers that index the same results at once write the same object."""
    return hashlib.sha256(json.dumps(tags, sort_keys=True).encode()).hexdigest()[:32]
